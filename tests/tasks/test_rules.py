"""Rules that a driver cannot tell now keep nothing waiting that needs none."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from portfoliod.errors import PortfoliodError, UnknownSymbol, VenueStopped, VenueUnreachable
from portfoliod.model import IntentStatus, MarketRules, Standing
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ScriptedVenue, Trading, trade, unfilled, until


class Forgetful(ScriptedVenue):
    """Does not know the rules of its markets at times."""

    wrong: PortfoliodError | None = None
    minimum = Decimal(0)

    def rules(self, symbol: str) -> MarketRules:
        """Return them, if it can."""
        if self.wrong is not None:
            raise self.wrong
        return msgspec.structs.replace(super().rules(symbol), min_notional=self.minimum)


def test_an_order_is_looked_up_without_them(files: Files) -> None:
    venue = Forgetful()

    async def scenario(trading: Trading) -> None:
        venue.answers.append(unfilled(IntentStatus.WORKING))
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        venue.wrong = UnknownSymbol("get_rules failed")
        venue.found.append(venue.filled(venue.placed[0]))
        assert (await worker.look()).reason == "get_rules failed"
        assert trading.journal.unresolved(BTC) == []

    trade(files, scenario, venue)


@pytest.mark.parametrize("wrong", [UnknownSymbol("no rules"), VenueUnreachable("no answer"), VenueStopped("changed")])
def test_whatever_they_raise_ends_no_worker(files: Files, wrong: PortfoliodError) -> None:
    venue = Forgetful()

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        worker = await trading.decided()
        venue.wrong = wrong
        venue.trouble["positions", ""] = wrong
        assert (await worker.look()).standing is Standing.UNKNOWN
        assert venue.placed == []

    trade(files, scenario, venue)


def test_an_order_whose_last_check_fails_is_not_sent_and_not_left_open(files: Files) -> None:
    """It stands in the journal when they are missing: nobody may take it for one that was sent."""
    venue = Forgetful()

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        worker = await trading.decided()
        intend = trading.journal.intend

        async def then_forgotten(*arguments: object) -> None:
            await intend(*arguments)  # type: ignore[arg-type]
            venue.wrong = UnknownSymbol("no rules")

        trading.journal.intend = then_forgotten  # type: ignore[method-assign,assignment]
        await worker.look()
        assert (venue.placed, trading.journal.unresolved(BTC)) == ([], [])

    trade(files, scenario, venue)


def test_a_close_is_not_withheld_for_an_old_price(files: Files) -> None:
    """Without a price the last decision's is what the close was decided at, and no measure of a minimum."""
    venue = Forgetful()

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()
        venue.minimum = Decimal(11_000)
        venue.trouble["price", BTC.symbol] = VenueUnreachable("no ticker")
        trading.want(trend=0.0)
        await trading.reconciler._decide("main")
        await trading.reconciler.worker(BTC).look()
        assert not venue.held[BTC.symbol]

    trade(files, scenario, venue)


def test_by_the_ledger_a_good_look_ends_an_outage(files: Files) -> None:
    """No position is read there that would."""

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        async with trading.running():
            await until(lambda: trading.venue.held.get(BTC.symbol))
            connection = trading.desk.connections["main"]
            connection.failed(VenueUnreachable("timeout"))
            trading.reconciler.look_at_everything()
            await until(lambda: connection.problem is None)

    trade(files, scenario, settings='[reconciler]\nposition_source = "ledger"\nresync_seconds = 3600\n')
