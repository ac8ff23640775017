"""What ccxt's streams do wrong, and that the venue is not fooled by it."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from portfoliod.venues import PositionMoved, Reconnected
from portfoliod.venues.ccxtpro.client import make_client
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from tests.emulators.binance import BinanceFutures
from tests.emulators.faults import Delay, Fills, Lose, Reset, Swap, Twice
from tests.venues.scenes import BINANCE, BOTH, OKX, On, Scene, filled_by, name_of, play

pytestmark = pytest.mark.slow  # an exchange and its client in each test

on_both = pytest.mark.parametrize("on", BOTH, ids=name_of)
QUICK_PINGS = {"streaming": {"keepAlive": 200}}


@on_both
def test_events_that_come_while_nobody_waits_are_told(tmp_path: Path, on: On) -> None:
    """Of a burst ccxt wakes its watcher once: every fill of it is told all the same, none twice."""

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            scene.exchange.default_fills = Fills(parts=20)
            report = await scene.order("0.2")
            true = {str(trade.id) for trade in scene.exchange.account.trades}
            assert len(true) == 20
            await scene.caught_up()
            assert {fill.trade_id for fill in (*report.fills, *scene.fills())} == true
            assert filled_by(list(report.fills)) == Decimal("0.2") == await scene.position()

    play(on, tmp_path, scenario)


@on_both
@pytest.mark.parametrize(("snapshot", "awaited"), [(None, None), (False, True), (True, False), (True, True)])
def test_a_position_that_moves_is_told_with_every_snapshot_option(
    tmp_path: Path, on: On, snapshot: bool | None, awaited: bool | None
) -> None:
    """The socket of the positions is open at once, and what the account does is told, whatever ccxt takes first."""
    chosen = {"fetchPositionsSnapshot": snapshot, "awaitPositionsSnapshot": awaited}
    watch = {name: value for name, value in chosen.items() if value is not None}

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            if not snapshot:
                assert scene.exchange.count("positions") == 0, "no snapshot that nobody asked for"
            scene.manual("0.3")
            await scene.hears(PositionMoved, lambda event: event.symbol == scene.symbol)
            assert await scene.position() == Decimal("0.3")

    play(on, tmp_path, scenario, options={"options": {"watchPositions": watch}})


def test_a_slow_snapshot_does_not_overwrite_what_came_after_it(tmp_path: Path) -> None:
    """A snapshot that ccxt asked for before a trade and got after it changes nothing in what is held."""

    async def scenario(scene: Scene) -> None:
        scene.manual("0.1")
        rule = scene.exchange.faults.add("positions", Delay(after=0.5))
        async with scene.listening():
            await scene.exchange.until(lambda: rule.hits == 1)
            scene.manual("0.2")
            await scene.hears(PositionMoved)
            assert await scene.position() == Decimal("0.3")
            reads = [request for request in scene.exchange.requests if request.kind == "positions"]
            await scene.exchange.until(lambda: all(request.status == 200 for request in reads))
            assert await scene.position() == Decimal("0.3")

    snapshot = {"fetchPositionsSnapshot": True, "awaitPositionsSnapshot": False}
    play(BINANCE, tmp_path, scenario, options={"options": {"watchPositions": snapshot}})


@on_both
@pytest.mark.parametrize("code", [None, 1001])
def test_what_happened_during_an_outage_is_found_after_it(tmp_path: Path, on: On, code: int | None) -> None:
    """No stream tells it: `Reconnected` is said, once, and a snapshot has it."""

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            await scene.order("0.2")
            out = scene.exchange.faults.add_lasting("socket", Reset(processed=False))
            scene.exchange.close_sockets("*", code=code)
            await scene.exchange.until(lambda: not scene.exchange.sockets)
            scene.manual("-0.5")
            assert await scene.position() == Decimal("-0.3"), "not answered from before, without a stream"
            scene.exchange.faults.remove(out)
            await scene.hears(Reconnected)
            assert await scene.position() == Decimal("-0.3")
            heard = len(scene.heard)
            scene.manual("0.1")
            await scene.hears(PositionMoved, since=heard)
            assert sum(isinstance(event, Reconnected) for event in scene.heard) == 1

    play(on, tmp_path, scenario)


@on_both
def test_streams_that_wait_longer_than_the_socket_they_share_is_away_are_back_too(tmp_path: Path, on: On) -> None:
    """The log is slow, so the streams notice one after another; the first opens the socket for all."""

    def slow(_logger: object, _method: str, event: EventDict) -> EventDict:
        if event["event"] == "stream.broke":
            time.sleep(0.2)
        return event

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            scene.exchange.close_sockets(on.socket)
            scene.manual("0.2")
            await scene.hears(Reconnected)
            assert await scene.position() == Decimal("0.2")

    with capture_logs(processors=[slow]):
        play(on, tmp_path, scenario)


@on_both
def test_a_snapshot_without_a_stream_is_never_old(tmp_path: Path, on: On) -> None:
    """While no stream would tell that a position moved, a look is not answered from a snapshot of before."""

    async def scenario(scene: Scene) -> None:
        for signed in ("0.1", "0.2", "-0.3"):
            scene.manual(signed)
            assert await scene.position() == scene.truth

    play(on, tmp_path, scenario)


@on_both
@pytest.mark.parametrize("hedged", [False, True])
def test_a_position_that_became_flat_is_flat(tmp_path: Path, on: On, hedged: bool) -> None:
    """In ccxt's cache the stale row stays beside the flat one; the move is told and the snapshot has nothing."""

    async def scenario(scene: Scene) -> None:
        leg = "short" if hedged else "net"
        async with scene.listening():
            await scene.order("-0.4")
            heard = len(scene.heard)
            scene.manual("0.4", leg=leg)
            await scene.hears(PositionMoved, since=heard)
            assert await scene.position() == 0

    play(on, tmp_path, scenario, hedged=hedged)


