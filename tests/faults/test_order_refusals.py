"""Orders that the exchange turns down, and an exchange that wants to be left alone."""

from __future__ import annotations

import itertools

import pytest

from tests.emulators.faults import Answer, BusinessError, Fills, too_many_requests
from tests.faults.order_requests import about, asked, placed
from tests.faults.world import World, both_exchanges, symbol
from tests.harness.daemon import PATIENCE, run_command
from tests.harness.workspace import Files
from tests.tasks.evidence import journal, until

pytestmark = pytest.mark.slow  # an exchange and its client in each test

REFUSALS = {
    "binanceusdm": {"ETH": -2019, "BTC": -1111, "SOL": -4164},
    "okx": {"ETH": 51008, "BTC": 51121, "SOL": 51020},
}
"""Insufficient funds, an invalid order, below the minimum."""
RETRY_AFTER = 3


def too_many(kind: str, *, banned: bool = False) -> Answer:
    """Return the exchange's 429 or 418, with a time at which to come back."""
    if kind == "binanceusdm":
        return too_many_requests(RETRY_AFTER, banned=banned)
    body = '{"code":"50011","data":[],"msg":"Too Many Requests"}'
    return Answer(status=429, body=body, headers={"Retry-After": str(RETRY_AFTER)})


@both_exchanges
def test_fault_05_a_refused_order_backs_its_market_off_and_no_other(files: Files, kind: str) -> None:
    """However often the daemon looks, a refused order is tried ever more rarely; a new target is tried at once."""
    with World(files, kind) as world:
        for base, code in REFUSALS[kind].items():
            world.exchange.faults.add_lasting("place", BusinessError(code=code), where=about(world, base))
        daemon = world.start()
        for base in (*REFUSALS[kind], "BNB"):
            world.want(base, "1")
        for base, code in REFUSALS[kind].items():
            assert str(code) in daemon.wait_for("order.refused", symbol=symbol(base))["found"]
        world.until_held("BNB", "1")
        for base, code in REFUSALS[kind].items():
            world.exchange.wait_for(lambda base=base: len(placed(world, base)) > 3, PATIENCE)  # type: ignore[misc]
            times = [request.at for request in placed(world, base)[:4]]
            gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
            assert gaps == sorted(gaps)
            assert gaps[-1] > 1.5, "of the looks in between none sent it"
            assert str(code) in world.until_row(base, status="refused")["reason"]
        world.exchange.faults.clear()
        for base in REFUSALS[kind]:
            world.want(base, "2")
            world.until_held(base, "2")
        world.assert_sound()


@both_exchanges
def test_fault_05_an_account_without_funds_is_refused_until_it_has_some(files: Files, kind: str) -> None:
    """The exchange's own margin check refuses; a reduction needs no margin and goes through meanwhile."""
    with World(files, kind) as world:
        daemon = world.start()
        world.want("BTC", "1")
        world.until_held("BTC", "1")
        world.account.set_wallet("USDT", "2600")
        world.want("ETH", "10")
        daemon.wait_for("order.refused", symbol=symbol("ETH"))
        world.want("BTC", "0.5")
        world.until_held("BTC", "0.5")
        world.account.set_wallet("USDT", "100000")
        world.until_held("ETH", "10")
        world.assert_sound()


@pytest.mark.parametrize(
    ("kind", "where", "banned"),
    [("binanceusdm", "place", False), ("binanceusdm", "positions", True), ("okx", "place", False)],
)
def test_fault_06_nothing_is_asked_of_an_exchange_that_asks_for_a_pause(
    files: Files, kind: str, where: str, *, banned: bool
) -> None:
    """A 429 or 418, of whatever request, silences the venue for as long as it says; then the order is sent."""
    with World(files, kind) as world:
        daemon = world.start()
        world.want("BTC", "1")
        world.until_held("BTC", "1")
        world.assert_sound()
        rule = world.exchange.faults.add(where, too_many(kind, banned=banned))
        world.want("ETH", "1")
        world.want("BTC", "0.5")
        daemon.wait_for("venue.paused")
        world.until_held("BTC", "0.5")
        world.until_held("ETH", "1")
        world.assert_sound()
        assert rule.hits == 1
        paused = next(request for request in world.exchange.requests if request.status in (418, 429))
        quiet = [
            request.kind
            for request in world.exchange.requests
            if 0.7 < request.at - paused.at < RETRY_AFTER - 0.2 and request.kind != "socket"
        ]
        assert quiet == []
        reduced, added = placed(world, "BTC")[-1], placed(world, "ETH")[-1]
        assert reduced.at < added.at, "reductions go first after a pause, too"


@both_exchanges
def test_fault_06_a_cancellation_and_a_close_wait_for_the_end_of_a_pause_and_are_not_forgotten(
    files: Files, kind: str
) -> None:
    """Halted and flattened in a pause: the working order is cancelled and the position closed once that is allowed."""
    with World(files, kind) as world:
        daemon = world.start()
        world.want("BTC", "1")
        world.until_held("BTC", "1")
        world.exchange.faults.add("place", Fills(after=600), where=about(world, "ETH"))
        world.want("ETH", "1")
        until(lambda: journal(files.root, "SELECT 1 FROM intents WHERE status = 'working'"))
        world.exchange.faults.add("positions", too_many(kind))
        daemon.wait_for("venue.paused")
        assert run_command(files.root, "flatten", "--yes").returncode == 0
        world.until_held("BTC", "0")
        world.exchange.wait_for(lambda: not world.account.open_orders(), PATIENCE)
        paused = next(request for request in world.exchange.requests if request.status == 429)
        assert asked(world, "cancel", "ETH")[0].at - paused.at > RETRY_AFTER - 0.2
        world.assert_sound()
        assert world.account.positions == []
