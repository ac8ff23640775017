"""Positions that are not what they should be: hidden, late, phantom, somebody else's, or in two legs."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.emulators.account_records import Leg, Position
from tests.emulators.binance import BinanceFutures
from tests.emulators.faults import (
    Action,
    BusinessError,
    HidePositions,
    Lag,
    Lose,
    Reset,
    ShowPosition,
    Truncate,
    empty,
    garbled,
    html,
)
from tests.faults.order_requests import placed
from tests.faults.world import World, both_exchanges, symbol, unhurried
from tests.harness.daemon import run_command
from tests.harness.workspace import Files
from tests.tasks.evidence import until

pytestmark = pytest.mark.slow  # an exchange and its client in each test

OFTEN = "[reconciler]\nresync_seconds = 0.3\n\n[risk]\nmax_orders_per_minute = 0\n"
PLACES = [
    ("binanceusdm", False),
    ("okx", True),
    pytest.param(("binanceusdm", True), marks=pytest.mark.slow),
    pytest.param(("okx", False), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: f"{place[0]}-{'hedge' if place[1] else 'one_way'}")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon that holds 1 ETH and 0.1 BTC, beside 5 SOL that nobody asked it for. A test leaves it with that."""
    kind, hedged = request.param
    with World(Files(tmp_path_factory.mktemp("world")), kind, hedged=hedged) as world:
        world.account.set_position(world.market("SOL").id, world.units("SOL", 5), leg=leg_of(world, "long"))
        world.want("ETH", 1)
        world.want("BTC", "0.1")
        world.start(settings=OFTEN, venue=unhurried(world))
        world.until_held("ETH", 1)
        world.until_held("BTC", "0.1")
        yield world
        assert world.held("SOL") == 5, "fault 25: a position in a foreign symbol is left alone"


def leg_of(world: World, leg: Leg) -> Leg:
    """Return the leg, which in one-way mode is the only one."""
    return leg if world.account.hedged else "net"


def trade_by_hand(world: World, base: str, quantity: int | str) -> None:
    """Buy or sell on the long side behind the daemon's back."""
    amount = Decimal(quantity)
    side = "buy" if amount > 0 else "sell"
    world.account.trade(world.market(base).id, side, abs(world.units(base, amount)), leg=leg_of(world, "long"))  # type: ignore[arg-type]


def failing(world: World) -> dict[str, Action]:
    """Return what can be wrong with an answer about positions."""
    busy = BusinessError(code=-1001 if world.kind == "binanceusdm" else 50001)
    return {
        "error": busy,
        "page": html(502),
        "garbled": garbled(),
        "empty body": empty(),
        "cut": Truncate(),
        "reset": Reset(processed=False),
        "no rows": HidePositions(),
        "no row of ETH": HidePositions(frozenset({world.market("ETH").id})),
    }


@pytest.mark.parametrize(
    "fault",
    [
        *("error", "reset", "no rows", "no row of ETH"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("page", "garbled", "empty body", "cut")),
    ],
)
def test_fault_23_positions_that_cannot_be_read_are_never_flat(world: World, fault: str) -> None:
    """While the answer is wrong nothing is sent that would be right if ETH were flat; afterwards all goes on."""
    sent = len(world.account.orders)
    rule = world.exchange.faults.add_lasting("positions", failing(world)[fault])
    world.exchange.wait_for(lambda: rule.hits >= 2)
    world.want("ETH", 2)
    world.exchange.wait_for(lambda: rule.hits >= 4)
    world.exchange.faults.remove(rule)
    world.until_held("ETH", 2)
    world.want("ETH", 1)
    world.until_held("ETH", 1)
    world.assert_sound()
    until(lambda: world.row("ETH")["status"], lambda status: status == "in_step")
    assert [order.quantity for order in world.account.orders[sent:]] == [world.units("ETH", 1)] * 2
    assert world.held("BTC") == Decimal("0.1")


def test_fault_20_a_phantom_row_of_one_answer_is_not_traded_on(world: World) -> None:
    """A row that a second answer does not repeat was never there."""
    sent, locked = len(world.account.orders), len(world.daemons[-1].named("symbol.locked"))
    phantom = Position(
        world.market("ETH").id,
        leg_of(world, "long"),
        world.units("ETH", 40),
        Decimal(2500),
        updated=world.account.now(),
    )
    rule = world.exchange.faults.add("positions", ShowPosition(phantom))
    world.exchange.wait_for(lambda: rule.hits == 1)
    world.want("ETH", 3)
    world.until_held("ETH", 3)
    world.want("ETH", 1)
    world.until_held("ETH", 1)
    world.assert_sound()
    assert [order.quantity for order in world.account.orders[sent:]] == [world.units("ETH", 2)] * 2
    assert len(world.daemons[-1].named("symbol.locked")) == locked


@pytest.mark.parametrize("streamed", [True, False], ids=["with its stream", "without"])
def test_fault_21_a_rest_answer_that_lags_behind_our_own_fill_is_not_corrected(world: World, streamed: bool) -> None:
    """The answers show the positions of two seconds ago, after each of three orders."""
    sent, locked = len(world.account.orders), len(world.daemons[-1].named("symbol.locked"))
    if not streamed:
        socket = "user" if world.kind == "binanceusdm" else "private"
        world.exchange.faults.add_stream(Lose(), socket=socket, times=None)
    world.exchange.faults.add_lasting("positions", Lag(2.0))
    for quantity in (3, 2, 1):
        world.want("ETH", quantity)
        world.until_held("ETH", quantity)
        world.assert_sound()
    world.exchange.faults.clear()
    world.until_row("ETH", status="in_step", position="1")
    assert [order.quantity for order in world.account.orders[sent:]] == [world.units("ETH", each) for each in (2, 1, 1)]
    assert len(world.daemons[-1].named("symbol.locked")) == locked


