"""An equity that jumps, as the exchange tells it to the real daemon."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.emulators.faults import WalletLooks
from tests.faults.world import World, unhurried
from tests.harness.daemon import PATIENCE, run_command
from tests.harness.workspace import Files
from tests.tasks.evidence import journal, until

pytestmark = pytest.mark.slow  # an exchange and its client in each test

OFTEN = 'capital = "equity"\n[reconciler]\nresync_seconds = 1\n[risk]\nmax_orders_per_minute = 0\n'
SELDOM = OFTEN.replace("= 1\n", "= 5\n")


@pytest.fixture(params=["binanceusdm", "okx"])
def world(request: pytest.FixtureRequest, files: Files) -> Iterator[World]:
    """An exchange, and a target in ETH; no daemon."""
    with World(files, request.param) as world:
        world.want("ETH", 4)
        yield world


def until_opened(world: World) -> Decimal:
    """Wait until the first order has filled and the equity was read since, and return what is held."""
    world.exchange.wait_for(lambda: world.held("ETH"), PATIENCE)
    journaled = "SELECT count(*) FROM capital WHERE traded = 0 AND venue = 'main'"
    until(lambda: world.daemons[-1].named("order.filled") and journal(world.files.root, journaled) == [(1,)])
    return world.held("ETH")


@pytest.mark.parametrize("share", ["0.5", "0.89", "1.12", "0"])
def test_fault_30_an_equity_that_jumps_for_a_moment_sizes_nothing(world: World, share: str) -> None:
    """It is said, with how to confirm it; when the old figure is back, it sizes again."""
    daemon = world.start(settings=SELDOM, venue=unhurried(world))
    held = until_opened(world)
    lie = WalletLooks("USDT", Decimal(100_000) * Decimal(share))
    rule = world.exchange.faults.add_lasting("balance", lie)
    world.want("ETH", 2)
    doubted = daemon.wait_for("equity.doubted")
    assert "portfoliod resume" in doubted["mend"]
    assert world.held("ETH") == held
    world.exchange.faults.remove(rule)
    world.want("ETH", 1)
    world.exchange.wait_for(lambda: world.held("ETH") < held, PATIENCE)
    assert abs(world.held("ETH") * 4 - held) <= held * Decimal("0.05")
    assert len(world.account.orders) == 2
    world.assert_sound()


def test_fault_30_an_equity_that_stays_is_believed_a_resync_later(world: World) -> None:
    """A deposit of as much again: doubted, then believed, and positions follow it at the next decision."""
    daemon = world.start(settings=OFTEN, venue=unhurried(world))
    held = until_opened(world)
    world.account.set_wallet("USDT", "200000")
    world.want("ETH", 2)
    daemon.wait_for("equity.doubted")
    daemon.wait_for("equity.believed")
    world.until_row("ETH", status="in_step")
    world.exchange.wait_for(lambda: len(world.account.orders) == 1 or world.held("ETH") != held, PATIENCE)
    assert abs(world.held("ETH") - held) <= held * Decimal("0.05")
    world.assert_sound()


def test_fault_30_a_person_may_believe_an_equity_at_once(world: World) -> None:
    """`portfoliod resume` confirms what the exchange says, without a halt."""
    daemon = world.start(settings=SELDOM, venue=unhurried(world))
    held = until_opened(world)
    world.account.set_wallet("USDT", "50000")
    world.want("ETH", 2)
    daemon.wait_for("equity.doubted")
    assert run_command(world.files.root, "resume").returncode == 0
    daemon.wait_for("equity.believed")
    world.exchange.wait_for(lambda: world.held("ETH") < held, PATIENCE)
    assert abs(world.held("ETH") * 4 - held) <= held * Decimal("0.05")
    world.assert_sound()
