"""The REST endpoints of the Binance spot emulator, and its checks of an order."""

from __future__ import annotations

import re
import uuid
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import msgspec

from tests.emulators.account_records import ZERO, Market, Order, OrderSide
from tests.emulators.binance_market_data import candles
from tests.emulators.binance_markets import client_id, decimals, integer, market_of, required, text
from tests.emulators.binance_spot_rows import Row, listing, ordered, placed, ticker, traded
from tests.emulators.faults import Request
from tests.emulators.server import Refusal, Reply, Route

if TYPE_CHECKING:
    from tests.emulators.binance_spot import BinanceSpot

CLIENT_ID = re.compile(r"[a-zA-Z0-9-_]{1,36}")
KEY_ONLY = ("user_stream",)


class Rest:
    """The handlers. They run under the account's lock."""

    def __init__(self, exchange: BinanceSpot) -> None:
        self._exchange = exchange
        self._account = exchange.account

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        public = (
            ("ping", "ping", lambda _: Reply({})),
            ("time", "time", lambda _: Reply({"serverTime": self._account.now()})),
            ("exchangeInfo", "markets", self._markets),
            ("ticker/24hr", "ticker", self._tickers),
            ("klines", "candles", lambda request: candles(self._account, request)),
        )
        private = (
            ("GET", "account", "balance", self._balance),
            ("POST", "order", "place", self._place),
            ("GET", "order", "order", self._look_up),
            ("DELETE", "order", "cancel", self._cancel),
            ("GET", "openOrders", "open_orders", self._open_orders),
            ("GET", "allOrders", "orders", self._all_orders),
            ("GET", "myTrades", "trades", self._trades),
        )
        return [
            *(Route("GET", f"/api/v3/{path}", kind, handler, signed=False) for path, kind, handler in public),
            *(Route(method, f"/api/v3/{path}", kind, handler) for method, path, kind, handler in private),
            Route("GET", "/sapi/v1/account/apiRestrictions", "permissions", self._permissions),
        ]

    # Reads.

    def _markets(self, _request: Request) -> Reply:
        symbols = [listing(market) for market in self._account.markets.values()]
        now = self._account.now()
        return Reply(
            {"timezone": "UTC", "serverTime": now, "rateLimits": [], "exchangeFilters": [], "symbols": symbols}
        )

    def _tickers(self, request: Request) -> Reply:
        if "symbol" in request.params:
            return Reply(ticker(self._account, market_of(self._account, request.params)))
        if "symbols" in request.params:
            named = msgspec.json.decode(request.params["symbols"], type=list[str])
            chosen = [market_of(self._account, {"symbol": name}) for name in named]
        else:
            chosen = list(self._account.markets.values())
        return Reply([ticker(self._account, market) for market in chosen])

    def _balance(self, request: Request) -> Reply:
        wallet = self._exchange.view(request).wallet
        rows = [{"asset": name, "free": text(amount), "locked": "0.00000000"} for name, amount in wallet.items()]
        return Reply({
            "makerCommission": 10, "takerCommission": 10, "canTrade": True, "canWithdraw": False, "canDeposit": True,
            "accountType": "SPOT", "updateTime": self._account.now(), "balances": rows, "permissions": ["SPOT"],
        })  # fmt: skip

    def _permissions(self, _request: Request) -> Reply:
        return Reply(self._exchange.permissions)

    def _look_up(self, request: Request) -> Reply:
        return Reply(ordered(self._find(request, Refusal(-2013, "Order does not exist."))))

    def _open_orders(self, request: Request) -> Reply:
        rows = [row for row in self._exchange.view(request).orders if row.is_open]
        return Reply([ordered(row) for row in rows if request.params.get("symbol") in (None, row.market)])

    def _all_orders(self, request: Request) -> Reply:
        market, since = market_of(self._account, request.params), integer(request.params, "startTime", 0)
        rows = [row for row in self._exchange.view(request).orders if row.market == market.id and row.created >= since]
        return Reply([ordered(row) for row in rows[-integer(request.params, "limit", 500) :]])

    def _trades(self, request: Request) -> Reply:
        market, since = market_of(self._account, request.params), integer(request.params, "startTime", 0)
        number = request.params.get("orderId")
        rows = [
            traded(row)
            for row in self._exchange.view(request).trades
            if row.market == market.id and row.time >= since and number in (None, str(row.order_id))
        ]
        return Reply(rows[-integer(request.params, "limit", 500) :])

    def _find(self, request: Request, missing: Refusal) -> Order:
        market = market_of(self._account, request.params)
        own_id, number = request.params.get("origClientOrderId"), request.params.get("orderId")
        if own_id is None and number is None:
            raise Refusal(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        for order in reversed(self._exchange.view(request).orders):
            if order.market == market.id and (str(order.id) == number or (not number and client_id(order) == own_id)):
                return order
        raise missing

    # Orders.

    def _place(self, request: Request) -> Reply:
        order = self._exchange.execute(self._checked(request.params), request)
        trades = [trade for trade in self._account.trades if trade.order_id == order.id]
        default = "FULL"
        return Reply(placed(order, trades, request.params.get("newOrderRespType", default)))

    def _cancel(self, request: Request) -> Reply:
        missing = Refusal(-2011, "Unknown order sent.")
        order = self._find(request, missing)
        if not order.is_open:
            raise missing
        row: Row = ordered(self._account.end(order.id))
        return Reply(row | {"origClientOrderId": row["clientOrderId"]})

    def _checked(self, params: dict[str, str]) -> Order:
        """Accept an order that passes every check, or raise Refusal."""
        market = market_of(self._account, params)
        side = self._side(params)
        own_id = params.get("newClientOrderId") or uuid.uuid4().hex[:22]
        if not CLIENT_ID.fullmatch(own_id):
            legal = "^[a-zA-Z0-9-_]{1,36}$"
            raise Refusal(-1100, f"Illegal characters found in parameter 'newClientOrderId'; legal range is '{legal}'.")
        quantity = self._quantity(market, params)
        price = self._number(params, "price") if params["type"] == "LIMIT" else None
        if quantity * (price or self._account.prices[market.id]) < market.min_notional:
            raise Refusal(-1013, "Filter failure: NOTIONAL")
        self._afford(market, side, quantity, price)
        if any(order.client_id == own_id for order in self._account.open_orders()):
            raise Refusal(-2010, "Duplicate order sent.")
        return self._account.accept(
            market.id, side, quantity, client_id=own_id, kind="market" if price is None else "limit", price=price,
            time_in_force=params.get("timeInForce", "GTC"),
        )  # fmt: skip

    def _side(self, params: dict[str, str]) -> OrderSide:
        if required(params, "type") not in {"MARKET", "LIMIT"}:
            raise Refusal(-1116, "Invalid orderType.")
        match required(params, "side"):
            case "BUY":
                return "buy"
            case "SELL":
                return "sell"
        raise Refusal(-1117, "Invalid side.")

    def _quantity(self, market: Market, params: dict[str, str]) -> Decimal:
        unknown = {"reduceOnly", "positionSide", "closePosition", "hedged"} & params.keys()
        if unknown:
            raise Refusal(-1104, f"Not all sent parameters were read; read '8' parameter(s) but was sent '{9}'.")
        quantity = self._number(params, "quantity")
        if decimals(quantity) > 8:
            raise Refusal(-1111, "Parameter 'quantity' has too much precision.")
        if quantity < market.minimum or quantity % market.step:
            raise Refusal(-1013, "Filter failure: LOT_SIZE")
        if params["type"] == "MARKET" and quantity > market.maximum:
            raise Refusal(-1013, "Filter failure: MARKET_LOT_SIZE")
        return quantity

    def _afford(self, market: Market, side: OrderSide, quantity: Decimal, price: Decimal | None) -> None:
        wallet = self._account.wallet
        cost = quantity * (price or self._account.prices[market.id])
        needed, currency = (cost, market.quote) if side == "buy" else (quantity, market.base)
        if wallet.get(currency, ZERO) < needed:
            raise Refusal(-2010, "Account has insufficient balance for requested action.")

    def _number(self, params: dict[str, str], name: str) -> Decimal:
        try:
            number = Decimal(required(params, name))
        except InvalidOperation:
            raise Refusal(-1100, f"Illegal characters found in parameter '{name}'.") from None
        if not number.is_finite() or number <= 0:
            raise Refusal(-1013, f"Invalid {name}.")
        return number