def test_fault_24_a_manual_trade_locks_its_market_until_it_is_traded_back(world: World) -> None:
    """It is neither fought nor adopted; another market goes on, and the lock ends by itself."""
    daemon, since, sent = world.daemons[-1], world.daemons[-1].mark(), len(placed(world, "ETH"))
    trade_by_hand(world, "ETH", 2)
    locked = daemon.wait_for("symbol.locked", since=since, symbol=symbol("ETH"))
    assert [Decimal(locked[name]) for name in ("expected", "actual")] == [1, 3]
    assert "portfoliod unlock" in locked["mend"]
    world.want("ETH", 2)
    world.want("BTC", "0.2")
    world.until_held("BTC", "0.2")
    row = world.until_row("ETH", status="locked")
    assert "our fills explain 1" in row["reason"]
    assert len(placed(world, "ETH")) == sent
    trade_by_hand(world, "ETH", -2)
    daemon.wait_for("symbol.unlocked", since=since, symbol=symbol("ETH"))
    world.until_held("ETH", 2)
    world.want("ETH", 1)
    world.want("BTC", "0.1")
    world.until_held("ETH", 1)
    world.until_held("BTC", "0.1")
    world.assert_sound()


def test_fault_24_a_manual_trade_is_taken_over_by_portfoliod_unlock(world: World) -> None:
    """After the person's word the position is what it is, and the difference to the target is traded."""
    daemon, since = world.daemons[-1], world.daemons[-1].mark()
    trade_by_hand(world, "ETH", 2)
    daemon.wait_for("symbol.locked", since=since, symbol=symbol("ETH"))
    assert run_command(world.files.root, "unlock", "SOLUSDT").returncode == 1
    done = run_command(world.files.root, "unlock", "ETHUSDT")
    assert (done.returncode, done.stderr) == (0, "")
    taken = daemon.wait_for("position.taken_over", since=since, symbol=symbol("ETH"))
    assert Decimal(taken["position"]) == 3
    world.until_held("ETH", 1)
    world.assert_sound()


@both_exchanges
def test_fault_23_an_empty_answer_at_the_start_is_not_taken_over_as_flat(files: Files, kind: str) -> None:
    """What is held is taken over once the exchange tells it, and only the difference is traded."""
    with World(files, kind) as world:
        world.account.set_position(world.market("ETH").id, world.units("ETH", 2))
        rule = world.exchange.faults.add("positions", HidePositions(), times=3)
        world.want("ETH", 3)
        daemon = world.start(settings=OFTEN, venue=unhurried(world))
        assert Decimal(daemon.wait_for("position.taken_over", symbol=symbol("ETH"))["position"]) == 2
        assert rule.hits == 3
        world.until_held("ETH", 3)
        world.assert_sound()


@both_exchanges
def test_fault_25_a_position_that_no_strategy_asked_for_is_left_alone(files: Files, kind: str) -> None:
    """Beside trades, after somebody trades it by hand, a restart, and when everything of the daemon's is flattened."""
    with World(files, kind) as world:
        for base, quantity in (("SOL", 5), ("DOGE", -1000)):
            world.account.set_position(world.market(base).id, world.units(base, quantity))
        files.state("without_a_weight", 3.0, symbol=symbol("DOGE"))
        world.want("ETH", 1)
        first = world.start(settings=OFTEN, venue=unhurried(world))
        world.until_held("ETH", 1)
        trade_by_hand(world, "SOL", 2)
        world.want("ETH", -1)
        world.until_held("ETH", -1)
        first.terminate()
        second = world.start(settings=OFTEN, venue=unhurried(world))
        world.want("ETH", 2)
        world.until_held("ETH", 2)
        world.assert_sound()
        assert run_command(files.root, "flatten", "--yes").returncode == 0
        world.until_held("ETH", 0)
        assert [row["symbol"] for row in second.status()["markets"]] == [symbol("ETH")]
        assert [world.held(base) for base in ("SOL", "DOGE")] == [7, -1000]
        assert placed(world, "SOL") == placed(world, "DOGE") == []
        assert not [*first.named("symbol.locked"), *second.named("symbol.locked")]


@both_exchanges
def test_fault_28_the_legs_of_a_hedge_are_summed_the_empty_one_first(files: Files, kind: str) -> None:
    """A short leg behind an empty long one is a short; a long beside a short is what remains of both."""
    with World(files, kind, hedged=True) as world:
        if isinstance(world.exchange, BinanceFutures):
            world.exchange.pages.empty_legs = True
        for base, leg, quantity in (("ETH", "short", -2), ("BTC", "long", "0.3"), ("BTC", "short", "-0.1")):
            world.account.set_position(world.market(base).id, world.units(base, quantity), leg=leg)  # type: ignore[arg-type]
        world.want("ETH", -3)
        world.want("BTC", "-0.1")
        daemon = world.start(settings=OFTEN, venue=unhurried(world))
        for base, quantity in (("ETH", "-2"), ("BTC", "0.2")):
            taken = daemon.wait_for("position.taken_over", symbol=symbol(base))
            assert Decimal(taken["position"]) == Decimal(quantity)
        world.until_held("ETH", -3)
        world.until_held("BTC", "-0.1")
        world.assert_sound()
        for base, leg, quantity in (
            ("ETH", "long", 0),
            ("ETH", "short", -3),
            ("BTC", "long", "0.1"),
            ("BTC", "short", "-0.2"),
        ):
            assert world.account.position(world.market(base).id, leg) == world.units(base, quantity)  # type: ignore[arg-type]
