"""Whom a target belongs to, and what account value it is sized by."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from portfoliod.capital import CapitalView
from portfoliod.errors import SettingsError, VenueUnreachable
from portfoliod.model import HighWater, Key, Standing
from portfoliod.reconciler import Reconciler
from portfoliod.reconciler.accounts import Accounts
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.decider import Decider
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.reconciler import DECIDE
from portfoliod.switches import HaltSwitch
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ScriptedVenue, Trading, trade, until

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


def test_equity_that_is_known_in_part_sizes_nothing(files: Files) -> None:
    """The account is the sum of the venues that strategies trade on: what one of them holds is unknown, not zero."""
    main, second = ScriptedVenue("main"), ScriptedVenue("second")

    async def scenario(trading: Trading) -> None:
        for connection in trading.desk.connections.values():
            await connection.connect()
        trading.want(trend=1.0, other=1.0)
        second.trouble["equity", ""] = VenueUnreachable("timeout")
        await Decider(trading.desk).decide("main")
        assert trading.journal.targets == {}
        del second.trouble["equity", ""]
        await Decider(trading.desk).decide("main")
        assert trading.journal.targets[BTC].account_value == Decimal(20_000)

    trade(
        files,
        scenario,
        main,
        second,
        weights={"trend": 0.5, "other": 0.5},
        exchanges={"other": "second"},
        settings=BY_EQUITY,
    )


@pytest.mark.parametrize("moved_by", ["default_venue", "exchanges"])
@pytest.mark.parametrize("driver", ["paper", "scripted"])
def test_money_of_a_venue_that_was_left_sizes_nothing_elsewhere(files: Files, moved_by: str, driver: str) -> None:
    """A workspace that was on paper goes live with a tenth of the money: the two are never added up, not even once."""
    old, main = ScriptedVenue("old"), ScriptedVenue("main")
    main.value = Decimal(1_000)

    async def scenario(trading: Trading) -> None:
        desk = trading.desk
        desk.adopt(msgspec.structs.replace(trading.settings, default_venue="old"))
        trading.want(trend=1.0)
        await trading.reconciler.once()
        assert trading.venue_of("old").held == {BTC.symbol: Decimal("0.2")}
        assert desk.capital_view().account_value == Decimal(10_000)
        if moved_by == "default_venue":
            desk.adopt(msgspec.structs.replace(trading.settings, default_venue="main"))
        else:
            trading.files.portfolio({"trend": 1.0}, exchanges={"trend": "main"})
        trading.want(trend=1.0)
        await trading.reconciler.once()
        assert trading.journal.targets[BTC].account_value == Decimal(1_000)
        assert trading.venue_of("old").held == {BTC.symbol: 0}
        assert desk.capital_view() == CapitalView(("main",), Decimal(1_000), Decimal(1_000))
        accounts = Accounts(desk, lambda _: None)
        await accounts.look()
        main.value = Decimal(700)
        await accounts.look()
        assert trading.halted().startswith("max_drawdown: equity 700.00")

    trade(
        files,
        scenario,
        main,
        old,
        settings=BY_EQUITY + "\n[risk]\nmax_drawdown = 0.2\n[reconciler]\nresync_seconds = 0.001\n",
        drivers={"old": driver},
    )


def test_strategies_on_paper_and_real_ones_are_each_sized_by_their_own_money(files: Files) -> None:
    paper, main = ScriptedVenue("paper"), ScriptedVenue("main")
    main.value = Decimal(1_000)

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0, trial=1.0)
        await trading.reconciler.once()
        decided = {key.venue: decision.account_value for key, decision in trading.journal.targets.items()}
        assert decided == {"main": Decimal(1_000), "paper": Decimal(10_000)}
        assert trading.desk.capital_view().account_value == Decimal(1_000)
        assert trading.desk.exposure("main", None).gross_notional == Decimal(500)

    trade(
        files,
        scenario,
        main,
        paper,
        weights={"trend": 0.5, "trial": 0.5},
        exchanges={"trial": "paper"},
        settings=BY_EQUITY,
        drivers={"paper": "paper"},
    )


def test_a_paper_venue_is_opened_once_a_strategy_is_routed_to_it(files: Files) -> None:
    paper, main = ScriptedVenue("paper"), ScriptedVenue("main")

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        connection = trading.desk.connections["paper"]
        async with trading.running():
            await until(lambda: main.held.get(BTC.symbol))
            await until(lambda: trading.reconciler.not_looked_at() == [])
            assert not connection.known
            trading.files.portfolio({"trend": 1.0}, exchanges={"trend": "paper"})
            trading.want(trend=1.0)
            trading.reconciler.mailbox.put(DECIDE)
            await until(lambda: paper.held.get(BTC.symbol) and not main.held[BTC.symbol])

    trade(files, scenario, main, paper, settings=BY_EQUITY, drivers={"paper": "paper"})


def test_weights_that_move_between_venues_lose_no_drawdown(files: Files) -> None:
    """A strategy's weight becomes 0 and comes back, as it does at any optimization: what was lost stays lost."""
    main, other = ScriptedVenue("main"), ScriptedVenue("other")

    async def scenario(trading: Trading) -> None:
        accounts = Accounts(trading.desk, lambda _: None)

        async def weighed(trend: float, carry: float) -> None:
            trading.files.portfolio({"trend": trend, "carry": carry}, exchanges={"carry": "other"})
            trading.want(trend=1.0, carry=1.0)
            await accounts.look()
            await accounts.look()

        for connection in trading.desk.connections.values():
            await connection.connect()
        await weighed(0.5, 0.5)
        main.value = Decimal(8_600)
        for weights in ((1.0, 0.0), (0.0, 0.0)):
            await weighed(*weights)
            assert trading.journal.high_water == HighWater(("main", "other"), Decimal(20_000))
        main.value = Decimal(7_400)
        await weighed(0.5, 0.5)
        assert trading.halted() == "max_drawdown: equity 17400.00 is 13.0 % below its high 20000.00"
        assert trading.reconciler.snapshot().drawdown == Decimal("0.13")

    settings = "[risk]\nmax_drawdown = 0.12\n[reconciler]\nresync_seconds = 0.001\n"
    trade(files, scenario, main, other, settings=settings)


