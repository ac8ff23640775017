"""Clocks that differ, halts while an order is in flight, keys that are revoked and addresses that are banned."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.emulators.binance import BinanceFutures
from tests.emulators.faults import Answer, BusinessError, Delay, Fills, too_many_requests
from tests.faults.order_requests import placed
from tests.faults.world import World, both_exchanges, every_place, symbol, unhurried
from tests.harness.daemon import run_command
from tests.harness.workspace import Files
from tests.tasks.evidence import until
from tests.venues.exchanges import environment_of, variables

pytestmark = pytest.mark.slow  # an exchange and its client in each test

RETRY_AFTER = 2


@both_exchanges
def test_fault_43_the_exchanges_clock_is_followed_wherever_it_is(files: Files, kind: str) -> None:
    """A minute ahead at the start, a minute behind later: orders arrive in its time, and `check` says so."""
    with World(files, kind) as world:
        world.account.clock_offset = 60.0
        world.want("ETH", 1)
        world.start()
        world.until_held("ETH", 1)
        world.assert_sound()
        world.account.clock_offset = -60.0
        world.want("ETH", -2)
        world.until_held("ETH", -2)
        world.assert_sound()
        files.portfolio({"eth": 1.0}, account_value=1000)
        with variables(environment_of(world.exchange.credentials)):
            said = run_command(files.root, "check", "--online")
        assert said.returncode == 1
        assert "our clock is not the exchange's" in said.stdout
        assert "+60." in said.stdout or "+59." in said.stdout


@every_place
def test_fault_46_a_halt_cancels_what_adds_and_lets_reductions_pass(files: Files, kind: str, hedged: bool) -> None:
    """A half-filled order is open: its rest is cancelled, what it brought is reduced, and a restart clears nothing."""
    with World(files, kind, hedged=hedged) as world:
        world.exchange.faults.add("place", Fills(share=Decimal("0.5"), then="new"))
        world.want("ETH", 4)
        daemon = world.start()
        world.until_held("ETH", 2)
        assert len(world.account.open_orders()) == 1
        assert run_command(files.root, "halt", "a drill").returncode == 0
        world.exchange.wait_for(lambda: not world.account.open_orders())
        assert world.account.orders[-1].status == "canceled"
        world.assert_sound()
        world.want("ETH", 1)
        world.until_held("ETH", 1)
        world.want("ETH", 3)
        assert "halted: a drill" in world.until_row("ETH", status="refused")["reason"]
        daemon.terminate()
        again = world.start()
        again.wait_for("halt.tripped", reason="a drill")
        world.until_row("ETH", status="refused", position="1")
        assert len(world.account.orders) == 2
        assert run_command(files.root, "resume").returncode == 0
        world.until_held("ETH", 3)
        world.assert_sound()


@both_exchanges
def test_fault_46_an_order_whose_answer_is_on_its_way_is_taken_in_after_a_halt(files: Files, kind: str) -> None:
    """It was sent before the halt: its fill is journaled, and nothing follows it."""
    with World(files, kind) as world:
        world.want("ETH", 1)
        daemon = world.start()
        world.until_held("ETH", 1)
        rule = world.exchange.faults.add("place", Delay(before=1.0))
        world.want("ETH", 3)
        world.exchange.wait_for(lambda: rule.hits)
        (files.root / "var/HALT").touch()
        daemon.wait_for("halt.tripped")
        world.until_held("ETH", 3)
        world.want("ETH", 5)
        world.until_row("ETH", status="refused", position="3")
        world.want("ETH", 0)
        world.until_held("ETH", 0)
        world.assert_sound()
        assert len(placed(world, "ETH")) == 3


def keys_refused() -> dict[str, BusinessError]:
    """Return what each exchange says of a key that it does not accept."""
    return {"binanceusdm": BusinessError(code=-2015), "okx": BusinessError(code=50111)}


@both_exchanges
def test_fault_47_a_revoked_key_halts_after_it_is_certain_and_causes_no_storm(files: Files, kind: str) -> None:
    """One refusal is a hiccup; a lasting one halts, the process stays, and asks ever more rarely."""
    with World(files, kind) as world:
        world.want("ETH", 1)
        daemon = world.start(venue=unhurried(world))
        world.until_held("ETH", 1)
        world.assert_sound()
        rule = world.exchange.faults.add("mode", keys_refused()[kind])
        world.exchange.wait_for(lambda: rule.hits == 1)
        reads = world.exchange.count("mode")
        world.exchange.wait_for(lambda: world.exchange.count("mode") > reads + 1)
        assert not daemon.named("halt.tripped"), "one refusal proves nothing"
        if isinstance(world.exchange, BinanceFutures):
            world.exchange.keys_revoked = True
            world.exchange.close_sockets("user")
        else:
            world.exchange.revoke_keys()
        assert daemon.wait_for("halt.tripped")["reason"].startswith("keys refused")
        world.want("ETH", 2)
        main = until(lambda: daemon.status()["venues"]["main"], lambda venue: venue["problem"])
        assert (main["connected"], "does not accept the keys" in main["problem"]) == (False, True)
        assert len(placed(world, "ETH")) == 1
        daemon.terminate()
        since = len(world.exchange.requests)
        again = world.start(venue=unhurried(world))
        again.wait_for("halt.tripped")
        again.wait_for("venue.unreachable", venue="main")
        assert again.process.poll() is None
        asked = [request for request in world.exchange.requests[since:] if request.kind == "balance"]
        assert len(asked) <= 6
        assert world.exchange.credentials["secret"] not in str(again.events) + str(again.other_output)


@both_exchanges
def test_fault_47_a_banned_address_is_left_alone_as_long_as_it_is_asked_to(files: Files, kind: str) -> None:
    """No request arrives before the time is over; afterwards everything goes on, and nothing is halted."""
    banned: dict[str, Answer] = {
        "binanceusdm": too_many_requests(RETRY_AFTER, banned=True),
        "okx": Answer(status=429, body='{"code":"50011","msg":"Too Many"}', headers={"Retry-After": str(RETRY_AFTER)}),
    }
    with World(files, kind) as world:
        world.want("ETH", 1)
        daemon = world.start()
        world.until_held("ETH", 1)
        world.assert_sound()
        rule = world.exchange.faults.add("positions", banned[kind])
        world.exchange.wait_for(lambda: rule.hits)
        struck = len(world.exchange.requests)
        daemon.wait_for("venue.paused", venue="main")
        world.want("ETH", 3)
        assert "pause" in world.until_row("ETH", status="unknown")["reason"]
        world.until_held("ETH", 3)
        world.assert_sound()
        refused = next(request for request in world.exchange.requests if request.status in {418, 429})
        calls = [
            request.at - refused.at
            for request in world.exchange.requests[struck:]
            if request.kind not in {"socket", refused.kind}
        ]
        assert min(call for call in calls if call > 0.5) >= RETRY_AFTER - 0.5, "what was under way may still arrive"
        assert not daemon.named("halt.tripped")
        assert not daemon.named("symbol.locked", symbol=symbol("ETH"))


@both_exchanges
def test_fault_47_a_key_that_may_not_trade_halts_once_orders_prove_it(files: Files, kind: str) -> None:
    """Reads work, so only orders can tell: after two that are refused for the key the daemon halts."""
    with World(files, kind) as world:
        if isinstance(world.exchange, BinanceFutures):
            world.exchange.settings.permissions["enableFutures"] = False
        else:
            world.exchange.permissions = "read_only"
        world.want("ETH", 1)
        daemon = world.start()
        assert daemon.wait_for("halt.tripped")["reason"].startswith("keys refused")
        until(daemon.status, lambda status: status["state"] == "halted")
        assert len(placed(world, "ETH")) == 2
        assert world.account.orders == []
