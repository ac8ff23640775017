"""Two venues at once: what one of them does not answer keeps nothing of the other waiting."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from portfoliod.errors import KeysRefused, VenueUnreachable
from portfoliod.model import Key, Standing
from portfoliod.venues import PositionMoved
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ETH, ScriptedVenue, Trading, trade, until

QUICK = "[reconciler]\nresync_seconds = 0.05\n"
SECOND = Key("second", BTC.symbol)
WEIGHTS, ROUTES = {"trend": 0.5, "other": 0.5}, {"other": "second"}


def two() -> tuple[ScriptedVenue, ScriptedVenue]:
    return ScriptedVenue("main"), ScriptedVenue("second")


@pytest.mark.parametrize("method", ["connect", "price", "positions", "equity", "verify", "place"])
def test_a_venue_that_never_answers_keeps_the_other_from_nothing(files: Files, method: str) -> None:
    """Neither from deciding nor from trading, nor from its resyncs."""
    main, second = two()
    second.waits[method] = asyncio.Event()

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0, other=1.0)
        async with trading.running():
            await until(lambda: main.held.get(BTC.symbol) == Decimal("0.1"))
            trading.want(trend=0.5, other=1.0)
            trading.reconciler.mailbox.put("decide")
            await until(lambda: main.held.get(BTC.symbol) == Decimal("0.05"))
            main.held[BTC.symbol] = Decimal("0.07")
            await until(lambda: BTC in trading.journal.locks)
            assert trading.reconciler.alive()

    trade(files, scenario, main, second, weights=WEIGHTS, exchanges=ROUTES, settings=QUICK)


def test_a_venue_that_is_away_counts_with_what_it_was_worth_last(files: Files) -> None:
    """A loss on the other is seen all the same, and its absence is no loss."""
    main, second = two()

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0, other=1.0)
        async with trading.running():
            await until(lambda: trading.journal.worths.keys() == {"main", "second"})
            second.trouble["equity", ""] = VenueUnreachable("timeout")
            reads = main.equity_reads
            await until(lambda: main.equity_reads > reads + 2)
            assert trading.halted() == ""
            main.value = Decimal(1)
            await until(lambda: "max_drawdown: equity 10001.00" in trading.halted())

    trade(
        files,
        scenario,
        main,
        second,
        weights=WEIGHTS,
        exchanges=ROUTES,
        settings=QUICK + "[risk]\nmax_drawdown = 0.2\n",
    )


def test_what_concerns_no_venue_is_said_once_for_all_of_them(files: Files) -> None:
    """Each venue's decisions are made apart, from the same files."""
    files.state("lost", 1.0, symbol="NOSUCHUSDT")

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0, other=1.0)
        await trading.reconciler.once()
        await trading.reconciler.once()
        problems = trading.desk.intake.problems
        assert problems.values() == problems.of("lost")
        assert [problem.found for problem in problems.of("lost")] == ["NOSUCHUSDT"]
        assert [decision.number for decision in trading.journal.targets.values()] == [1, 2]

    with capture_logs() as logs:
        trade(files, scenario, *two(), weights={**WEIGHTS, "lost": 0.0}, exchanges=ROUTES)
    assert [line["found"] for line in logs if line["event"] == "target.refused"] == ["NOSUCHUSDT"]


def test_once_does_what_can_be_done_elsewhere_before_it_says_which_venue_is_away(files: Files) -> None:
    """An unreachable venue is no reason not to close on another one."""
    main, second = two()
    main.trouble["connect", ""] = VenueUnreachable("timeout", where="venue main")

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0, other=1.0)
        with pytest.raises(VenueUnreachable, match="timeout"):
            await trading.reconciler.once()
        assert second.held == {BTC.symbol: Decimal("0.1")}
        assert trading.reconciler.worker(SECOND).last.standing is Standing.IN_STEP
        assert (main.placed, trading.halted()) == ([], "")

    trade(files, scenario, main, second, weights=WEIGHTS, exchanges=ROUTES)


def test_once_with_refused_keys_halts_and_says_so_before_anything_else(files: Files) -> None:
    """What is unreachable may come back by itself; keys do not."""
    main, second = two()
    main.trouble["connect", ""] = VenueUnreachable("timeout")
    second.trouble["connect", ""] = KeysRefused("revoked", where="venue second")

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0, other=1.0)
        with pytest.raises(KeysRefused, match="revoked"):
            await trading.reconciler.once()
        assert trading.halted() == "keys refused: venue second"

    trade(files, scenario, main, second, weights=WEIGHTS, exchanges=ROUTES)


def test_an_addition_that_only_waits_for_room_on_the_other_venue_is_sent_when_there_is(files: Files) -> None:
    """A new route closes here and opens there, under a limit that has no room for both at once."""
    main, second = two()

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        async with trading.running():
            await until(lambda: main.held.get(BTC.symbol) == Decimal("0.2"))
            price = main.waits["price"] = asyncio.Event()
            files.portfolio({"trend": 1.0}, exchanges={"trend": "second"})
            trading.want(trend=1.0)
            trading.reconciler.mailbox.put("decide")
            await until(lambda: trading.reconciler.worker(SECOND).refused_by == "max_gross_leverage")
            price.set()
            await until(lambda: second.held.get(BTC.symbol) == Decimal("0.2") and main.held[BTC.symbol] == 0)

    trade(files, scenario, main, second, settings="[risk]\nmax_gross_leverage = 1.0\n")


def test_a_working_read_connects_a_venue_only_if_its_streams_are_up_too(files: Files) -> None:
    """`connected` says that the venue answers, streams and reads."""
    main = ScriptedVenue()

    async def scenario(trading: Trading) -> None:
        connection = trading.desk.connections["main"]
        trading.want(trend=1.0)
        async with trading.running():
            await until(lambda: main.held and connection.connected)
            main.trouble["positions", ""] = VenueUnreachable("502")
            await until(lambda: not connection.connected)
            assert connection.linked
            main.trouble.clear()
            await until(lambda: connection.connected)
            main.trouble["events", ""] = main.trouble["connect", ""] = VenueUnreachable("reset")
            main.news.put_nowait(PositionMoved(ETH.symbol))
            await until(lambda: not connection.linked)
            assert not connection.connected

    trade(files, scenario, main, settings=QUICK)
