"""A market that the venue lists no more: closed in the books where nothing is held, else left for a person."""

from __future__ import annotations

from decimal import Decimal

import pytest

from portfoliod.commands import switches
from portfoliod.errors import MarketGone, PortfoliodError
from portfoliod.model import IntentStatus, MarketRules, Standing
from portfoliod.service import exit_code_of
from portfoliod.switches import HaltSwitch
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ScriptedVenue, Trading, trade, unfilled


class Delisting(ScriptedVenue):
    """Lists a market until it does not."""

    gone = False

    def rules(self, symbol: str) -> MarketRules:
        """Return its rules."""
        if self.gone:
            raise MarketGone("the market is not listed any more", found=symbol)
        return super().rules(symbol)

    def resolve(self, text: str) -> str:
        """Return its symbol."""
        if self.gone:
            raise MarketGone("no such market", found=text)
        return super().resolve(text)


async def bought(trading: Trading) -> None:
    trading.want(trend=1.0)
    await trading.reconciler.once()
    assert trading.venue.held == {BTC.symbol: Decimal("0.2")}


def test_a_gone_market_that_nobody_wants_and_nothing_is_held_in_is_in_step(files: Files) -> None:
    """Else `run --once` would fail for ever, and `flatten` would wait for it."""
    venue = Delisting()

    async def scenario(trading: Trading) -> None:
        await bought(trading)
        trading.want(trend=0.0)
        await trading.reconciler.once()
        venue.gone = True
        looks = await trading.reconciler.once()
        assert exit_code_of(looks) == 0
        assert trading.reconciler.snapshot().markets[0].standing is Standing.IN_STEP

    trade(files, scenario, venue)


def test_the_target_of_a_gone_market_can_be_given_up(files: Files) -> None:
    """The strategy is retired: nothing, at whatever price, is nothing."""
    venue = Delisting()

    async def scenario(trading: Trading) -> None:
        await bought(trading)
        trading.desk.intake.retire("trend", None)
        venue.gone = True
        await trading.reconciler.once()
        assert trading.journal.targets[BTC].quantity == 0

    trade(files, scenario, venue)


def test_forget_takes_a_gone_market_out_of_the_books_while_the_daemon_runs(files: Files) -> None:
    venue = Delisting()

    async def scenario(trading: Trading) -> None:
        await bought(trading)
        venue.gone = True
        (look,) = (await trading.reconciler.once()).values()
        assert (look.standing, "forget" in look.reason) == (Standing.UNKNOWN, True)
        said = switches.forget(trading.workspace, "BTCUSDT")
        assert "its target was 0.2, its position by our fills 0.2, open orders 0" in said
        await trading.journal.reread_switches()
        assert (trading.journal.targets, trading.journal.books) == ({}, {})
        assert trading.reconciler.snapshot().markets == ()
        assert trading.desk.exposure("main", None).gross_notional == 0
        with pytest.raises(PortfoliodError, match="no such market"):
            switches.forget(trading.workspace, "BTCUSDT")

    trade(files, scenario, venue)


def test_an_order_that_is_open_in_a_gone_market_locks_it_and_unlock_gives_it_up(files: Files) -> None:
    """No question about it is ever answered again."""
    venue = Delisting()

    async def scenario(trading: Trading) -> None:
        venue.answers.append(unfilled(IntentStatus.WORKING))
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        venue.gone = True
        for method in ("find", "cancel"):
            venue.trouble[method, BTC.symbol] = MarketGone("the market is not listed any more")
        HaltSwitch(trading.workspace).trip("enough")
        assert (await worker.look()).standing is Standing.LOCKED
        switches.unlock(trading.workspace, "BTCUSDT")
        await trading.journal.reread_switches()
        assert trading.journal.open_intents == {}

    trade(files, scenario, venue)


def test_flatten_ends_though_a_gone_market_was_wanted(files: Files) -> None:
    """What is held there is not known to be nothing: it is named, and not waited for where it is nothing."""
    venue = Delisting()

    async def scenario(trading: Trading) -> None:
        await bought(trading)
        trading.want(trend=0.0)
        await trading.reconciler.once()
        trading.want(trend=1.0)
        venue.gone = True
        HaltSwitch(trading.workspace).trip("enough", flatten=True)
        looks = await trading.reconciler.once(decide=False)
        assert [look.standing for look in looks.values()] == [Standing.IN_STEP]

    trade(files, scenario, venue)
