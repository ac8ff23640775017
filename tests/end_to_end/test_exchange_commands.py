"""The commands, of a workspace that trades on an exchange: what they say, how they exit, and what they never send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest

from tests.emulators.binance import BinanceFutures
from tests.emulators.faults import Reset
from tests.faults.world import World, symbol
from tests.harness.daemon import Daemon, run_command
from tests.harness.exchange import QUICK, venue_table
from tests.harness.workspace import Files
from tests.tasks.evidence import journal, until
from tests.venues.exchanges import environment_of, variables

# An exchange and its client in each test.
pytestmark = [pytest.mark.slow, pytest.mark.started_anew]


@pytest.fixture(params=["binanceusdm", pytest.param("okx", marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest, files: Files) -> Iterator[World]:
    """An exchange whose keys are in the environment, 2 ETH on it, and settings to trade there; no daemon."""
    with World(files, request.param) as world, variables(environment_of(world.exchange.credentials)):
        world.account.set_position(world.market("ETH").id, world.units("ETH", 2))
        settle(world, "live")
        yield world


def settle(world: World, mode: str, others: Mapping[str, object] | None = None) -> None:
    """Write the settings."""
    table = venue_table(world.exchange, world.kind, others)
    world.files.settings(f'mode = "{mode}"\ndefault_venue = "main"\n{QUICK}\n{table}')


def go_down(world: World) -> None:
    """Let the exchange answer nothing any more."""
    world.exchange.faults.add_lasting("*", Reset(processed=False))


def revoke(world: World) -> None:
    """Delete the key on the exchange."""
    if isinstance(world.exchange, BinanceFutures):
        world.exchange.keys_revoked = True
    else:
        world.exchange.revoke_keys()


def told(world: World, *arguments: str) -> tuple[int, Any]:
    """Run a reading command and return its exit code and what it says."""
    done = run_command(world.files.root, *arguments, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def run_once(world: World, *arguments: str) -> int:
    """Return the exit code of `run --once`."""
    daemon = Daemon(world.files.root, "--once", *arguments)
    world.daemons.append(daemon)
    return daemon.wait()


def assert_nothing_was_changed(world: World) -> None:
    """See that no request was one that could move anything: no order, no cancellation, no setting."""
    kinds = {request.kind for request in world.exchange.requests if request.method != "GET"}
    assert kinds <= {"listen_key"}
    assert world.account.orders == []
    assert world.held("ETH") == 2


@pytest.mark.parametrize("mode", ["paper", pytest.param("live", marks=pytest.mark.slow)])
def test_without_both_words_the_exchange_is_only_looked_at(world: World, mode: str) -> None:
    """It plans, says so, and with what to go live; no order, cancellation or setting ever arrives."""
    settle(world, mode, {"set_leverage": 3, "margin_mode": "cross"})
    world.want("ETH", -1)
    world.want("BTC", "0.1")
    daemon = Daemon(world.files.root)
    world.daemons.append(daemon)
    assert "--live" in daemon.wait_for("venue.read_only", venue="main")["mend"]
    daemon.wait_for("risk.refused", symbol=symbol("BTC"), limit="mode")
    row = world.until_row("ETH", status="refused", position="2")
    assert "would sell 2 (flip: close), then sell 1 (flip: open)" in row["reason"]
    assert 'mode = "live"' in row["reason"]
    looks = world.exchange.count("balance") + 3
    world.exchange.wait_for(lambda: world.exchange.count("balance") >= looks)
    assert len(daemon.named("risk.refused", symbol=symbol("BTC"))) == 1
    code, planned = told(world, "plan")
    assert code == 0
    assert [(order["side"], order["quantity"], order["reduce_only"]) for order in planned["orders"]] == [
        ("sell", "2", True),
        ("buy", "0.1", False),
        ("sell", "1", False),
    ]
    assert daemon.terminate() == 0
    assert run_once(world) == 5
    assert journal(world.files.root, "SELECT * FROM intents") == []
    assert journal(world.files.root, "SELECT * FROM books") == []
    assert_nothing_was_changed(world)


def test_live_on_the_command_line_needs_the_settings_too(world: World) -> None:
    """One yes of two is a usage error, before anything is asked of the exchange."""
    settle(world, "paper")
    done = run_command(world.files.root, "run", "--live", "--once")
    assert done.returncode == 2
    assert 'mode = "live"' in done.stderr
    assert world.exchange.requests == []


def test_plan_and_status_say_the_same_beside_the_daemon_and_without_it(world: World) -> None:
    """Before, while and after it runs."""
    world.want("ETH", 3)
    code, planned = told(world, "plan", "--exit-code")
    assert (code, [order["quantity"] for order in planned["orders"]]) == (4, ["1"])
    assert_nothing_was_changed(world)
    daemon = world.start()
    world.until_held("ETH", 3)
    world.until_row("ETH", status="in_step", position="3")
    main = until(lambda: told(world, "status")[1]["venues"]["main"], lambda venue: venue["connected"])
    assert (main["driver"], main["position_mode"], main["problem"]) == ("ccxt", "one_way", None)
    assert Decimal(99_000) < Decimal(main["equity"]) <= Decimal(100_000)
    assert told(world, "plan", "--exit-code") == (0, {**planned, "orders": [], "turnover": 0.0})
    daemon.terminate()
    code, status = told(world, "status")
    assert (code, status["state"]) == (3, "down")
    world.assert_sound()


def test_check_online_tells_what_is_wrong_by_its_exit_code(world: World) -> None:
    """Everything fine, no keys, not reachable, keys refused."""
    world.files.portfolio({"eth": 1.0}, account_value=1000)
    world.want("ETH", 0)
    code, found = told(world, "check", "--online")
    assert (code, found["problems"]) == (0, [])
    sentences = " / ".join(found["fine"])
    for part in ("accepts the keys", "the key may trade", "position mode: one_way", "our clock is", "ETH/USDT:USDT"):
        assert part in sentences
    with variables(dict.fromkeys(environment_of(world.exchange.credentials), "")):
        code, found = told(world, "check", "--online")
        assert code == 78
    go_down(world)
    assert told(world, "check", "--online")[0] == 75
    world.exchange.faults.clear()
    revoke(world)
    code, found = told(world, "check", "--online")
    assert code == 77
    assert "keys" in found["problems"][0]["what"]
    assert world.exchange.credentials["secret"] not in str(found)
    assert_nothing_was_changed(world)


def test_run_once_reconciles_and_tells_how_it_went(world: World) -> None:
    """In step after its order, refused by a halt, not reachable, keys refused, no keys."""
    world.want("ETH", 3)
    assert run_once(world, "--live") == 0
    assert world.held("ETH") == 3
    assert run_once(world, "--live") == 0
    world.assert_sound()
    assert len(world.account.orders) == 1
    assert run_command(world.files.root, "halt").returncode == 0
    world.want("ETH", 4)
    assert run_once(world, "--live") == 5
    assert run_command(world.files.root, "resume").returncode == 0
    with variables(dict.fromkeys(environment_of(world.exchange.credentials), "")):
        assert run_once(world, "--live") == 78
    go_down(world)
    assert run_once(world, "--live") == 75
    world.exchange.faults.clear()
    revoke(world)
    assert run_once(world, "--live") == 77
    assert len(world.account.orders) == 1


@pytest.mark.parametrize("up", [True, False], ids=["beside the daemon", "without it"])
def test_flatten_closes_what_is_managed_and_nothing_else(world: World, up: bool) -> None:
    """Reduce-only, through the journal; what no strategy named stays, and the halt stays too."""
    world.account.set_position(world.market("SOL").id, world.units("SOL", 5))
    world.want("ETH", 3)
    world.want("BTC", "-0.1")
    daemon = world.start()
    world.until_held("ETH", 3)
    world.until_held("BTC", "-0.1")
    if not up:
        daemon.terminate()
    done = run_command(world.files.root, "flatten", "--yes")
    assert (done.returncode, "every managed position is closed" in done.stdout) == (0, True), done.stderr
    assert [world.held(base) for base in ("ETH", "BTC", "SOL")] == [0, 0, 5]
    closing = [order for order in world.account.orders if order.reduce_only]
    assert len(closing) == 2
    if not up:
        daemon = world.start()
    daemon.wait_for("halt.tripped")
    world.until_row("ETH", position="0", status="in_step")
    assert run_command(world.files.root, "resume").returncode == 0
    world.until_held("ETH", 3)
    world.until_held("BTC", "-0.1")
    world.assert_sound()


def test_a_halt_without_the_daemon_holds_when_it_starts(world: World) -> None:
    """Reductions pass, nothing is added until resume."""
    world.want("ETH", 4)
    assert run_command(world.files.root, "halt", "holidays").returncode == 0
    daemon = world.start()
    daemon.wait_for("halt.tripped", reason="holidays")
    world.until_row("ETH", status="refused", position="2")
    world.want("ETH", 1)
    world.until_held("ETH", 1)
    world.want("ETH", 4)
    world.until_row("ETH", status="refused", position="1")
    assert run_command(world.files.root, "resume").returncode == 0
    world.until_held("ETH", 4)
    world.assert_sound()
