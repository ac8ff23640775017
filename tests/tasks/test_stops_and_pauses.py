"""A venue that stopped, one that asks for a pause, and one that liquidated a position."""

from __future__ import annotations

from decimal import Decimal

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from portfoliod.errors import OrderRefused, OrderUnknown, VenuePaused, VenueStopped
from portfoliod.model import Intent, Key, Standing
from portfoliod.reconciler.accounts import Accounts
from portfoliod.switches import HaltSwitch
from portfoliod.venues import Liquidated, OrderReport
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ETH, ScriptedVenue, Trading, trade, until

QUICK = "[reconciler]\nresync_seconds = 0.05\n"
WEIGHTS, ROUTES = {"trend": 0.5, "other": 0.5}, {"other": "second"}
HEDGE = VenueStopped("the account is in hedge mode now", found="hedge", mend="set it back to one-way")


def named(logs: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in logs if line["event"] == event]


def test_a_venue_that_stopped_is_sent_nothing_until_it_verifies_again_and_the_other_goes_on(files: Files) -> None:
    """Targets go on being decided; the stop is said once, at error."""
    main, second = ScriptedVenue("main"), ScriptedVenue("second")

    async def scenario(trading: Trading) -> None:
        connection = trading.desk.connections["main"]
        trading.want(trend=1.0, other=1.0)
        async with trading.running():
            await until(lambda: main.held and second.held)
            main.trouble["verify", ""] = HEDGE
            await until(lambda: connection.stopped is not None)
            trading.want(trend=0.5, other=0.5)
            trading.reconciler.mailbox.put("decide")
            await until(lambda: second.held == {BTC.symbol: Decimal("0.05")})
            await until(lambda: trading.journal.targets[BTC].quantity == Decimal("0.05"))
            verified = main.verified
            await until(lambda: main.verified > verified + 2)
            look = trading.reconciler.worker(BTC).last
            assert (look.standing, look.reason) == (
                Standing.REFUSED,
                "the venue is stopped: the account is in hedge mode now",
            )
            assert len(main.placed) == 1
            assert [problem.what for problem in connection.problems] == [HEDGE.what]
            assert connection.problems[0].mend == HEDGE.mend
            del main.trouble["verify", ""]
            await until(lambda: main.held == {BTC.symbol: Decimal("0.05")})
            assert (connection.problems, trading.halted()) == ([], "")

    with capture_logs() as logs:
        trade(files, scenario, main, second, weights=WEIGHTS, exchanges=ROUTES, settings=QUICK)
    assert [(line["venue"], line["log_level"]) for line in named(logs, "venue.stopped")] == [("main", "error")]
    assert [line["venue"] for line in named(logs, "venue.recovered")] == ["main"]


@pytest.mark.parametrize("method", ["positions", "price", "find", "place"])
def test_a_stop_that_any_answer_tells_stops_the_venue(files: Files, method: str) -> None:
    """Not only the look at every resync notices it."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        trading.want(trend=1.0)
        worker = await trading.decided()
        if method == "find":
            venue.trouble["place", BTC.symbol] = OrderUnknown("timeout")
            await worker.look()
        venue.trouble[method, "" if method == "positions" else BTC.symbol] = HEDGE
        sent = len(venue.placed) + (method == "place")
        assert (await worker.look()).standing is Standing.REFUSED
        assert trading.desk.connections["main"].stopped is not None
        await worker.look()
        assert len(venue.placed) == sent
        assert len(trading.journal.open_intents) == (method in {"find", "place"})

    trade(files, scenario)


def test_a_venue_that_asks_for_a_pause_is_sent_nothing_not_even_a_reduction(files: Files) -> None:
    """Hammering one that banned us helps nobody."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        trading.want(trend=1.0)
        await trading.reconciler.once()
        HaltSwitch(trading.workspace).trip("enough", flatten=True)
        venue.paused = 30.0
        worker = trading.reconciler.worker(BTC)
        looks = [await worker.look() for _ in range(3)]
        assert {(look.standing, look.reason) for look in looks} == {
            (Standing.UNKNOWN, "the venue asks for a pause of 30.0 s")
        }
        assert all(look.again is not None and 30 < look.again < 31 for look in looks)
        assert len({look.again for look in looks}) > 1, "markets do not all come back in the same moment"
        assert len(venue.placed) == 1
        assert trading.rows("SELECT count(*) FROM intents") == [(1,)]
        assert trading.desk.connections["main"].problems == []
        venue.paused = 0.0
        await worker.look()
        assert venue.held == {BTC.symbol: 0}

    with capture_logs() as logs:
        trade(files, scenario)
    assert [(line["seconds"], line["log_level"]) for line in named(logs, "venue.paused")] == [(30.0, "warning")]
    assert named(logs, "venue.unreachable") == []


