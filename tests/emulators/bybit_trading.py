"""Bybit's order endpoints, v5: the checks of POST order/create, look-ups, cancellations, executions."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from tests.emulators.account import Account
from tests.emulators.account_records import ZERO, Leg, Market, Order, OrderSide
from tests.emulators.bybit_rows import EXECUTION, STATUS, Row, category, execution_row, order_id, order_row
from tests.emulators.faults import Request
from tests.emulators.server import Exchange, Refusal, Reply, Route

LEGS: dict[str, Leg] = {"": "net", "0": "net", "1": "long", "2": "short"}
LINK_LENGTH = 36
RECENT = 500
"""Closed orders that order/realtime still finds by id."""


class Trading:
    """The handlers. They run under the account's lock."""

    def __init__(self, exchange: Exchange, account: Account) -> None:
        self._exchange = exchange
        self._account = account

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("POST", "/v5/order/create", "place", self.place),
            Route("POST", "/v5/order/cancel", "cancel", self.cancel),
            Route("GET", "/v5/order/realtime", "order", self.realtime),
            Route("GET", "/v5/order/history", "orders", self.history),
            Route("GET", "/v5/execution/list", "trades", self.executions),
        ]

    def place(self, request: Request) -> Reply:
        """Answer POST order/create: an acknowledgement without state."""
        order = self._checked(request.params)
        self._exchange.execute(order, request)
        return answer({"orderId": order_id(order.id), "orderLinkId": order.client_id})

    def cancel(self, request: Request) -> Reply:
        """Answer POST order/cancel."""
        found = self._named(request.params, self._account.orders)
        if not found or not found[0].is_open:
            raise Refusal(110001, "order not exists or too late to cancel")
        self._account.end(found[0].id)
        return answer({"orderId": order_id(found[0].id), "orderLinkId": found[0].client_id})

    def realtime(self, request: Request) -> Reply:
        """Answer GET order/realtime: by id the recent ones in any state, else the open ones."""
        orders = self._exchange.view(request).orders
        if "orderId" in request.params or "orderLinkId" in request.params:
            found = self._named(request.params, orders[-RECENT:])
        else:
            found = [order for order in self._of_category(request, orders) if order.is_open]
        return self._listed(request, [self._order(order) for order in found])

    def history(self, request: Request) -> Reply:
        """Answer GET order/history: the final ones, newest first."""
        orders = self._exchange.view(request).orders
        if request.params.get("orderId") or request.params.get("orderLinkId"):
            found = self._named(request.params, orders)
        else:
            found = self._of_category(request, orders)
        wanted, since = request.params.get("orderStatus"), int(request.params.get("startTime") or 0)
        rows = [
            self._order(order)
            for order in reversed(found)
            if not order.is_open and order.created >= since and wanted in (None, "", STATUS[order.status])
        ]
        return self._listed(request, rows)

    def executions(self, request: Request) -> Reply:
        """Answer GET execution/list, newest first."""
        params = request.params
        since = int(params.get("startTime") or 0)
        rows: list[Row] = []
        for trade in reversed(self._exchange.view(request).trades):
            order, market = self._account.order(trade.order_id), self._account.markets[trade.market]
            if order is None or category(market) != params.get("category") or trade.time < since:
                continue
            if params.get("symbol") not in (None, "", trade.market):
                continue
            if params.get("orderId") not in (None, "", order_id(order.id)):
                continue
            if params.get("orderLinkId") not in (None, "", order.client_id):
                continue
            if params.get("execType") in (None, "", EXECUTION.get(order.origin, ("Trade", ""))[0]):
                rows.append(execution_row(market, order, trade))
        return self._listed(request, rows)

    def fees(self, order: Order) -> Decimal:
        """Return what an order has paid so far."""
        return sum((trade.fee for trade in self._account.trades if trade.order_id == order.id), ZERO)

    def market(self, params: dict[str, str]) -> Market:
        """Return the instrument that a request names. Raises Refusal."""
        found = self._account.markets.get(params.get("symbol", ""))
        if found is None or category(found) != params.get("category"):
            raise Refusal(10001, "params error: symbol invalid")
        return found

    def _order(self, order: Order) -> Row:
        return order_row(self._account.markets[order.market], order, self.fees(order))

    def _of_category(self, request: Request, orders: list[Order]) -> list[Order]:
        params = request.params
        if not params.get("symbol") and not params.get("settleCoin") and not params.get("baseCoin"):
            raise Refusal(10001, "Missing some parameters that must be filled in, symbol, settleCoin or baseCoin")
        markets = self._account.markets
        return [
            order
            for order in orders
            if category(markets[order.market]) == params.get("category")
            and params.get("symbol") in (None, "", order.market)
            and params.get("settleCoin") in (None, "", markets[order.market].settle)
        ]

    def _named(self, params: dict[str, str], orders: list[Order]) -> list[Order]:
        """Return the order that `orderId`, or else `orderLinkId`, names."""
        if params.get("orderId"):
            return [order for order in orders if order_id(order.id) == params["orderId"]]
        if not params.get("orderLinkId"):
            raise Refusal(10001, "params error: orderId or orderLinkId is required")
        return [order for order in orders if order.client_id == params["orderLinkId"]]

    def _listed(self, request: Request, rows: list[Row]) -> Reply:
        limit = min(int(request.params.get("limit") or 20), 100)
        return answer({"category": request.params.get("category"), "nextPageCursor": "", "list": rows[:limit]})

    # The checks.

    def _checked(self, fields: dict[str, str]) -> Order:
        market = self.market(fields)
        side = self._side(fields)
        leg = self._leg(fields)
        link = fields.get("orderLinkId", "")
        if len(link) > LINK_LENGTH:
            raise Refusal(10001, "OrderLinkID Exceeded Limit Length")
        if link and self._account.orders_by_client_id(link):
            raise Refusal(110072, "OrderLinkedID is duplicate")
        quantity = self._quantity(market, fields)
        price = self._number(fields, "price") if fields.get("orderType") == "Limit" else None
        reduces = fields.get("reduceOnly") == "true" or (leg != "net" and (leg == "long") == (side == "sell"))
        if reduces:
            quantity = self._reducible(market, leg, side, quantity)
        else:
            self._afford(market, leg, side, quantity, price)
        return self._account.accept(
            market.id, side, quantity, client_id=link, leg=leg, kind="market" if price is None else "limit",
            price=price, reduce_only=reduces and leg == "net", time_in_force=fields.get("timeInForce") or "GTC",
        )  # fmt: skip

    def _side(self, fields: dict[str, str]) -> OrderSide:
        if fields.get("orderType") not in {"Market", "Limit"}:
            raise Refusal(10001, "params error: OrderType invalid")
        match fields.get("side"):
            case "Buy":
                return "buy"
            case "Sell":
                return "sell"
        raise Refusal(10001, "params error: side invalid")

    def _leg(self, fields: dict[str, str]) -> Leg:
        leg = LEGS.get(fields.get("positionIdx", ""))
        if leg is None:
            raise Refusal(10001, "params error: positionIdx invalid")
        if (leg != "net") is not self._account.hedged:
            raise Refusal(10001, "position idx not match position mode")
        return leg

    def _quantity(self, market: Market, fields: dict[str, str]) -> Decimal:
        quantity = self._number(fields, "qty")
        if quantity < market.minimum:
            raise Refusal(10001, "The number of contracts exceeds minimum limit allowed: too small")
        if quantity % market.step:
            raise Refusal(10001, "Qty invalid")
        if fields.get("orderType") == "Market" and quantity > market.maximum:
            raise Refusal(10001, "The number of contracts exceeds maximum limit allowed: too large")
        worth = market.notional(quantity, self._account.prices[market.id])
        if worth < market.min_notional and fields.get("reduceOnly") != "true":
            raise Refusal(110094, f"Order does not meet minimum order value {market.min_notional}USDT")
        return quantity

    def _reducible(self, market: Market, leg: Leg, side: OrderSide, quantity: Decimal) -> Decimal:
        """Return what Bybit makes of a reduce-only quantity: not more than is held."""
        if not self._account.leg(market.id, leg).quantity:
            raise Refusal(110017, "current position is zero, cannot fix reduce-only order qty")
        held = self._account.reducible(market.id, leg, side)
        if not held:
            raise Refusal(110017, "orderQty will be truncated to zero.")
        return min(quantity, held)

    def _afford(self, market: Market, leg: Leg, side: OrderSide, quantity: Decimal, price: Decimal | None) -> None:
        account, price = self._account, price or self._account.prices[market.id]
        added = max(quantity - 2 * account.reducible(market.id, leg, side), ZERO)
        needed = account.margin(market.id, added, price) + market.value(added, price) * account.taker
        if added and not needed <= account.available(market.settle):
            raise Refusal(110007, "ab not enough for new order")

    def _number(self, fields: dict[str, str], name: str) -> Decimal:
        try:
            number = Decimal(fields.get(name, ""))
        except InvalidOperation:
            raise Refusal(10001, f"params error: {name} invalid") from None
        if not number.is_finite() or number <= 0:
            raise Refusal(10001, f"params error: {name} invalid")
        return number


def answer(result: object) -> Reply:
    """Return a result in the envelope of every answer; the server fills in the time."""
    return Reply({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 0})


def stamped(reply: Reply, now: int) -> Reply:
    """Return an answer with the time at which it was made."""
    body = reply.body
    return msgspec.structs.replace(reply, body=body | {"time": now}) if isinstance(body, dict) else reply
