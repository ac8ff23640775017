"""Orders of the Binance USD-M emulator: the filters, placing, cancelling, looking up."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TypeVar, cast

import msgspec

from tests.emulators.account_records import Leg, Market, Order, OrderSide, Trade
from tests.emulators.binance_markets import (
    POSITION_SIDE,
    client_id,
    decimals,
    integer,
    market_of,
    required,
    text,
)
from tests.emulators.binance_order_rows import acknowledged, queried, traded
from tests.emulators.faults import Request
from tests.emulators.server import Exchange, Refusal, Reply, Route

Row = TypeVar("Row", Order, Trade)
CLIENT_ID = re.compile(r"^[.A-Z:/a-z0-9_-]{1,36}$")


class Ticket(msgspec.Struct, frozen=True):
    """A new order that has passed the checks of form."""

    market: Market
    side: OrderSide
    leg: Leg
    quantity: Decimal
    price: Decimal | None
    reduce_only: bool
    client_id: str
    time_in_force: str
    response: str

    @property
    def closes(self) -> bool:
        """Whether the venue treats it as reduce-only."""
        return self.reduce_only or (self.leg != "net" and (self.leg == "long") == (self.side == "sell"))


class Orders:
    """The order endpoints of one emulator."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._account = exchange.account

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("POST", "/fapi/v1/order", "place", self.place),
            Route("POST", "/fapi/v1/order/test", "test_order", self._test),
            Route("GET", "/fapi/v1/order", "order", self._look_up),
            Route("DELETE", "/fapi/v1/order", "cancel", self._cancel),
            Route("GET", "/fapi/v1/openOrder", "order", self._open_order),
            Route("GET", "/fapi/v1/openOrders", "open_orders", self._open_orders),
            Route("GET", "/fapi/v1/openAlgoOrders", "open_orders", lambda _: Reply([])),
            Route("DELETE", "/fapi/v1/allOpenOrders", "cancel_all", self._cancel_all),
            Route("GET", "/fapi/v1/allOrders", "orders", self._all_orders),
            Route("GET", "/fapi/v1/userTrades", "trades", self._trades),
        ]

    def place(self, request: Request) -> Reply:
        """Answer POST order."""
        ticket = self._check(request.params)
        order = self._account.accept(
            ticket.market.id,
            ticket.side,
            ticket.quantity,
            client_id=ticket.client_id,
            leg=ticket.leg,
            kind="market" if ticket.price is None else "limit",
            price=ticket.price,
            reduce_only=ticket.reduce_only,
            time_in_force=ticket.time_in_force,
        )
        done = self._exchange.execute(order, request)
        if ticket.price is not None and ticket.time_in_force in ("IOC", "FOK"):
            done = self._account.end(order.id, "expired")
        return Reply(acknowledged(order if ticket.response == "ACK" else done))

    def _test(self, request: Request) -> Reply:
        self._check(request.params)
        return Reply({})

    def _check(self, params: dict[str, str]) -> Ticket:
        """Return the order that a request describes; raises Refusal as the venue does."""
        market = market_of(self._account, params)
        ticket = self._read(market, params)
        check_quantity(ticket)
        if ticket.price is not None:
            check_price(ticket)
        if any(order.client_id == ticket.client_id for order in self._account.open_orders()):
            raise Refusal(-4116, "ClientOrderId is duplicated.")
        self._check_reducing(ticket)
        notional = market.notional(ticket.quantity, ticket.price or self._account.prices[market.id])
        if not ticket.closes and notional < market.min_notional:
            least = text(market.min_notional)
            raise Refusal(-4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only).")
        self._check_margin(ticket)
        clipped = self._account.reducible(market.id, ticket.leg, ticket.side)
        if ticket.reduce_only and ticket.quantity > clipped:
            return msgspec.structs.replace(ticket, quantity=clipped)
        return ticket

    def _read(self, market: Market, params: dict[str, str]) -> Ticket:
        side = required(params, "side")
        kind = required(params, "type")
        if side not in ("BUY", "SELL"):
            raise Refusal(-1117, "Invalid side.")
        if kind not in ("MARKET", "LIMIT"):
            raise Refusal(-4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints.")
        own_id = params.get("newClientOrderId")
        if own_id is not None and len(own_id) > 36:
            raise Refusal(-4015, "Client order id length should be less than 36 chars.")
        if own_id is not None and not CLIENT_ID.match(own_id):
            legal = "'^[\\.A-Z\\:/a-z0-9_-]{1,36}$'"
            raise Refusal(-1100, f"Illegal characters found in parameter 'newClientOrderId'; legal range is {legal}.")
        if kind == "LIMIT":
            required(params, "timeInForce")
        elif "price" in params:
            raise Refusal(-1106, "Parameter 'price' sent when not required.")
        return Ticket(
            market=market,
            side=cast("OrderSide", side.lower()),
            leg=self._leg(params),
            quantity=_number(params, "quantity"),
            price=_number(params, "price") if kind == "LIMIT" else None,
            reduce_only=params.get("reduceOnly", "false").lower() == "true",
            client_id=own_id or uuid.uuid4().hex[:22],
            time_in_force=params.get("timeInForce", "GTC"),
            response=params.get("newOrderRespType", "ACK"),
        )

    def _leg(self, params: dict[str, str]) -> Leg:
        side = params.get("positionSide", "BOTH")
        if side not in POSITION_SIDE.values():
            raise Refusal(-4060, "Invalid position side.")
        if (side == "BOTH") is self._account.hedged:
            raise Refusal(-4061, "Order's position side does not match user's setting.")
        if self._account.hedged and "reduceOnly" in params:
            raise Refusal(-1106, "Parameter 'reduceonly' sent when not required.")
        return next(leg for leg in cast("tuple[Leg, ...]", tuple(POSITION_SIDE)) if POSITION_SIDE[leg] == side)

    def _check_reducing(self, ticket: Ticket) -> None:
        """Refuse a close of nothing; in hedge mode also a close of more than the leg holds."""
        held = self._account.reducible(ticket.market.id, ticket.leg, ticket.side)
        too_much = ticket.leg != "net" and ticket.quantity > held
        if ticket.closes and (not held or too_much):
            raise Refusal(-2022, "ReduceOnly Order is rejected.")

    def _check_margin(self, ticket: Ticket) -> None:
        if ticket.closes:
            return
        market = ticket.market
        adds = ticket.quantity - self._account.reducible(market.id, ticket.leg, ticket.side)
        available = self._account.available(market.settle)
        if adds > 0 and available.is_finite() and self._account.margin(market.id, adds, ticket.price) > available:
            raise Refusal(-2019, "Margin is insufficient.")

    def _find(self, request: Request, missing: Refusal) -> Order:
        """Return the order that a request names, as that request may see it."""
        market = market_of(self._account, request.params)
        own_id, number = request.params.get("origClientOrderId"), request.params.get("orderId")
        if own_id is None and number is None:
            raise Refusal(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        for order in reversed(self._exchange.view(request).orders):
            if order.market == market.id and (str(order.id) == number or (not number and client_id(order) == own_id)):
                return order
        raise missing

    def _look_up(self, request: Request) -> Reply:
        return Reply(queried(self._find(request, Refusal(-2013, "Order does not exist."))))

    def _open_order(self, request: Request) -> Reply:
        missing = Refusal(-2013, "Order does not exist.")
        order = self._find(request, missing)
        if not order.is_open:
            raise missing
        return Reply(queried(order))

    def _cancel(self, request: Request) -> Reply:
        missing = Refusal(-2011, "Unknown order sent.")
        order = self._find(request, missing)
        if not order.is_open:
            raise missing
        return Reply(acknowledged(self._account.end(order.id)))

    def _cancel_all(self, request: Request) -> Reply:
        for order in self._account.open_orders(market_of(self._account, request.params).id):
            self._account.end(order.id)
        return Reply({"code": 200, "msg": "The operation of cancel all open order is done."})

    def _open_orders(self, request: Request) -> Reply:
        chosen = market_of(self._account, request.params).id if "symbol" in request.params else None
        rows = [row for row in self._exchange.view(request).orders if row.is_open and chosen in (None, row.market)]
        return Reply([queried(order) for order in rows])

    def _all_orders(self, request: Request) -> Reply:
        rows = _window(request, self._exchange.view(request).orders, lambda row: row.created)
        market = market_of(self._account, request.params).id
        first = integer(request.params, "orderId", 0)
        return Reply(
            [queried(row) for row in _page(request, [r for r in rows if r.market == market and r.id >= first])]
        )

    def _trades(self, request: Request) -> Reply:
        rows = _window(request, self._exchange.view(request).trades, lambda row: row.time)
        market = market_of(self._account, request.params).id
        first, order = integer(request.params, "fromId", 0), request.params.get("orderId")
        chosen = [r for r in rows if r.market == market and r.id >= first and order in (None, str(r.order_id))]
        return Reply([traded(row) for row in _page(request, chosen)])


def check_quantity(ticket: Ticket) -> None:
    """Raise Refusal unless LOT_SIZE (MARKET_LOT_SIZE) and the precision allow the quantity."""
    market, quantity = ticket.market, ticket.quantity
    if quantity <= 0:
        raise Refusal(-4003, "Quantity less than or equal to zero.")
    if decimals(quantity) > decimals(market.step):
        raise Refusal(-1111, "Precision is over the maximum defined for this asset.")
    if quantity < market.minimum:
        raise Refusal(-4004, "Quantity less than min quantity.")
    if ticket.price is None and quantity > market.maximum:
        raise Refusal(-4005, "Quantity greater than max quantity.")
    if quantity % market.step:
        raise Refusal(-4023, "Quantity not increased by step size.")


def check_price(ticket: Ticket) -> None:
    """Raise Refusal unless PRICE_FILTER and the precision allow the limit."""
    price = ticket.price or Decimal(0)
    if price <= 0:
        raise Refusal(-4001, "Price less than 0.")
    if decimals(price) > decimals(ticket.market.tick):
        raise Refusal(-1111, "Precision is over the maximum defined for this asset.")
    if price % ticket.market.tick:
        raise Refusal(-4014, "Price not increased by tick size.")


def _number(params: dict[str, str], name: str) -> Decimal:
    value = required(params, name)
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", value) or not number.is_finite():
        legal = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
    return number


def _window(request: Request, rows: list[Row], moment: Callable[[Row], int]) -> list[Row]:
    start, end = integer(request.params, "startTime", 0), integer(request.params, "endTime", 1 << 62)
    return [row for row in rows if start <= moment(row) <= end]


def _page(request: Request, rows: list[Row]) -> list[Row]:
    """Return the oldest rows from a given start, else the newest."""
    limit = min(integer(request.params, "limit", 500), 1000)
    forward = any(name in request.params for name in ("startTime", "fromId"))
    return rows[:limit] if forward else rows[-limit:]
