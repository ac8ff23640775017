"""A venue that is only looked at: planned for, and nothing else."""

from __future__ import annotations

from decimal import Decimal

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from portfoliod.errors import OrderUnknown
from portfoliod.model import IntentStatus, Standing
from portfoliod.service import exit_code_of
from portfoliod.switches import HaltSwitch
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, Trading, trade, unfilled

MEND = 'set mode = "live" and start with: portfoliod run --live'


def refusals(logs: list[EventDict]) -> list[tuple[str, str, Decimal]]:
    found = [line for line in logs if line["event"] == "risk.refused"]
    return [(line["limit"], line["side"], Decimal(line["quantity"])) for line in found]


def test_a_read_only_venue_is_planned_for_and_sent_nothing(files: Files) -> None:
    """Each different plan is said once, also while its market is looked at again and again."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        venue.held[BTC.symbol] = Decimal("0.5")
        trading.want(trend=0.0)
        looks = await trading.reconciler.once()
        assert (looks[BTC].standing, looks[BTC].reason) == (
            Standing.REFUSED,
            f"read only: would sell 0.5 (close); {MEND}",
        )
        assert exit_code_of(looks) == 5
        await trading.reconciler.once()
        trading.want(trend=-1.0)
        (look,) = (await trading.reconciler.once()).values()
        assert look.reason == f"read only: would sell 0.5 (flip: close), then sell 0.2 (flip: open); {MEND}"
        trading.want(trend=1.0)
        await trading.reconciler.once()
        venue.held[BTC.symbol] = Decimal("0.2")
        looks = await trading.reconciler.once()
        assert (looks[BTC].standing, exit_code_of(looks)) == (Standing.IN_STEP, 0)
        assert (venue.placed, trading.rows("SELECT * FROM intents")) == ([], [])

    with capture_logs() as logs:
        trade(files, scenario, read_only=True)
    assert refusals(logs) == [("mode", "sell", Decimal(text)) for text in ("0.5", "0.5", "0.3")]


def test_what_is_only_looked_at_is_neither_taken_over_nor_drift(files: Files) -> None:
    """The owner trades there meanwhile; the first look that may trade takes over what is there then."""

    async def look_only(trading: Trading) -> None:
        venue = trading.venue
        trading.want(trend=1.0)
        for held in ("0.1", "0.7"):
            venue.held[BTC.symbol] = Decimal(held)
            await trading.reconciler.once()
        assert (trading.journal.books, trading.journal.locks) == ({}, {})

    async def live(trading: Trading) -> None:
        trading.venue.held[BTC.symbol] = Decimal("0.15")
        await trading.reconciler.once()
        assert trading.journal.books[BTC].taken_over == Decimal("0.15")
        assert trading.venue.held == {BTC.symbol: Decimal("0.2")}

    async def look_again(trading: Trading) -> None:
        trading.venue.held[BTC.symbol] = Decimal("0.9")
        looks = await trading.reconciler.once()
        assert looks[BTC].reason == f"read only: would sell 0.7 (reduce from 0.9 to 0.2); {MEND}"
        assert trading.journal.locks == {}

    trade(files, look_only, read_only=True)
    trade(files, live)
    trade(files, look_again, read_only=True)


@pytest.mark.parametrize("position", [1.0, -1.0])
def test_the_ledger_is_read_and_not_begun_where_nothing_is_traded(files: Files, position: float) -> None:
    """What the account holds is its owner's."""

    async def scenario(trading: Trading) -> None:
        trading.venue.held[BTC.symbol] = Decimal(3)
        trading.want(trend=position)
        (look,) = (await trading.reconciler.once()).values()
        assert f"would {'buy' if position > 0 else 'sell'} 0.2 (open)" in look.reason
        assert (trading.journal.books, trading.venue.placed) == ({}, [])

    trade(files, scenario, settings='[reconciler]\nposition_source = "ledger"\n', read_only=True)


def test_an_order_of_a_live_run_is_looked_up_but_not_cancelled(files: Files) -> None:
    """Not even while halted."""

    async def live(trading: Trading) -> None:
        trading.venue.trouble["place", BTC.symbol] = OrderUnknown("timeout")
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        assert len(trading.journal.open_intents) == 1

    async def look_only(trading: Trading) -> None:
        venue = trading.venue
        (intent,) = trading.journal.open_intents.values()
        HaltSwitch(trading.workspace).trip("enough")
        venue.found.append(unfilled(IntentStatus.WORKING)(intent))
        worker = await trading.decided()
        assert (await worker.look()).standing is Standing.UNKNOWN
        venue.found.append(venue.filled(intent))
        await worker.look()
        assert (trading.journal.open_intents, venue.cancelled) == ({}, [])

    trade(files, live)
    trade(files, look_only, read_only=True)


def test_a_halt_cancels_what_adds_where_it_trades(files: Files) -> None:
    """And leaves reductions to fill."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        trading.want(trend=1.0)
        await trading.reconciler.once()
        for wanted in (0.5, 1.5):
            venue.answers.append(unfilled(IntentStatus.WORKING))
            trading.want(trend=wanted)
            worker = await trading.decided()
            await worker.look()
            (intent,) = trading.journal.open_intents.values()
            HaltSwitch(trading.workspace).trip("enough")
            venue.found.append(venue.filled(intent))
            await worker.look()
            assert (intent in venue.cancelled) is not intent.reduce_only
            HaltSwitch(trading.workspace).clear()
        assert len(venue.placed) == 3

    trade(files, scenario)
