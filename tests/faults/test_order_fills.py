"""Fills that come early, late, twice, in part, or that the exchange denies."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.emulators.account_records import OrderStatus
from tests.emulators.faults import Action, Delay, Fills, Hang, Lag, Lose, OrderLooks, Reset, Twice
from tests.faults.order_requests import asked, placed
from tests.faults.world import World, both_exchanges, both_modes, symbol
from tests.harness.daemon import PATIENCE
from tests.harness.workspace import Files
from tests.tasks.evidence import intents, journal, until

pytestmark = pytest.mark.slow  # an exchange and its client in each test

MESSAGES = {"binanceusdm": ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"), "okx": ("orders", "positions", "trades")}
"""What streams say of fills and of positions."""
SOCKET = {"binanceusdm": "user", "okx": "private"}


def until_working(world: World) -> None:
    """Wait until an order is known to be open."""
    until(lambda: journal(world.files.root, "SELECT 1 FROM intents WHERE status = 'working'"))


def lose_fills(world: World) -> None:
    """Let the streams say nothing of fills and positions from now on."""
    for name in MESSAGES[world.kind]:
        world.exchange.faults.add_stream(Lose(), socket=SOCKET[world.kind], name=name, times=None)


def quantities(world: World) -> list[tuple[str, int]]:
    """Return side and quantity of all intents."""
    return [(side, int(quantity)) for _, side, quantity, _, _ in intents(world.files.root)]


@both_exchanges
@pytest.mark.parametrize(("filled", "hedged"), [("4", False), ("2", True)])
def test_fault_12_a_cancellation_that_crosses_a_fill_waits_for_the_terminal_state(
    files: Files, kind: str, filled: str, *, hedged: bool
) -> None:
    """Halted while an order works: all or half of it fills before the cancellation; then it is resumed."""
    with World(files, kind, hedged=hedged) as world:
        world.start()
        world.exchange.faults.add("place", Fills(after=600))
        world.exchange.faults.add("cancel", Delay(before=0.8))
        world.want("ETH", "4")
        until_working(world)
        (order,) = world.account.open_orders()
        halt = files.root / "var/HALT"
        halt.touch()
        world.exchange.wait_for(lambda: asked(world, "cancel", "ETH"), PATIENCE)
        world.account.fill(order.id, world.units("ETH", filled))
        world.assert_sound()
        assert (world.held("ETH"), len(placed(world, "ETH"))) == (Decimal(filled), 1)
        halt.unlink()
        world.until_held("ETH", "4")
        world.assert_sound()
        assert quantities(world) == [("buy", 4), *([("buy", 4 - int(filled))] if filled != "4" else [])]


@both_exchanges
def test_fault_12_a_cancellation_without_an_answer_is_no_end_of_the_order(files: Files, kind: str) -> None:
    """The order stays what it is at the exchange; what became of it is asked."""
    with World(files, kind) as world:
        world.start(venue={"timeout_seconds": 1})
        world.exchange.faults.add("place", Fills(after=600))
        world.exchange.faults.add("cancel", Hang(processed=False))
        world.exchange.faults.add("cancel", Reset(processed=True), skip=1)
        world.want("ETH", "4")
        until_working(world)
        halt = files.root / "var/HALT"
        halt.touch()
        world.exchange.wait_for(lambda: not world.account.open_orders(), PATIENCE)
        world.assert_sound()
        halt.unlink()
        world.until_held("ETH", "4")
        world.assert_sound()
        assert quantities(world) == [("buy", 4), ("buy", 4)]


@both_exchanges
@pytest.mark.parametrize(("then", "hedged"), [("expired", False), ("canceled", True)])
def test_fault_13_after_a_partial_fill_only_the_difference_is_sent(
    files: Files, kind: str, then: OrderStatus, *, hedged: bool
) -> None:
    """Half of the opening and half of the close are filled, the rest is taken back: at once, or after a while."""
    with World(files, kind, hedged=hedged) as world:
        world.start()
        half = Decimal("0.5")
        world.exchange.faults.add("place", Fills(share=half, then=then))
        world.want("ETH", "4")
        world.until_held("ETH", "4")
        world.assert_sound()
        world.exchange.faults.add("place", Fills(after=0.3, share=half, then=then))
        world.want("ETH", "0")
        world.until_held("ETH", "0")
        world.assert_sound()
        assert quantities(world) == [("buy", 4), ("buy", 2), ("sell", 4), ("sell", 2)]


@both_exchanges
def test_fault_14_a_fill_that_is_told_twice_is_counted_once(files: Files, kind: str) -> None:
    """By the stream twice, by the reply, and by REST again after a restart."""
    with World(files, kind) as world:
        daemon = world.start()
        rules = [world.exchange.faults.add_stream(Twice(), socket=SOCKET[kind], times=None)]
        world.exchange.faults.add("place", Fills(parts=3))
        world.want("ETH", "3")
        world.until_held("ETH", "3")
        world.assert_sound()
        assert rules[0].hits > 3
        daemon.terminate()
        assert len(daemon.named("order.filled")) == 3
        daemon = world.start()
        world.want("ETH", "2")
        world.until_held("ETH", "2")
        world.assert_sound()
        daemon.terminate()
        assert len(daemon.named("order.filled")) == 1


@both_exchanges
def test_fault_15_a_fill_before_the_acknowledgement_is_kept_and_applied(files: Files, kind: str) -> None:
    """The stream tells the fill while the reply is still on its way, and while it never comes."""
    with World(files, kind) as world:
        daemon = world.start(venue={"timeout_seconds": 1})
        world.want("ETH", "1")
        world.until_held("ETH", "1")
        world.assert_sound()
        faults: dict[str, Action] = {"2": Delay(after=0.7), "3": Hang(processed=True)}
        for quantity, fault in faults.items():
            world.exchange.faults.add("place", fault)
            mark = daemon.mark()
            world.want("ETH", quantity)
            daemon.wait_for("order.filled", since=mark)
            events = [event["event"] for event in daemon.events[mark:]]
            assert not {"order.acknowledged", "order.unknown"} & set(events), "kept before anything was acknowledged"
            world.assert_sound()
        assert quantities(world) == [("buy", 1)] * 3


@both_exchanges
@both_modes
def test_fault_16_a_dead_order_that_fills_late_is_seen_and_planned_again(
    files: Files, kind: str, *, hedged: bool
) -> None:
    """The exchange says `cancelled` of an order that is open; the next one fills, and then the dead one does."""
    with World(files, kind, hedged=hedged) as world:
        world.start()
        world.exchange.faults.add("place", Fills(after=600))
        lie = world.exchange.faults.add_lasting("order", OrderLooks(status="canceled"))
        world.want("ETH", "1")
        until(lambda: [row[4] for row in intents(files.root)][:1] == ["cancelled"])
        world.exchange.faults.remove(lie)
        world.until_held("ETH", "1")
        world.assert_sound()
        (dead,) = world.account.open_orders()
        world.account.fill(dead.id)
        world.until_held("ETH", "1")
        world.assert_sound()
        assert quantities(world) == [("buy", 1), ("buy", 1), ("sell", 1)]


@pytest.mark.slow
@both_exchanges
def test_fault_16_a_dead_order_that_fills_late_while_the_stream_loses_it_is_found_and_planned_again(
    files: Files, kind: str
) -> None:
    """No stream tells it. The position is not explained, so the dead orders are asked for once more."""
    with World(files, kind) as world:
        world.start()
        world.exchange.faults.add("place", Fills(after=600))
        lie = world.exchange.faults.add_lasting("order", OrderLooks(status="canceled"))
        world.want("ETH", "1")
        until(lambda: [row[4] for row in intents(files.root)][:1] == ["cancelled"])
        world.exchange.faults.remove(lie)
        world.until_held("ETH", "1")
        world.assert_sound()
        lose_fills(world)
        (dead,) = world.account.open_orders()
        world.account.fill(dead.id)
        world.until_held("ETH", "1")
        world.assert_sound()
        assert quantities(world) == [("buy", 1), ("buy", 1), ("sell", 1)]
        assert world.row("ETH")["status"] != "locked"


@pytest.mark.slow
def test_fault_16_a_dead_order_that_fills_while_no_daemon_runs_is_found_and_planned_again(files: Files) -> None:
    """The next process does not know the order as dead, only as one of its own."""
    with World(files, "binanceusdm") as world:
        daemon = world.start()
        world.exchange.faults.add("place", Fills(after=600))
        lie = world.exchange.faults.add_lasting("order", OrderLooks(status="canceled"))
        world.want("ETH", "1")
        until(lambda: [row[4] for row in intents(files.root)][:1] == ["cancelled"])
        world.exchange.faults.remove(lie)
        world.until_held("ETH", "1")
        world.assert_sound()
        daemon.kill()
        (dead,) = world.account.open_orders()
        world.account.fill(dead.id)
        daemon = world.start()
        until(lambda: world.held("ETH") == 1 or daemon.named("symbol.locked"))
        assert not daemon.named("symbol.locked")
        world.assert_sound()


@both_exchanges
@both_modes
def test_fault_17_an_order_that_is_called_cancelled_and_unfilled_but_filled_is_no_forgotten_exposure(
    files: Files, kind: str, *, hedged: bool
) -> None:
    """The reply is lost, the look-up lies: its trades and the position tell the truth."""
    with World(files, kind, hedged=hedged) as world:
        world.start()
        world.want("ETH", "1")
        world.until_held("ETH", "1")
        for quantity in ("3", "2"):
            world.exchange.faults.add("place", Reset(processed=True))
            lie = world.exchange.faults.add_lasting("order", OrderLooks(status="canceled"))
            world.want("ETH", quantity)
            world.until_held("ETH", quantity)
            world.assert_sound()
            world.exchange.faults.remove(lie)
        assert quantities(world) == [("buy", 1), ("buy", 2), ("sell", 1)]


@pytest.mark.slow
@both_exchanges
def test_fault_17_the_position_is_the_authority_where_look_up_trades_and_stream_deny_a_fill(
    files: Files, kind: str
) -> None:
    """The order is taken for cancelled and unfilled; the position does not agree, and so its trades are asked again."""
    with World(files, kind) as world:
        world.start()
        lose_fills(world)
        world.exchange.faults.add("place", Reset(processed=True))
        world.exchange.faults.add_lasting("order", OrderLooks(status="canceled"))
        blind = world.exchange.faults.add_lasting("trades", Lag(600))
        world.want("ETH", "1")
        until(lambda: [row[4] for row in intents(files.root)] == ["cancelled"])
        assert journal(files.root, "SELECT 1 FROM fills") == []
        world.exchange.faults.remove(blind)
        world.assert_sound()
        assert quantities(world) == [("buy", 1)]
        world.until_row("ETH", status="in_step")


@both_exchanges
def test_fault_22_a_fill_between_snapshot_and_send_drops_the_plan(files: Files, kind: str) -> None:
    """A dead order fills while the snapshot, taken before that, is on its way: the daemon holds what it wants."""
    with World(files, kind) as world:
        world.start()
        world.exchange.faults.add("place", Fills(after=600))
        world.exchange.faults.add_lasting("order", OrderLooks(status="canceled"))
        world.want("ETH", "1")
        world.exchange.wait_for(lambda: placed(world, "ETH"), PATIENCE)
        slow = world.exchange.faults.add_lasting("positions", Delay(after=0.6))
        until(lambda: [row[4] for row in intents(files.root)] == ["cancelled"])
        asked_so_far = slow.hits
        world.exchange.wait_for(lambda: slow.hits > asked_so_far, PATIENCE)
        (dead,) = world.account.open_orders()
        world.account.fill(dead.id)
        world.exchange.faults.remove(slow)
        world.until_row("ETH", status="in_step")
        world.assert_sound()
        assert quantities(world) == [("buy", 1)]


@pytest.mark.slow
@both_exchanges
def test_fault_22_a_manual_trade_between_snapshot_and_send_drops_the_plan(files: Files, kind: str) -> None:
    """A person trades while the snapshot is on its way: nothing is sent on it, and the drift is said."""
    with World(files, kind) as world:
        daemon = world.start()
        world.want("ETH", "1")
        world.until_held("ETH", "1")
        world.assert_sound()
        slow = world.exchange.faults.add_lasting("positions", Delay(after=0.6))
        world.exchange.wait_for(lambda: slow.hits, PATIENCE)
        world.want("ETH", "3")
        daemon.wait_for("target.decided", symbol=symbol("ETH"), decision=2)
        world.account.trade(world.market("ETH").id, "buy", world.units("ETH", "2"))
        world.exchange.faults.remove(slow)
        world.until_row("ETH", status="locked")
        world.assert_sound()
        assert quantities(world) == [("buy", 1)]