def test_a_close_needs_no_other_venues_equity(files: Files) -> None:
    """What is no longer wanted on one venue is closed, though the other one does not answer."""
    main, other = ScriptedVenue("main"), ScriptedVenue("other")

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0, carry=1.0)
        await trading.reconciler.once()
        main.trouble["equity", ""] = VenueUnreachable("timeout")
        trading.want(trend=1.0, carry=0.0)
        await trading.reconciler._decide("other")
        await trading.reconciler.worker(Key("other", BTC.symbol)).look()
        assert not other.held[BTC.symbol]

    weights, exchanges = {"trend": 0.5, "carry": 0.5}, {"carry": "other"}
    trade(files, scenario, main, other, weights=weights, exchanges=exchanges, settings=BY_EQUITY)


def test_a_paper_market_that_was_closed_long_ago_is_nobodys_matter(files: Files) -> None:
    """Its venue is not opened any more: neither `run --once` nor `flatten` may wait for it."""
    paper, main = ScriptedVenue("paper"), ScriptedVenue("main")

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()
        trading.files.portfolio({"trend": 1.0}, exchanges={"trend": "main"})
        trading.want(trend=1.0)
        await trading.reconciler.once()
        assert not any(paper.held.values())
        connections = {"main": Connection(main, "scripted"), "paper": Connection(paper, "paper")}
        desk = Desk(trading.settings, trading.desk.intake, trading.journal, connections, HaltSwitch(trading.workspace))
        looks = await Reconciler(desk).once()
        assert {key.venue: look.standing for key, look in looks.items()} == {"main": Standing.IN_STEP}

    trade(files, scenario, main, paper, exchanges={"trend": "paper"}, drivers={"paper": "paper"})


def test_a_paper_venue_that_does_not_fit_ends_no_daemon_that_trades(files: Files) -> None:
    """A hand edit routes a strategy to it while the daemon runs."""

    class Unfit(ScriptedVenue):
        async def connect(self) -> None:
            raise SettingsError("the candles cannot be used")

    paper, main = Unfit("paper"), ScriptedVenue("main")

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        async with trading.running():
            await until(lambda: main.held.get(BTC.symbol))
            trading.files.portfolio({"trend": 1.0}, exchanges={"trend": "paper"})
            trading.want(trend=1.0)
            trading.reconciler.mailbox.put(DECIDE)
            await until(lambda: trading.desk.connections["paper"].problem)
            trading.files.portfolio({"trend": 0.5}, exchanges={})
            trading.want(trend=1.0)
            trading.reconciler.mailbox.put(DECIDE)
            await until(lambda: main.held.get(BTC.symbol) == Decimal("0.1"))

    trade(files, scenario, main, paper, drivers={"paper": "paper"})
