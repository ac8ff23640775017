"""Streams that break, lose messages, die quietly or say what is not true: what is read over REST decides."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import pytest

from tests.emulators.account_records import AccountEvent, Position
from tests.emulators.binance import BinanceFutures
from tests.emulators.faults import Lose, Reset
from tests.faults.order_requests import placed
from tests.faults.world import World, symbol
from tests.harness.workspace import Files

pytestmark = pytest.mark.slow  # an exchange and its client in each test

SELDOM = "[reconciler]\nresync_seconds = 600\n\n[risk]\nmax_orders_per_minute = 0\n"
OFTEN = "[reconciler]\nresync_seconds = 0.5\n\n[risk]\nmax_orders_per_minute = 0\n"


class Names(NamedTuple):
    """What an exchange calls its account's stream, and its messages on fills and positions."""

    socket: str
    messages: tuple[str, ...]


NAMES = {
    "binanceusdm": Names("user", ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE")),
    "okx": Names("private", ("orders", "positions", "account", "balance_and_position")),
}


def open_world(request: pytest.FixtureRequest, paths: pytest.TempPathFactory, settings: str) -> Iterator[World]:
    """Yield a daemon that holds 1 ETH and hears its streams. Whatever a test does, it is left with that."""
    with World(Files(paths.mktemp("world")), request.param) as world:
        world.want("ETH", 1)
        world.start(settings=settings)
        world.until_held("ETH", 1)
        world.exchange.wait_for(lambda: listening(world))
        yield world


@pytest.fixture(scope="module", params=NAMES)
def quiet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which only events make the daemon look: the next resync is far away."""
    yield from open_world(request, tmp_path_factory, SELDOM)


@pytest.fixture(scope="module", params=NAMES)
def busy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that is resynced twice a second."""
    yield from open_world(request, tmp_path_factory, OFTEN)


def socket_of(world: World) -> str:
    """Return the kind of the account's socket."""
    return NAMES[world.kind].socket


def listening(world: World) -> bool:
    """Return whether the daemon hears the account's stream."""
    sockets = [socket for socket in world.exchange.sockets if socket.kind == socket_of(world) and not socket.silent]
    return any(socket.subscriptions or socket.kind == "user" for socket in sockets)


def keep_out(world: World) -> None:
    """Cut every socket and let none in again."""
    world.exchange.faults.add_lasting("socket", Reset(processed=False))
    since = world.daemons[-1].mark()
    world.exchange.close_sockets()
    world.daemons[-1].wait_for("stream.interrupted", since=since)


def let_in(world: World) -> None:
    """Let sockets in again, and wait until the account's stream is back."""
    since = world.daemons[-1].mark()
    world.exchange.faults.clear()
    world.daemons[-1].wait_for("stream.reopened", since=since)


def drifts(world: World) -> int:
    """Return how often the position of ETH was found to be what no fill explains."""
    return len(world.daemons[-1].named("position.drifted", symbol=symbol("ETH")))


def lock_and_trade_back(world: World, since: int, back: str) -> None:
    """See that the drift of ETH was found, trade it back, and see that the market is traded on."""
    daemon = world.daemons[-1]
    daemon.wait_for("symbol.locked", since=since, symbol=symbol("ETH"))
    side = "buy" if Decimal(back) > 0 else "sell"
    world.account.trade(world.market("ETH").id, side, abs(world.units("ETH", back)))  # type: ignore[arg-type]
    daemon.wait_for("symbol.unlocked", since=since, symbol=symbol("ETH"))
    world.want("ETH", 1)
    world.until_held("ETH", 1)
    world.assert_sound()


def test_fault_18_a_change_during_a_gap_is_found_when_the_stream_is_back(quiet: World) -> None:
    """The stream never tells it, and no resync is due: the reconnection itself makes the daemon read."""
    since, sent = quiet.daemons[-1].mark(), len(placed(quiet, "ETH"))
    keep_out(quiet)
    quiet.account.trade(quiet.market("ETH").id, "buy", quiet.units("ETH", 2))
    let_in(quiet)
    lock_and_trade_back(quiet, since, "-2")
    assert len(placed(quiet, "ETH")) == sent


def test_fault_18_an_order_during_a_gap_is_planned_from_a_position_that_was_read(quiet: World) -> None:
    """A target that changes while no stream is open meets the position of now, not the one that was told last."""
    since, sent = quiet.daemons[-1].mark(), len(placed(quiet, "ETH"))
    keep_out(quiet)
    quiet.account.trade(quiet.market("ETH").id, "buy", quiet.units("ETH", 2))
    quiet.want("ETH", 4)
    quiet.daemons[-1].wait_for("symbol.locked", since=since, symbol=symbol("ETH"))
    assert len(placed(quiet, "ETH")) == sent
    let_in(quiet)
    lock_and_trade_back(quiet, since, "-2")


def test_fault_18_a_listen_key_that_expires_is_replaced(quiet: World) -> None:
    """The next stream asks for a new key, and what happened in between is found."""
    if not isinstance(quiet.exchange, BinanceFutures):
        pytest.skip("a matter of Binance")
    since = quiet.daemons[-1].mark()
    before = quiet.exchange.settings.listen_key
    quiet.exchange.expire_listen_key()
    quiet.account.trade(quiet.market("ETH").id, "buy", quiet.units("ETH", 2))
    quiet.daemons[-1].wait_for("stream.reopened", since=since)
    assert quiet.exchange.settings.listen_key not in {None, before}
    lock_and_trade_back(quiet, since, "-2")


@pytest.mark.slow
def test_fault_18_a_socket_that_is_open_but_dead_is_noticed(quiet: World) -> None:
    """Nobody closes it; its pongs stay away."""
    since = quiet.daemons[-1].mark()
    quiet.exchange.silence()
    quiet.account.trade(quiet.market("ETH").id, "buy", quiet.units("ETH", 2))
    quiet.daemons[-1].wait_for("stream.reopened", since=since)
    lock_and_trade_back(quiet, since, "-2")


def test_fault_18_orders_are_sent_and_their_fills_found_without_any_stream(quiet: World) -> None:
    """REST tells all of it, only later."""
    keep_out(quiet)
    for quantity in (3, -1, 1):
        quiet.want("ETH", quantity)
        quiet.until_held("ETH", quantity)
    quiet.assert_sound()
    let_in(quiet)
    quiet.assert_sound()


def test_fault_19_a_lost_message_is_made_good_within_one_resync(busy: World) -> None:
    """The stream is alive and silent on one trade. Only after a fill of our own the exchange is given more time."""
    daemon, names = busy.daemons[-1], NAMES[busy.kind]
    interrupted = len(daemon.named("stream.interrupted"))
    for message in names.messages:
        busy.exchange.faults.add_stream(Lose(), socket=names.socket, name=message, times=None)
    for _ in ("after a fill of our own", "later"):
        since, resyncs = daemon.mark(), busy.exchange.count("mode")
        busy.account.trade(busy.market("ETH").id, "buy", busy.units("ETH", 2))
        daemon.wait_for("symbol.locked", since=since, symbol=symbol("ETH"))
        looked = busy.exchange.count("mode") - resyncs
        busy.account.trade(busy.market("ETH").id, "sell", busy.units("ETH", 2))
        daemon.wait_for("symbol.unlocked", since=since, symbol=symbol("ETH"))
    assert looked <= 3, "one under way, the one that found it, and one since"
    assert len(daemon.named("stream.interrupted")) == interrupted
    busy.exchange.faults.clear()
    busy.assert_sound()


@pytest.mark.parametrize("which", [0, 1], ids=["orders", "positions"])
def test_fault_19_our_own_fills_are_found_though_the_stream_loses_them(busy: World, which: int) -> None:
    """Whichever of its two messages is lost, the fill is journaled once and nothing is corrected."""
    names = NAMES[busy.kind]
    sent, before = len(placed(busy, "ETH")), drifts(busy)
    rule = busy.exchange.faults.add_stream(Lose(), socket=names.socket, name=names.messages[which], times=None)
    for quantity in (3, 1):
        busy.want("ETH", quantity)
        busy.until_held("ETH", quantity)
        busy.assert_sound()
    assert rule.hits >= 2
    busy.exchange.faults.clear()
    assert len(placed(busy, "ETH")) == sent + 2
    assert drifts(busy) == before


def test_fault_20_a_phantom_row_of_the_stream_is_not_traded_on(busy: World) -> None:
    """The stream tells a position that nobody has; the next order is as large as the true one needs."""
    before, sent = drifts(busy), len(busy.account.orders)
    phantom = Position(busy.market("ETH").id, "net", busy.units("ETH", 40), Decimal(2500), updated=busy.account.now())
    with busy.account.changed:
        for listener in busy.account.listeners:
            listener(AccountEvent("adjustment", (phantom,), ()))
        reads = busy.exchange.count("positions")
    busy.exchange.wait_for(lambda: busy.exchange.count("positions") > reads + 1)
    busy.want("ETH", 3)
    busy.until_held("ETH", 3)
    busy.want("ETH", 1)
    busy.until_held("ETH", 1)
    busy.assert_sound()
    quantities = [order.quantity for order in busy.account.orders[sent:]]
    assert quantities == [busy.units("ETH", 2)] * 2
    assert drifts(busy) == before
