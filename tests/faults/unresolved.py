"""The first invariant, seen from the exchange: nothing adds exposure while an order before it may still fill.

The requests that reached the exchange tell it, so it holds across kill -9, which cuts every log short.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tests.emulators.account_records import Order
from tests.emulators.faults import Answer, BusinessError, Lag, OrderLooks, OrderMissing, Request, Wire
from tests.emulators.server import Exchange

LIES = (OrderLooks, OrderMissing, Lag)
"""What an exchange shows of an order that is not so: who believes it is not to blame."""


class Placed(msgspec.Struct, frozen=True):
    """An order request as it reached the exchange."""

    request: Request
    market: str
    client_id: str
    adds: bool


def added_before_resolved(exchange: Exchange) -> list[str]:
    """Return the orders that were sent to add exposure while one before them, in the same market, was not over."""
    with exchange.account.changed:
        requests = list(exchange.requests)
        orders = {order.client_id: order for order in exchange.account.orders}
    looks = _by_order(requests, {str(order.id): order.client_id for order in orders.values()})
    pending: dict[str, list[Placed]] = {}
    wrong = []
    for placed in map(_placed, (request for request in requests if request.kind == "place")):
        waiting = pending.setdefault(placed.market, [])
        waiting[:] = [
            earlier
            for earlier in waiting
            if not _over(exchange, earlier, orders.get(earlier.client_id), looks, placed.request.at)
        ]
        if placed.adds:
            wrong += [f"{placed.client_id} was sent before {earlier.client_id} was resolved" for earlier in waiting]
        waiting.append(placed)
    return wrong


def _placed(request: Request) -> Placed:
    fields: Mapping[str, Any] = json.loads(request.body)[0] if request.body.startswith("[") else request.params
    leg = str(fields.get("positionSide") or fields.get("posSide") or "").lower()
    closes_leg = (leg, str(fields.get("side")).lower()) in {("long", "sell"), ("short", "buy")}
    reduces = str(fields.get("reduceOnly")).lower() == "true" or closes_leg
    market, client_id = fields.get("symbol") or fields.get("instId"), fields.get("newClientOrderId")
    return Placed(request, str(market), str(client_id or fields.get("clOrdId")), not reduces)


def _by_order(requests: Iterable[Request], known: Mapping[str, str]) -> dict[str, list[Request]]:
    """Return the requests that look an order up, by its client id; some name it by the exchange's id."""
    looks: dict[str, list[Request]] = {}
    for request in requests:
        number = request.params.get("orderId") or request.params.get("ordId") or ""
        client_id = request.params.get("origClientOrderId") or request.params.get("clOrdId") or known.get(number)
        if request.kind == "order" and client_id:
            looks.setdefault(client_id, []).append(request)
    return looks


def _over(
    exchange: Exchange, placed: Placed, order: Order | None, looks: Mapping[str, list[Request]], moment: float
) -> bool:
    """Return whether an order was, at a moment, one that can no longer change anything, as far as could be known."""
    asked = [look for look in looks.get(placed.client_id, []) if look.at < moment]
    if any(isinstance(action, LIES) for request in (placed.request, *asked) for action in request.actions):
        return True
    span = None if order is None else exchange.account.order_history.span(order.id)
    if order is None or span is None or span[0] > moment:
        return bool(asked) or _answered(placed.request)
    return not order.is_open and span[1] <= moment


def _answered(request: Request) -> bool:
    """Return whether the answer to an order that was not taken said so."""
    wire = next((action for action in request.actions if isinstance(action, Wire)), None)
    if isinstance(wire, Answer):
        return wire.status in {418, 429}
    return wire is None or isinstance(wire, BusinessError)
