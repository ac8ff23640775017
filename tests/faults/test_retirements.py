"""`portfoliod retire`: the one way to take a strategy out, and how its name comes back."""

from __future__ import annotations

import shutil

import pytest

from tests.faults.file_world import COIN, FileWorld, market
from tests.harness.daemon import run_command


def test_fault_37_a_retired_strategy_is_closed_and_its_name_may_come_back(world: FileWorld) -> None:
    """Retiring closes its position and ignores its folder; another folder of that name is a new strategy."""
    since = world.daemon.mark()
    done = run_command(world.root, "retire", "one")
    assert done.returncode == 0, done.stderr
    world.daemon.wait_for("strategy.retired", since=since, strategy="one")
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")
    assert world.held() == {}
    since = world.daemon.mark()
    world.files.state("one", 2.0)
    world.trade_other()
    assert world.held() == {}
    assert (
        world.daemon.named("state.accepted", strategy="one") == world.daemon.named("state.accepted", strategy="one")[:1]
    )
    world.folder("one").rename(world.root / "away")
    world.files.state("one", -1.0)
    world.daemon.wait_for("strategy.added", since=since, strategy="one")
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")


@pytest.mark.slow
def test_fault_37_a_retired_folder_that_is_replaced_at_once_is_a_new_strategy(world: FileWorld) -> None:
    """Removed and made again within a moment, perhaps with the old folder's inode, it is another folder."""
    since = world.daemon.mark()
    assert run_command(world.root, "retire", "one").returncode == 0
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")
    since = world.daemon.mark()
    shutil.rmtree(world.folder("one"))
    world.files.state("one", -1.0)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")


@pytest.mark.slow
def test_fault_37_a_retirement_survives_a_restart(world: FileWorld) -> None:
    """The retired folder is still ignored by the next process, and what it held stays closed."""
    since = world.daemon.mark()
    assert run_command(world.root, "retire", "one").returncode == 0
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")
    world.daemon.kill()
    world.restart().wait_for("venue.connected")
    world.trade_other()
    world.files.state("one", 2.0)
    world.wait_for_a_scan()
    world.trade_other()
    assert world.held() == {}
    assert "one" not in world.daemon.status()["strategies"]
