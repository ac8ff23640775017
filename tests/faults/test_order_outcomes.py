"""Orders whose reply is lost, cut, garbled or wrong: found by their client id, and never sent again before proof."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulators.binance import status_unknown
from tests.emulators.faults import (
    Action,
    Answer,
    BusinessError,
    Hang,
    Late,
    Lose,
    OrderMissing,
    Reset,
    Truncate,
    empty,
    garbled,
    html,
)
from tests.faults.order_requests import about, placed
from tests.faults.world import World, both_exchanges, symbol
from tests.harness.daemon import PATIENCE
from tests.harness.workspace import Files
from tests.tasks.evidence import intents, until

pytestmark = pytest.mark.slow  # an exchange and its client in each test

IMPATIENT = {"timeout_seconds": 1}
SELDOM = "[reconciler]\nresync_seconds = 2\n\n[risk]\nmax_orders_per_minute = 0\n"
"""Five orders that are looked for at every resync use up an exchange's budget."""
STREAMED = {"binanceusdm": ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"), "okx": ("orders", "positions")}
"""What streams say of fills and of positions."""
ODD_BODIES = (
    "null",
    "[]",
    "[[]]",
    '"done"',
    '{"orderId": null}',
    '{"code":"0","data":"no"}',
    '{"code":"0","data":[null]}',
)


@pytest.fixture(
    scope="module",
    params=[("binanceusdm", False), ("okx", True)],
    ids=lambda param: f"{param[0]}-{'hedge' if param[1] else 'one_way'}",
)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A daemon that holds 1 ETH. Whatever a test does, it is left with that."""
    kind, hedged = request.param
    with World(Files(tmp_path_factory.mktemp("world")), kind, hedged=hedged) as world:
        world.start(venue=IMPATIENT)
        world.want("ETH", "1")
        world.until_held("ETH", "1")
        yield world


def lose_replies(world: World, fault: Action) -> None:
    """Let an order that adds and one that reduces take effect while their replies are hit by a fault."""
    sent = len(world.account.orders)
    for quantity in ("2", "1"):
        rule = world.exchange.faults.add("place", fault)
        world.want("ETH", quantity)
        world.until_held("ETH", quantity)
        world.assert_sound()
        assert rule.hits == 1
    assert len(world.account.orders) == sent + 2
    assert [order.filled for order in world.account.orders[-2:]] == [world.units("ETH", "1")] * 2


def busy(world: World) -> Action:
    """Return the exchange's own answer after which nobody knows what it did."""
    if world.kind == "okx":
        return BusinessError(code=50026, processed=True)
    return status_unknown(processed=True)


def test_fault_01_an_order_that_timed_out_but_was_accepted_is_found_and_not_sent_again(world: World) -> None:
    """The reply never comes; the order is looked up by its client id."""
    lose_replies(world, Hang(processed=True))


@pytest.mark.parametrize(
    "fault",
    [Reset(processed=True), Truncate(), garbled(), empty()],
    ids=["reset", "truncated", "garbled", "empty"],
)
def test_fault_03_a_reply_that_was_cut_or_garbled_is_no_refusal(world: World, fault: Action) -> None:
    """The order took effect, and that is found out."""
    lose_replies(world, fault)


@pytest.mark.parametrize("status", [200, 502, 503, 504])
def test_fault_04_a_load_balancers_page_is_no_refusal(world: World, status: int) -> None:
    """The page says nothing of the order behind it."""
    lose_replies(world, html(status, processed=True))  # type: ignore[arg-type]


def test_fault_04_the_exchanges_own_unknown_is_no_refusal(world: World) -> None:
    """Binance's 503 `Unknown error` and OKX's `System error` come after orders that were executed, too."""
    lose_replies(world, busy(world))


@pytest.mark.parametrize("code", [500, 520])
def test_fault_04_a_5xx_of_the_exchange_is_no_refusal(world: World, code: int) -> None:
    """JSON or not: an error of the server is no answer."""
    lose_replies(world, Answer(status=code, body='{"message":"internal"}', processed=True))


def test_fault_07_an_order_whose_client_id_exists_already_is_adopted(world: World) -> None:
    """The exchange says that it has the order: it is ours, and no new id is made for the same intent."""
    lose_replies(world, BusinessError(code=51016 if world.kind == "okx" else -4116, processed=True))


@pytest.mark.parametrize("body", ODD_BODIES)
def test_fault_11_a_reply_that_cannot_be_read_is_no_refusal(world: World, body: str) -> None:
    """Whatever ccxt raises while it reads the reply, the order is looked up."""
    lose_replies(world, Answer(body=body, processed=True))


@both_exchanges
def test_fault_01_an_order_that_cannot_be_found_at_first_is_not_sent_again(files: Files, kind: str) -> None:
    """`No such order` right after a timeout proves nothing: the order shows up later."""
    with World(files, kind) as world:
        world.start()
        world.exchange.faults.add("place", Reset(processed=True))
        blind = [world.exchange.faults.add_lasting(kind, OrderMissing()) for kind in ("order", "orders", "open_orders")]
        for name in STREAMED[kind]:
            world.exchange.faults.add_stream(Lose(), name=name, times=None)
        world.want("ETH", "1")
        world.exchange.wait_for(lambda: blind[0].hits > 2, PATIENCE)
        assert [row[4] for row in intents(files.root)] == ["unknown"]
        for rule in blind:
            world.exchange.faults.remove(rule)
        until(lambda: [row[4] for row in intents(files.root)] == ["done"])
        world.assert_sound()
        assert len(placed(world, "ETH")) == 1


@pytest.mark.slow
@both_exchanges
def test_fault_02_an_order_that_never_arrived_is_sent_again_only_after_the_proof(files: Files, kind: str) -> None:
    """Three markets lose an order in three ways; in two others it only seems lost: it comes within the grace, or after.

    The one that comes after it was proven absent fills too (fault 16): it is seen, and the surplus is sold.
    """
    lost: dict[str, Action] = {"ETH": Hang(processed=False), "BTC": Reset(processed=False), "SOL": html(502)}
    late = {"BNB": 3.0, "DOGE": 17.0}
    quantities = {"ETH": "2", "BTC": "1", "SOL": "1", "BNB": "1", "DOGE": "1000"}
    arrivals = {base: Late(seconds=seconds, answer=Reset(processed=False)) for base, seconds in late.items()}
    with World(files, kind) as world:
        for base, fault in {**lost, **arrivals}.items():
            world.exchange.faults.add("place", fault, where=about(world, base))
        daemon = world.start(settings=SELDOM, venue=IMPATIENT)
        for base, quantity in {**quantities, "ETH": "1"}.items():
            world.want(base, quantity)
        for base in quantities:
            daemon.wait_for("order.unknown", symbol=symbol(base))
        world.until_row("BTC", status="unknown")
        world.want("ETH", "2")
        world.exchange.wait_for(
            lambda: len([order for order in world.account.orders if order.market == world.market("DOGE").id]) == 3,
            PATIENCE,
        )
        for base, quantity in quantities.items():
            world.until_held(base, quantity)
        world.assert_sound()
        for base in (*lost, "DOGE"):
            daemon.wait_for("order.resolved", symbol=symbol(base), outcome="the venue never got it")
            first, second = placed(world, base)[:2]
            assert second.at - first.at > 10.0, f"{base}: sent again within the grace of 10 s"
        assert {base: len(placed(world, base)) for base in quantities} == {
            **dict.fromkeys(lost, 2),
            "BNB": 1,
            "DOGE": 3,
        }