@on_both
def test_one_who_gives_up_waiting_takes_nobody_along(tmp_path: Path, on: On) -> None:
    """A cancelled wait for an event, a price or a snapshot leaves the streams to the others."""

    async def scenario(scene: Scene) -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(scene.venue.events()), 0.01)
        async with scene.listening():
            waits = [scene.venue.price(scene.symbol), scene.venue.positions(float("inf")), scene.venue.equity()]
            tasks = [asyncio.ensure_future(each) for each in waits]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            scene.manual("0.2")
            await scene.hears(PositionMoved)
            assert (await scene.venue.price(scene.symbol)).value > 0

    play(on, tmp_path, scenario)


@pytest.mark.parametrize("dead_key", ["close", "silent"])
@pytest.mark.parametrize("told", [True, False])
def test_an_expired_listen_key_is_replaced(tmp_path: Path, dead_key: str, told: bool) -> None:
    """Whether the exchange says so or its socket just ends: a new key, few handshakes, and fills are told again."""

    async def scenario(scene: Scene) -> None:
        exchange = scene.exchange
        assert isinstance(exchange, BinanceFutures)
        exchange.streams.dead_key = "close" if dead_key == "close" else "silent"
        async with scene.listening():
            if not told:
                exchange.faults.add_stream(Lose(), name="listenKeyExpired")
            before = exchange.settings.listen_key
            exchange.expire_listen_key()
            if not told:
                exchange.close_sockets("user")
            await scene.hears(Reconnected)
            await exchange.until(scene.subscribed)
            assert exchange.settings.listen_key not in {None, before}
            assert exchange.count("socket") <= 8
            await scene.caught_up()

    play(BINANCE, tmp_path, scenario)


def test_a_listen_key_that_died_in_silence_is_replaced_when_it_is_renewed(tmp_path: Path) -> None:
    """The key is gone, nobody says so, the socket stays open: the next renewal finds out."""

    async def scenario(scene: Scene) -> None:
        exchange = scene.exchange
        assert isinstance(exchange, BinanceFutures)
        exchange.streams.dead_key = "silent"
        async with scene.listening():
            exchange.faults.add_stream(Lose(), name="listenKeyExpired")
            exchange.expire_listen_key()
            await exchange.until(scene.subscribed)
            await scene.hears(Reconnected)
            await scene.caught_up()

    play(BINANCE, tmp_path, scenario, options={"options": {"listenKeyRefreshRate": 700}})


@on_both
def test_a_zombie_socket_is_noticed(tmp_path: Path, on: On) -> None:
    """A socket that is open and silent is left for a new one, and that is said."""

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            scene.exchange.silence(on.socket)
            scene.manual("0.2")
            await scene.hears(Reconnected)
            await scene.exchange.until(scene.subscribed)
            assert await scene.position() == Decimal("0.2")
            await scene.caught_up()

    play(on, tmp_path, scenario, options=QUICK_PINGS)


@on_both
def test_silent_sockets_are_noticed_within_seconds_by_default(on: On) -> None:
    """By default ccxt takes minutes on binance; two pings without an answer end a socket."""
    client = make_client(CcxtSettings(exchange=on.kind), None, "here")
    assert client.streaming["keepAlive"] <= 3000


@on_both
@pytest.mark.parametrize("fault", [Lose(), Twice(), Swap(), Delay(after=0.7)], ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("parts", [1, 4])
def test_a_fill_is_told_once_whatever_the_stream_does(
    tmp_path: Path, on: On, fault: Lose | Twice | Swap | Delay, parts: int
) -> None:
    """Lost, doubled, swapped or late: the report is complete, and the stream tells none of its fills twice."""

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            scene.exchange.default_fills = Fills(parts=parts)
            scene.exchange.faults.add_stream(fault, socket=on.socket, name=on.fill_message, times=3)
            report = await scene.order("0.4")
            assert report.filled == Decimal("0.4")
            assert len(report.fills) == parts
            await scene.caught_up()
            assert {fill.trade_id for fill in scene.fills()} <= {fill.trade_id for fill in report.fills}
            assert filled_by(list(report.fills)) == Decimal("0.4") == await scene.position()

    play(on, tmp_path, scenario)


def test_okx_sockets_that_drop_the_login_are_logged_in_again(tmp_path: Path) -> None:
    """A private socket that is closed with OKX's own code comes back with login and subscriptions."""

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            scene.exchange.close_sockets("private", code=4004)
            await scene.hears(Reconnected)
            await scene.exchange.until(scene.subscribed)
            scene.manual("0.2")
            await scene.hears(PositionMoved)

    play(OKX, tmp_path, scenario)
