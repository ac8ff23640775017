"""kill -9 around an order: before it is sent, before its reply is read or journaled, in the middle of a flip."""

from __future__ import annotations

import signal
from decimal import Decimal
from pathlib import Path

import pytest

from tests.emulators.faults import Fills, Hang
from tests.faults.order_requests import about, asked, client_id, placed
from tests.faults.world import World, both_exchanges, both_modes
from tests.harness.daemon import PATIENCE, Daemon
from tests.harness.workspace import Files
from tests.tasks.evidence import intents, journal, until

pytestmark = pytest.mark.slow  # an exchange and its client in each test

DEADLY = """
import os
import signal

from portfoliod.lean_ccxt import ccxt

calls = 0


def deadly(place):
    async def create_order(*arguments, **options):
        global calls
        calls += 1
        if (calls, "{moment}") == ({call}, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        order = await place(*arguments, **options)
        if (calls, "{moment}") == ({call}, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
        return order

    return create_order


for exchange in (ccxt.async_support.binance, ccxt.async_support.okx):
    exchange.create_order = deadly(exchange.create_order)
"""
"""A sitecustomize.py: the process kills itself when ccxt is asked for an order, or when it has read the reply."""


class Dying:
    """Where daemons die that are started from now on."""

    def __init__(self, folder: Path, environment: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._environment = environment

    def at(self, moment: str, call: int) -> None:
        """Die before, or after, the order of this number was sent."""
        (self._folder / "sitecustomize.py").write_text(DEADLY.format(moment=moment, call=call))
        self._environment.setenv("PYTHONPATH", str(self._folder))

    def no_more(self) -> None:
        """Let daemons live."""
        self._environment.delenv("PYTHONPATH")


@pytest.fixture
def dies(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Dying:
    """Lets daemons die at a place of the order's way."""
    return Dying(tmp_path_factory.mktemp("site"), monkeypatch)


def killed(daemon: Daemon) -> None:
    """Wait until a daemon has died of SIGKILL."""
    assert daemon.wait() == -signal.SIGKILL


def until_placed(world: World, base: str, orders: int) -> None:
    """Wait until so many orders of a market have reached the exchange."""
    world.exchange.wait_for(lambda: len(placed(world, base)) == orders, PATIENCE)


def assert_resolved_first(world: World, base: str, lost: str, since: int) -> None:
    """A restarted daemon looked an order up, and read the positions, before it sent the next one."""
    kinds = {kind: asked(world, kind, base, since=since) for kind in ("order", "place")}
    looked_up = [request for request in kinds["order"] if lost in str(request.params)]
    assert looked_up
    reads = [request for request in world.exchange.requests[since:] if request.kind == "positions"]
    for order in kinds["place"][:1]:
        assert looked_up[0].at < order.at
        assert any(looked_up[0].at < read.at < order.at for read in reads)


@both_exchanges
def test_fault_09_killed_between_send_and_reply_the_order_is_resolved_before_another_one(
    files: Files, kind: str
) -> None:
    """It filled, and the target changed meanwhile: the next process sends the difference, not the whole."""
    with World(files, kind) as world:
        daemon = world.start()
        world.exchange.faults.add("place", Hang(processed=True))
        world.want("ETH", "1")
        world.until_held("ETH", "1")
        daemon.kill()
        world.want("ETH", "3")
        since = len(world.exchange.requests)
        world.start()
        world.until_held("ETH", "3")
        world.assert_sound()
        assert_resolved_first(world, "ETH", client_id(placed(world, "ETH")[0]), since)
        assert [quantity for _, _, quantity, _, _ in intents(files.root)] == [1, 2]


@both_exchanges
def test_fault_09_killed_before_the_reply_is_journaled_the_order_is_resolved_before_another_one(
    files: Files, kind: str, dies: Dying
) -> None:
    """The process had read the reply; nothing of that survives but the intent."""
    with World(files, kind) as world:
        dies.at("after", call=1)
        daemon = world.start()
        world.want("ETH", "1")
        killed(daemon)
        assert [row[4] for row in intents(files.root)] == ["intended"]
        dies.no_more()
        world.want("ETH", "-1")
        since = len(world.exchange.requests)
        world.start()
        world.until_held("ETH", "-1")
        world.assert_sound()
        assert_resolved_first(world, "ETH", client_id(placed(world, "ETH")[0]), since)
        assert len(placed(world, "ETH")) == 3


@both_exchanges
def test_fault_09_an_order_that_fills_while_no_daemon_runs_is_counted_by_the_next_one(files: Files, kind: str) -> None:
    """It was working when the process died, a part of it filled; the rest fills before and after the restart."""
    with World(files, kind) as world:
        world.exchange.faults.add("place", Fills(after=600), where=about(world, "ETH"))
        daemon = world.start()
        world.want("ETH", "3")
        until(lambda: journal(files.root, "SELECT 1 FROM intents WHERE status = 'working'"))
        (order,) = world.account.open_orders()
        world.account.fill(order.id, world.units("ETH", "1"))
        until(lambda: journal(files.root, "SELECT 1 FROM fills"))
        daemon.kill()
        world.account.fill(order.id, world.units("ETH", "1"))
        world.want("ETH", "2")
        daemon = world.start()
        until(lambda: len(journal(files.root, "SELECT 1 FROM fills")) == 2)
        assert len(placed(world, "ETH")) == 1
        world.account.fill(order.id, world.units("ETH", "1"))
        world.until_held("ETH", "2")
        world.assert_sound()
        assert [row[2] for row in intents(files.root)] == [3, 1]


@both_exchanges
@both_modes
@pytest.mark.parametrize("leg", ["close", "open"])
def test_fault_10_killed_in_the_middle_of_a_flip_flat_is_confirmed_before_the_other_side_opens(
    files: Files, kind: str, leg: str, *, hedged: bool
) -> None:
    """Whichever of its two orders lost its reply: the flip ends with one close and one opening."""
    with World(files, kind, hedged=hedged) as world:
        daemon = world.start()
        world.want("ETH", "1")
        world.until_held("ETH", "1")
        world.assert_sound()
        world.exchange.faults.add("place", Hang(processed=True), skip=0 if leg == "close" else 1)
        world.want("ETH", "-2")
        world.until_held("ETH", "0" if leg == "close" else "-2")
        daemon.kill()
        since = len(world.exchange.requests)
        world.start()
        world.until_held("ETH", "-2")
        world.assert_sound()
        orders = [f"{side} {quantity.normalize():f}" for _, side, quantity, _, _ in intents(files.root)]
        assert orders == ["buy 1", "sell 1", "sell 2"]
        lost = placed(world, "ETH")[1 if leg == "close" else 2]
        assert_resolved_first(world, "ETH", client_id(lost), since)


@pytest.mark.slow
@both_exchanges
def test_fault_08_what_was_journaled_but_not_sent_is_sent_again_only_after_the_proof(
    files: Files, kind: str, dies: Dying
) -> None:
    """Killed with four orders on their way: one was never sent, one never arrived, one was a close, one did fill."""
    with World(files, kind) as world:
        dies.at("before", call=5)
        daemon = world.start()
        world.want("BTC", "1")
        world.until_held("BTC", "1")
        world.assert_sound()
        for base, quantity, arrives in (("ETH", "1", False), ("BTC", "-1", False), ("SOL", "1", True)):
            world.exchange.faults.add("place", Hang(processed=arrives), where=about(world, base))
            sent = len(placed(world, base))
            world.want(base, quantity)
            until_placed(world, base, sent + 1)
        world.want("BNB", "1")
        killed(daemon)
        assert [row[4] for row in intents(files.root)][1:] == ["intended"] * 4
        assert placed(world, "BNB") == []
        dies.no_more()
        world.want("ETH", "2")
        since = len(world.exchange.requests)
        world.start()
        for base, quantity in {"ETH": "2", "BTC": "-1", "SOL": "1", "BNB": "1"}.items():
            world.until_held(base, quantity)
        world.assert_sound()
        for base in ("ETH", "BTC", "BNB"):
            asked_first, sent_again = asked(world, "order", base, since=since)[0], placed(world, base, since=since)[0]
            assert sent_again.at - asked_first.at > 10.0, f"{base}: sent again within the grace of 10 s"
        assert [order.filled for order in world.account.orders if order.market == world.market("BTC").id] == [
            world.units("BTC", Decimal(1))
        ] * 3
        assert len(placed(world, "SOL")) == 1
