"""An account that changes under the daemon: liquidations, the position mode, the rules of a market, the equity."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest

from tests.emulators.account_records import Leg, Origin
from tests.emulators.faults import WalletLooks
from tests.faults.order_requests import placed
from tests.faults.world import World, both_exchanges, every_place, symbol, unhurried
from tests.harness.daemon import run_command
from tests.harness.workspace import Files
from tests.tasks.evidence import until
from tests.venues.exchanges import environment_of, variables

pytestmark = pytest.mark.slow  # an exchange and its client in each test

OFTEN = "[reconciler]\nresync_seconds = 0.3\n\n[risk]\nmax_orders_per_minute = 0\n"


def let_look(world: World, times: int = 3) -> None:
    """Wait until the daemon has looked at the whole account a few times more."""
    looks = world.exchange.count("mode") + times
    world.exchange.wait_for(lambda: world.exchange.count("mode") >= looks)


@pytest.mark.parametrize(
    ("kind", "hedged", "origin"),
    [
        ("binanceusdm", False, "liquidation"),
        pytest.param("binanceusdm", True, "adl", marks=pytest.mark.slow),
        pytest.param("okx", False, "adl", marks=pytest.mark.slow),
        ("okx", True, "liquidation"),
    ],
)
def test_fault_26_a_liquidation_halts_and_nothing_is_entered_again(
    files: Files, kind: str, hedged: bool, origin: Origin
) -> None:
    """The halt names the market, survives a restart, and other markets are not added to either."""
    leg: Leg = "long" if hedged else "net"
    with World(files, kind, hedged=hedged) as world:
        world.want("ETH", 2)
        daemon = world.start(settings=OFTEN, venue=unhurried(world))
        world.until_held("ETH", 2)
        daemon.wait_for("order.filled")
        world.exchange.wait_for(lambda: world.exchange.sockets)
        world.account.force_close(world.market("ETH").id, leg, origin=origin)
        halted = daemon.wait_for("halt.tripped")
        assert symbol("ETH") in halted["reason"]
        assert ("liquidation" if origin == "liquidation" else "deleveraging") in halted["reason"]
        world.want("BTC", "0.1")
        row = world.until_row("BTC", status="refused")
        assert row["reason"].startswith("halted: liquidation of ")
        daemon.wait_for("symbol.locked", symbol=symbol("ETH"))
        daemon.terminate()
        again = world.start(settings=OFTEN, venue=unhurried(world))
        again.wait_for("halt.tripped")
        let_look(world)
        assert len(world.account.orders) == 2
        assert until(again.status, lambda status: status["state"] == "halted")["halt_reason"] == halted["reason"]
        world.assert_sound()


@every_place
def test_fault_27_a_position_mode_that_changes_stops_the_venue_until_it_is_back(
    files: Files, kind: str, hedged: bool
) -> None:
    """Noticed at a resync; nothing is sent on a guessed side; after a restart the other mode is worked in."""
    with World(files, kind, hedged=hedged) as world:
        world.want("ETH", 0)
        daemon = world.start(settings=OFTEN, venue=unhurried(world))
        daemon.wait_for("position.taken_over", symbol=symbol("ETH"))
        world.account.set_hedged(not hedged)
        stopped = daemon.wait_for("venue.stopped", venue="main")
        assert {"one_way", "hedge"} == {word.strip(",") for word in stopped["found"].replace("it was", "").split()}
        world.want("ETH", 2)
        assert "mode changed" in world.until_row("ETH", status="refused")["reason"]
        status = until(daemon.status, lambda status: status["venues"]["main"]["problem"])
        assert "mode changed" in status["venues"]["main"]["problem"]
        assert any("restart" in problem["mend"] for problem in status["problems"])
        let_look(world)
        assert placed(world, "ETH") == []
        world.account.set_hedged(hedged)
        daemon.wait_for("venue.recovered", venue="main")
        world.until_held("ETH", 2)
        world.want("ETH", 0)
        world.until_held("ETH", 0)
        world.assert_sound()
        daemon.terminate()
        world.account.set_hedged(not hedged)
        world.want("ETH", -2)
        world.start(settings=OFTEN, venue=unhurried(world))
        world.until_held("ETH", -2)
        world.assert_sound()


@every_place
def test_fault_27_an_order_that_meets_the_other_mode_first_stops_the_venue_too(
    files: Files, kind: str, hedged: bool
) -> None:
    """No resync has seen it yet: the exchange refuses the order, and the daemon asks why."""
    with World(files, kind, hedged=hedged) as world:
        world.want("ETH", 0)
        daemon = world.start(settings=OFTEN.replace("0.3", "600"), venue=unhurried(world))
        daemon.wait_for("position.taken_over", symbol=symbol("ETH"))
        world.exchange.wait_for(lambda: world.exchange.count("socket") >= 2)
        world.account.set_hedged(not hedged)
        world.want("ETH", 2)
        daemon.wait_for("venue.stopped", venue="main")
        assert len(placed(world, "ETH")) == 1
        assert world.account.orders == []
        world.until_row("ETH", status="refused")


@both_exchanges
def test_fault_29_rules_that_change_are_noticed_before_they_matter(files: Files, kind: str) -> None:
    """A contract that becomes larger, a coarser step, a higher minimum: the next order fits them."""
    with World(files, kind) as world:
        for base in ("ETH", "SOL", "BNB"):
            world.want(base, 0)
        daemon = world.start(settings=OFTEN, venue=unhurried(world))
        for base in ("ETH", "SOL", "BNB"):
            daemon.wait_for("position.taken_over", symbol=symbol(base))
        ethereum, solana, bnb = (world.market(base) for base in ("ETH", "SOL", "BNB"))
        larger = ethereum.contract_size * (1 if kind == "binanceusdm" else 10)
        world.account.replace_market(msgspec.structs.replace(ethereum, contract_size=larger, step=ethereum.step * 10))
        world.account.replace_market(msgspec.structs.replace(solana, step=Decimal(1), minimum=Decimal(1)))
        world.account.replace_market(msgspec.structs.replace(bnb, minimum=world.units("BNB", 3)))
        for base in ("ETH", "SOL", "BNB"):
            changed = daemon.wait_for("market.changed", symbol=symbol(base))
            assert changed["before"] != changed["now"]
        world.want("ETH", "2.2")
        world.want("SOL", "7.4")
        world.want("BNB", 2)
        world.until_held("ETH", "2.2")
        world.until_held("SOL", 7)
        assert "below the venue's minimum quantity" in world.until_row("BNB", status="in_step", target="2")["reason"]
        assert placed(world, "BNB") == []
        assert not daemon.named("order.refused")


@pytest.mark.parametrize("amount", ["0", "NaN"])
@both_exchanges
def test_fault_30_an_equity_that_cannot_be_is_not_sized_by(files: Files, kind: str, amount: str) -> None:
    """With capital = "equity" nothing is decided on nothing or on no number; what is held stays."""
    with World(files, kind) as world:
        world.want("ETH", 4)
        daemon = world.start(settings=f'capital = "equity"\n{OFTEN}', venue=unhurried(world))
        world.exchange.wait_for(lambda: len(world.account.trades) == 1)
        held = world.held("ETH")
        assert held > 0
        rule = world.exchange.faults.add_lasting("balance", WalletLooks("USDT", Decimal(amount)))
        world.exchange.wait_for(lambda: rule.hits >= 2)
        world.want("ETH", 2)
        world.exchange.wait_for(lambda: rule.hits >= 6)
        assert (world.held("ETH"), len(world.account.orders)) == (held, 1)
        assert daemon.process.poll() is None
        world.exchange.faults.remove(rule)
        world.exchange.wait_for(lambda: world.held("ETH") < held)
        assert world.held("ETH") * 2 == held
        world.assert_sound()


@both_exchanges
def test_fault_33_a_difference_below_the_minimum_is_left_and_said(files: Files, kind: str) -> None:
    """In the status and in the plan, and it is never tried."""
    with World(files, kind) as world:
        bitcoin = world.market("BTC")
        if kind == "okx":
            world.account.replace_market(msgspec.structs.replace(bitcoin, minimum=world.units("BTC", "0.01")))
        world.want("BTC", "0.2")
        small = OFTEN.replace("[risk]", "no_trade_band = 0\nmin_order_notional = 0\n\n[risk]")
        world.start(settings=small, venue=unhurried(world))
        world.until_held("BTC", "0.2")
        world.want("BTC", "0.201")
        row = world.until_row("BTC", status="in_step", target="0.201")
        assert "below the venue's minimum" in row["reason"]
        let_look(world)
        assert len(placed(world, "BTC")) == 1
        environment = environment_of(world.exchange.credentials)
        with variables(environment):
            planned = json.loads(run_command(files.root, "plan", "--json").stdout)
        assert planned["orders"] == []
        (skipped,) = planned["skipped"]
        assert (skipped["symbol"], skipped["difference"]) == (symbol("BTC"), "0.001")
        assert "below the venue's minimum" in skipped["reason"]
