"""Whom a target belongs to, and what account value it is sized by."""

from __future__ import annotations

from decimal import Decimal

from portfoliod.reconciler.decider import Decider
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ScriptedVenue, Trading, trade

BY_EQUITY = 'capital = "equity"'


def test_a_refused_strategy_keeps_what_it_contributed_last_after_a_swap_at_the_same_sum(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0, carry=0.0)
        await trading.reconciler.once()
        decided = trading.journal.targets[BTC].number
        trading.want(trend=0.0, carry=1.0)
        await trading.reconciler.once()
        assert trading.journal.targets[BTC].number == decided, "the sum is the same"
        trading.files.state("trend", 0.0, symbol="NOSUCHUSDT")
        trading.desk.intake.read_all()
        await trading.reconciler.once()
        assert trading.journal.targets[BTC].quantity == Decimal("0.1")
        assert len(trading.venue.placed) == 1

    trade(files, scenario, weights={"trend": 0.5, "carry": 0.5})


def test_the_equity_of_a_venue_that_nobody_uses_sizes_nothing(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()
        assert trading.journal.targets[BTC].account_value == trading.venue.value

    trade(files, scenario, ScriptedVenue("main"), ScriptedVenue("paper"), settings=BY_EQUITY)


def test_an_equity_that_is_not_a_number_sizes_nothing_and_ends_nothing(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()
        in_force = trading.journal.targets[BTC]
        trading.want(trend=0.5)
        for wrong in ("NaN", "sNaN", "Infinity"):
            trading.venue.value = Decimal(wrong)
            assert await Decider(trading.desk).decide("main") == []
        assert trading.journal.targets == {BTC: in_force}
        trading.venue.value = Decimal(20_000)
        (decision,) = await Decider(trading.desk).decide("main")
        assert (decision.account_value, decision.quantity) == (Decimal(20_000), Decimal("0.2"))

    trade(files, scenario, settings=BY_EQUITY)


def test_the_equity_is_not_read_when_nothing_changed(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()
        reads = trading.venue.equity_reads
        for _ in range(3):
            trading.want(trend=1.0)
            assert await Decider(trading.desk).decide("main") == []
        assert trading.venue.equity_reads == reads

    trade(files, scenario, settings=BY_EQUITY)