@pytest.mark.parametrize("method", ["positions", "price"])
def test_a_read_that_ends_in_a_pause_is_no_failure(files: Files, method: str) -> None:
    """The pause holds for all markets of the venue, and the next look after it trades."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        trading.want(trend=1.0)
        worker = await trading.decided()
        place = method, "" if method == "positions" else BTC.symbol
        venue.trouble[place] = VenuePaused("429", seconds=0.2)
        look = await worker.look()
        assert (look.standing, look.reason) == (Standing.UNKNOWN, "the venue asks for a pause of 0.2 s")
        assert trading.desk.connections["main"].pause() > 0
        assert trading.desk.connections["main"].connected
        assert (await trading.reconciler.worker(ETH).look()).standing is Standing.UNKNOWN
        del venue.trouble[place]
        await until(lambda: trading.desk.connections["main"].pause() == 0)
        await worker.look()
        assert venue.held == {BTC.symbol: Decimal("0.2")}

    with capture_logs() as logs:
        trade(files, scenario)
    assert len(named(logs, "venue.paused")) == 1
    assert named(logs, "venue.unreachable") == []


def test_a_pause_that_begins_with_one_order_of_a_burst_keeps_the_others_back(files: Files) -> None:
    """Those that are journaled already are marked as not sent."""
    files.state("other", 0.5, symbol="ETHUSDT")

    async def scenario(trading: Trading) -> None:
        venue = trading.venue

        def refused(_: Intent) -> OrderReport:
            venue.paused = 0.3
            raise OrderRefused("429")

        venue.answers.append(refused)
        trading.want(trend=0.5)
        async with trading.running():
            await until(lambda: venue.placed)
            await until(lambda: venue.paused == 0.3)
            await until(lambda: trading.reconciler.workers.keys() == {BTC, ETH})
            await until(lambda: all("pause" in worker.last.reason for worker in trading.reconciler.workers.values()))
            assert len(venue.placed) == 1
            venue.paused = 0.0
            await until(lambda: venue.held == {BTC.symbol: Decimal("0.05"), ETH.symbol: Decimal(1)})
        assert len(venue.placed) == 3

    trade(files, scenario, weights={"trend": 0.5, "other": 0.5})


def test_a_decision_that_a_pause_held_up_is_made_when_it_is_over(files: Files) -> None:
    """And not at the next resync only."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        async with trading.running():
            await until(lambda: trading.desk.connections["main"].connected)
            venue.trouble["price", BTC.symbol] = VenuePaused("429", seconds=0.2)
            trading.want(trend=1.0)
            trading.reconciler.mailbox.put("decide")
            await until(lambda: trading.desk.connections["main"].pause() > 0)
            del venue.trouble["price", BTC.symbol]
            await until(lambda: venue.held == {BTC.symbol: Decimal("0.2")})

    with capture_logs() as logs:
        trade(files, scenario, settings="[reconciler]\nresync_seconds = 3600\n")
    assert named(logs, "target.refused") == []


def test_the_accounts_of_a_paused_venue_are_not_asked(files: Files) -> None:
    """Neither for their worth nor for their mode."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        accounts = Accounts(trading.desk, recovered=lambda _: None)
        await trading.desk.connections["main"].connect()
        await accounts.look()
        assert (venue.verified, venue.equity_reads) == (1, 2)
        venue.paused = 30.0
        await accounts.look()
        assert (venue.verified, venue.equity_reads) == (1, 2)

    trade(files, scenario)


@pytest.mark.parametrize("symbol", [BTC.symbol, "DOGE/USDT:USDT"])
def test_a_liquidation_halts_and_the_position_that_it_left_is_locked(files: Files, symbol: str) -> None:
    """Nothing is entered again, and a market that nobody manages is no less of an alarm."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        trading.want(trend=1.0)
        async with trading.running():
            await until(lambda: venue.held)
            venue.held.clear()
            venue.news.put_nowait(Liquidated(symbol, "liquidation"))
            await until(trading.halted)
            assert trading.halted() == f"liquidation of {Key('main', symbol)}: liquidation"
            assert trading.workspace.halted()
            if symbol == BTC.symbol:
                await until(lambda: BTC in trading.journal.locks)
            assert len(venue.placed) == 1

    with capture_logs() as logs:
        trade(files, scenario, settings="[reconciler]\nresync_seconds = 3600\n")
    ((line),) = named(logs, "position.liquidated")
    assert (line["symbol"], line["what"], line["log_level"]) == (symbol, "liquidation", "error")
