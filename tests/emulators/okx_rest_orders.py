"""OKX's REST endpoints for orders and fills, v5."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.emulators.account import Account
from tests.emulators.account_records import Order
from tests.emulators.faults import Request
from tests.emulators.okx_errors import refused
from tests.emulators.okx_requests import (
    answer,
    check_instrument_type,
    json_rows,
    matching_markets,
    named_market,
    paged,
    trading_body,
)
from tests.emulators.okx_rows import Row, fill_row, order_row
from tests.emulators.server import Reply, Route

if TYPE_CHECKING:
    from tests.emulators.okx import OkxSwap

BATCH = 20
"""The most orders of one request."""


class RestOrders:
    """The handlers. They run under the account's lock."""

    def __init__(self, exchange: OkxSwap, account: Account) -> None:
        self._exchange = exchange
        self._account = account

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        private = (
            ("POST", "trade/order", "place", self.place),
            ("POST", "trade/batch-orders", "place", self.place),
            ("POST", "trade/cancel-order", "cancel", self.cancel),
            ("POST", "trade/cancel-batch-orders", "cancel", self.cancel),
            ("POST", "trade/close-position", "place", self.close),
            ("GET", "trade/order", "order", self.order),
            ("GET", "trade/orders-pending", "open_orders", self.open_orders),
            ("GET", "trade/orders-history", "orders", self.ended_orders),
            ("GET", "trade/orders-history-archive", "orders", self.ended_orders),
            ("GET", "trade/fills", "trades", self.fills),
            ("GET", "trade/fills-history", "trades", self.fills_history),
        )
        return [Route(method, f"/api/v5/{path}", name, handler) for method, path, name, handler in private]

    def place(self, request: Request) -> Reply:
        """POST trade/order and trade/batch-orders."""
        rows = self._batch(request)
        expiry = request.headers.get("exptime", "")
        if expiry.isdigit() and int(expiry) < self._account.now():
            raise refused("50037")
        done = [self._exchange.trading.place(row, request) for row in rows]
        return Reply(trading_body(done, self._account.now()))

    def cancel(self, request: Request) -> Reply:
        """POST trade/cancel-order and trade/cancel-batch-orders."""
        done = [self._exchange.trading.cancel(row) for row in self._batch(request)]
        return Reply(trading_body(done, self._account.now()))

    def close(self, request: Request) -> Reply:
        """POST trade/close-position."""
        return answer([self._exchange.trading.close(request.params, request)])

    def order(self, request: Request) -> Reply:
        """GET trade/order."""
        named_market(self._account, request.params)
        order = self._exchange.trading.find(request.params, self._exchange.view(request).orders)
        if order is None:
            raise refused("51603")
        return answer([self._order_row(order, request)])

    def open_orders(self, request: Request) -> Reply:
        """GET trade/orders-pending."""
        check_instrument_type(request.params)
        return answer(self._order_rows(request, lambda order: order.is_open))

    def ended_orders(self, request: Request) -> Reply:
        """GET trade/orders-history and its archive."""
        check_instrument_type(request.params, required=True)
        return answer(self._order_rows(request, lambda order: not order.is_open))

    def fills(self, request: Request) -> Reply:
        """GET trade/fills."""
        check_instrument_type(request.params)
        fields, view = request.params, self._exchange.view(request)
        shown = {market.id for market in matching_markets(self._account, fields)}
        orders = {order.id: order for order in view.orders}
        rows = (
            fill_row(self._account, trade, orders.get(trade.order_id))
            for trade in view.trades
            if trade.market in shown and fields.get("ordId") in (None, "", str(trade.order_id))
        )
        return answer(paged(rows, fields, "billId", "ts"))

    def fills_history(self, request: Request) -> Reply:
        """GET trade/fills-history."""
        check_instrument_type(request.params, required=True)
        return self.fills(request)

    def _order_rows(self, request: Request, wanted: Callable[[Order], bool]) -> list[Row]:
        fields = request.params
        shown = {market.id for market in matching_markets(self._account, fields)}
        rows = [
            self._order_row(order, request)
            for order in self._exchange.view(request).orders
            if wanted(order) and order.market in shown
        ]
        for name in ("ordType", "state", "category"):
            if fields.get(name):
                rows = [row for row in rows if row[name] in fields[name].split(",")]
        return paged(rows, fields, "ordId", "cTime")

    def _order_row(self, order: Order, request: Request) -> Row:
        trades = [trade for trade in self._exchange.view(request).trades if trade.order_id == order.id]
        return order_row(self._account, order, trades if order.filled else [])

    def _batch(self, request: Request) -> list[dict[str, str]]:
        rows = json_rows(request.body)
        if len(rows) > BATCH:
            raise refused("51111", BATCH)
        return rows
