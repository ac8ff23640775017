"""A life on an exchange, start to end: what is held is taken over, opened, scaled, reduced, flipped and closed.

The real daemon trades through the unmodified ccxt.pro client; every order and position is looked at on the exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
import pytest

from tests.emulators.faults import Request
from tests.faults.world import World, both_exchanges, both_modes, every_place, symbol
from tests.harness.workspace import Files
from tests.tasks.evidence import journal, until

# An exchange and its client in each test.
pytestmark = [pytest.mark.slow, pytest.mark.started_anew]


class Sent(NamedTuple):
    """What the exchange received of an order, in words that fit both exchanges."""

    side: str
    quantity: Decimal
    leg: str
    """long, short, or net in one-way mode."""
    reduce_only: bool
    """As the request said it; in hedge mode the leg and the side say it."""


def received(world: World, base: str) -> list[Sent]:
    """Return the orders that arrived for a market, as they were written on the wire."""
    market, orders = world.market(base).id, []
    for request in list(world.exchange.requests):
        if request.kind == "place":
            rows = [row for row in _rows(request) if market in {row.get("symbol"), row.get("instId")}]
            orders += [_sent(world, base, row) for row in rows]
    return orders


def _rows(request: Request) -> Sequence[dict[str, object]]:
    """Return the orders of a request: of a list in JSON, or the one that its form describes."""
    if request.body.startswith(("[", "{")):
        told = msgspec.json.decode(request.body)
        return told if isinstance(told, list) else [told]
    return [dict(request.params)]


def _sent(world: World, base: str, row: dict[str, object]) -> Sent:
    amount = Decimal(str(row.get("quantity") or row.get("sz")))
    leg = str(row.get("positionSide") or row.get("posSide") or "net").lower()
    reduce_only = str(row.get("reduceOnly", "false")).lower() == "true"
    side = str(row["side"]).lower()
    return Sent(side, amount * world.market(base).contract_size, "net" if leg == "both" else leg, reduce_only)


def expected(hedged: bool, side: str, quantity: str, *, closes: str = "", opens: str = "") -> Sent:
    """Return what must arrive for an order that closes or opens a long or short."""
    if hedged:
        return Sent(side, Decimal(quantity), closes or opens, reduce_only=False)
    return Sent(side, Decimal(quantity), "net", reduce_only=bool(closes))


@both_modes
@both_exchanges
def test_a_position_is_taken_over_opened_scaled_reduced_flipped_and_closed(
    files: Files, kind: str, hedged: bool
) -> None:
    """After each step the exchange holds the target, and received the order that the step means, once."""
    with World(files, kind, hedged=hedged) as world:
        leg = "long" if hedged else "net"
        world.account.set_position(world.market("ETH").id, world.units("ETH", "2"), leg=leg)  # type: ignore[arg-type]
        world.want("ETH", "3")
        daemon = world.start()
        assert Decimal(daemon.wait_for("position.taken_over", symbol=symbol("ETH"))["position"]) == 2
        for base, quantity in (
            *(("ETH", "3"),),
            *(("BTC", quantity) for quantity in ("0.1", "0.3", "0.12", "-0.2", "-0.4", "-0.15", "0")),
        ):
            world.want(base, quantity)
            world.until_held(base, quantity)
            until(world.unsettled, lambda complaints: not complaints)
        assert received(world, "ETH") == [expected(hedged, "buy", "1", opens="long")]
        assert received(world, "BTC") == [
            expected(hedged, "buy", "0.1", opens="long"),
            expected(hedged, "buy", "0.2", opens="long"),
            expected(hedged, "sell", "0.18", closes="long"),
            expected(hedged, "sell", "0.12", closes="long"),
            expected(hedged, "sell", "0.2", opens="short"),
            expected(hedged, "sell", "0.2", opens="short"),
            expected(hedged, "buy", "0.25", closes="short"),
            expected(hedged, "buy", "0.15", closes="short"),
        ]
        world.assert_sound()
        main = until(lambda: daemon.status()["venues"]["main"], lambda venue: venue["connected"])
        assert main["position_mode"] == ("hedge" if hedged else "one_way")
        assert Decimal(main["equity"]) > 90_000
        assert daemon.terminate() == 0
        fees = journal(files.root, "SELECT fee, fee_currency FROM fills")
        assert all(Decimal(fee) > 0 and currency == "USDT" for fee, currency in fees)
        touched = {request.kind for request in world.exchange.requests if request.method not in {"GET", "WS"}}
        assert touched <= {"place", "listen_key"}, "leverage, margin and position mode are the user's"


@every_place
def test_leverage_and_margin_mode_are_applied_to_the_markets_that_strategies_name(
    files: Files, kind: str, hedged: bool
) -> None:
    """Before anything is traded, once a market, and no market that nobody named is touched."""
    with World(files, kind, hedged=hedged) as world:
        world.want("BTC", "0")
        world.want("ETH", "1")
        daemon = world.start(venue={"set_leverage": 7, "margin_mode": "isolated"})
        named = {world.market(base).id for base in ("BTC", "ETH")}
        world.exchange.wait_for(lambda: world.account.leverages == dict.fromkeys(named, 7))
        world.until_held("ETH", "1")
        assert world.account.margin_modes == dict.fromkeys(named, "isolated")
        world.assert_sound()
        resyncs = world.exchange.count("mode")
        world.exchange.wait_for(lambda: world.exchange.count("mode") > resyncs + 2)
        settings = [request for request in world.exchange.requests if request.kind == "set_leverage"]
        assert len(settings) == len({str(request.params) for request in settings})
        assert not daemon.named("venue.setting_refused")


@both_exchanges
def test_twenty_orders_in_a_burst_arrive_once_each(files: Files, kind: str) -> None:
    """One change of the weights decides on twenty markets at once."""
    with World(files, kind) as world:
        pattern = world.market("SOL")
        coins = [f"COIN{number}" for number in range(20)]
        for coin in coins:
            market = msgspec.structs.replace(pattern, id=pattern.id.replace("SOL", coin), base=coin)
            world.account.prices[market.id] = Decimal(100)
            world.account.replace_market(market)
            files.state(coin.lower(), 1.0, symbol=symbol(coin))
        files.portfolio({}, account_value=100_000)
        daemon = world.start()
        daemon.wait_for("venue.connected", venue="main")
        files.portfolio(dict.fromkeys(map(str.lower, coins), 0.05), account_value=100_000)
        world.exchange.wait_for(lambda: len(world.account.trades) == 20)
        assert {coin: world.held(coin) for coin in coins} == dict.fromkeys(coins, Decimal(50))
        world.assert_sound()
        assert world.exchange.count("place") == 20
