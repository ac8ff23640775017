"""BTSE's futures on loopback, for ccxt's class `btse`: an exchange without websockets that finds no finished order.

    with BtseFutures() as btse:
        client = ccxt.async_support.btse({**btse.options(), **btse.credentials})

An order is what placing it answered; later only the open orders, the trades and the position tell of it.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import ClassVar

from tests.emulators.account import Account
from tests.emulators.account_records import ZERO, Event, Market, Order, OrderSide, Trade
from tests.emulators.faults import Answer, Request
from tests.emulators.server import Exchange, Refusal, Reply, Route
from tests.emulators.server_streams import Socket
from tests.harness.canaries import CANARIES

Row = dict[str, object]
STATUS = {"new": 2, "partial": 5, "filled": 4, "canceled": 6, "expired": 6}
PRICES = {"BTC": Decimal(50_000), "ETH": Decimal(2_500)}
MARKET_ORDER = 77


def _market(base: str, contract: str) -> Market:
    return Market(
        id=f"{base}-PERP", base=base, quote="USDT", settle="USDT", step=Decimal(1), tick=Decimal("0.1"),
        minimum=Decimal(1), maximum=Decimal(7_500_000), contract_size=Decimal(contract), max_leverage=100,
    )  # fmt: skip


MARKETS = (_market("BTC", "0.00001"), _market("ETH", "0.0001"))


class BtseFutures(Exchange):
    """A cross margin account of dollars in one-way mode; sizes are contracts."""

    name: ClassVar[str] = "btse"

    def __init__(self, *, port: int = 0) -> None:
        prices = {market.id: PRICES[market.base] for market in MARKETS}
        super().__init__(Account(MARKETS, prices, {"USDT": Decimal(100_000)}), port=port)

    def options(self) -> dict[str, object]:
        """Return the ccxt options that point the client `btse` here."""
        return {"urls": {"api": {"public": self.url, "private": self.url}}}

    @property
    def credentials(self) -> dict[str, str]:
        """The only key that it knows."""
        return {"apiKey": CANARIES["btse key"], "secret": CANARIES["btse secret"]}

    # What the server asks.

    def routes(self) -> Iterable[Route]:
        """Return every endpoint."""
        futures = "/futures/api/v3/trade"
        public = (
            ("/spot/api/v3.3/time", "time", self._time),
            ("/public-api/market/v1/markets", "markets", self._markets),
            ("/public-api/market/v1/ticker/24hr", "ticker", self._ticker),
        )
        private = (
            ("GET", "/futures/api/v2.3/user/wallet", "balance", self._wallet),
            ("GET", f"{futures}/positions", "positions", self._positions),
            ("GET", f"{futures}/position_mode", "mode", self._mode),
            ("POST", f"{futures}/orders", "place", self._place),
            ("GET", f"{futures}/orders", "open_orders", self._open_orders),
            ("DELETE", f"{futures}/orders", "cancel", self._cancel),
            ("GET", f"{futures}/trade_history", "trades", self._trades),
        )
        return [
            *(Route("GET", path, kind, handler, signed=False) for path, kind, handler in public),
            *(Route(method, path, kind, handler) for method, path, kind, handler in private),
        ]

    def authenticate(self, request: Request) -> None:
        """Check key and signature."""
        key, nonce, sign = (request.headers.get(f"request-{name}", "") for name in ("api", "nonce", "sign"))
        signed = request.path.replace("/futures", "").replace("/spot", "") + nonce + request.body
        right = hmac.new(self.credentials["secret"].encode(), signed.encode(), hashlib.sha384).hexdigest()
        if key != self.credentials["apiKey"] or not hmac.compare_digest(sign, right):
            raise Refusal(-7, "Authenticate failed", 401)

    def refuse(self, refusal: Refusal) -> Reply:
        """Return an error in the venue's form."""
        body = {"status": refusal.status or 400, "errorCode": refusal.code, "message": refusal.message}
        return Reply(body, refusal.status or 400)

    def too_many(self, *, banned: bool) -> Answer:
        """Return 429."""
        del banned
        return Answer(
            status=429, body='{"errorCode":303,"message":"Rate limit exceeded"}', headers={"Retry-After": "1"}
        )

    # Reads.

    def _time(self, _request: Request) -> Reply:
        return Reply({"iso": "", "epoch": self.account.now() // 1000})

    def _markets(self, _request: Request) -> Reply:
        return Reply({"data": {"symbols": [_listing(market) for market in self.account.markets.values()]}})

    def _ticker(self, request: Request) -> Reply:
        market = self._market(request.params.get("symbol", "").removesuffix("-USDT"))
        price = self.account.prices[market.id]
        same = ("lastPrice", "openPrice", "highPrice", "lowPrice", "prevClosePrice", "bidPrice")
        row = dict.fromkeys(same, str(price)) | {"symbol": f"{market.id}-USDT", "askPrice": str(price + market.tick)}
        return Reply({"data": [row | {"closeTime": self.account.now() // 1000, "amount": "1", "volume": "1"}]})

    def _wallet(self, request: Request) -> Reply:
        view = self.view(request)
        margin = sum((self.account.margin(row.market, abs(row.quantity)) for row in view.positions), ZERO)
        assets = [{"currency": name, "balance": float(amount)} for name, amount in view.wallet.items()]
        in_use = [{"currency": "USDT", "balance": float(margin)}]
        return Reply([{"wallet": "CROSS@", "assets": assets, "assetsInUse": in_use}])

    def _positions(self, request: Request) -> Reply:
        rows = [row for row in self.view(request).positions if row.quantity]
        return Reply([
            {
                "marginType": 91, "entryPrice": float(row.entry), "markPrice": float(self.account.prices[row.market]),
                "symbol": row.market, "side": "BUY" if row.quantity > 0 else "SELL", "settleWithAsset": "USDT",
                "orderValue": float(self.account.markets[row.market].notional(row.quantity, row.entry)),
                "unrealizedProfitLoss": float(self.account.unrealized(row)), "size": int(abs(row.quantity)),
                "contractSize": float(self.account.markets[row.market].contract_size), "liquidationPrice": 0,
                "positionMode": "ONE_WAY", "positionDirection": None, "positionId": f"{row.market}-USDT",
                "walletName": "CROSS@", "timestamp": row.updated,
            }
            for row in rows
        ])  # fmt: skip

    def _mode(self, request: Request) -> Reply:
        market = self._market(request.params.get("symbol", ""))
        return Reply([{"symbol": market.id, "positionMode": "HEDGE" if self.account.hedged else "ONE_WAY"}])

    def _open_orders(self, request: Request) -> Reply:
        rows = [order for order in self.view(request).orders if order.is_open]
        named = [order for order in rows if request.params.get("symbol") in (None, order.market)]
        return Reply([_order(order) | {"orderState": "STATUS_ACTIVE"} for order in named])

    def _trades(self, request: Request) -> Reply:
        params = request.params
        rows = [
            _trade(self.account.markets[trade.market], trade)
            for trade in reversed(self.view(request).trades)
            if params.get("symbol") in (None, trade.market)
            and trade.time >= int(params.get("startTime") or 0)
            and params.get("orderID") in (None, _id(trade.order_id))
            and params.get("clOrderID") in (None, trade.client_id)
        ]
        return Reply({"data": rows, "code": 1, "msg": "Success", "success": True, "time": self.account.now()})

    # Orders.

    def _place(self, request: Request) -> Reply:
        params = request.params
        market = self._market(params.get("symbol", ""))
        if params.get("orderType") != "MARKET" or params.get("orderSide") not in {"BUY", "SELL"}:
            raise Refusal(300, "Invalid order type")
        try:
            quantity = Decimal(params.get("orderSize", ""))
        except InvalidOperation:
            raise Refusal(301, "Invalid order size") from None
        if not market.minimum <= quantity <= market.maximum or quantity % market.step:
            raise Refusal(301, "Invalid order size")
        reduces = params.get("reduceOnly") == "true"
        side: OrderSide = "buy" if params["orderSide"] == "BUY" else "sell"
        held = self.account.reducible(market.id, "net", side)
        if reduces and not held:
            raise Refusal(33199120, "Reduce only order would not reduce the position")
        needed = self.account.margin(market.id, max(quantity - 2 * held, ZERO))
        if not reduces and needed > self.account.available("USDT"):
            raise Refusal(51523, "Insufficient wallet balance")
        order = self.account.accept(
            market.id, side, min(quantity, held) if reduces else quantity, client_id=params.get("clOrderId", ""),
            reduce_only=reduces,
        )  # fmt: skip
        return Reply(_order(self.execute(order, request)))

    def _cancel(self, request: Request) -> Reply:
        for order in self.account.open_orders():
            if _id(order.id) == request.params.get("orderId") or order.client_id == request.params.get("clOrderId"):
                return Reply([_order(self.account.end(order.id))])
        raise Refusal(16, "Order not found")

    def _market(self, name: str) -> Market:
        market = self.account.markets.get(name)
        if market is None:
            raise Refusal(-7006, "Invalid market symbol")
        return market

    # No sockets.

    def socket_kind(self, path: str) -> str | None:
        """There is none."""
        del path
        return None

    def on_open(self, socket: Socket) -> None:
        """Nobody comes."""

    def on_text(self, socket: Socket, text: str) -> None:
        """Nobody speaks."""

    def on_event(self, event: Event) -> None:
        """Nobody listens."""

    def on_second(self) -> None:
        """Nothing is pushed."""


def _id(number: int) -> str:
    return str(uuid.UUID(int=number))


def _listing(market: Market) -> Row:
    return {
        "symbol": f"{market.id}-USDT", "type": "FuturesPerpetual", "category": "CRYPTO", "tradeCurrency": market.id,
        "baseCurrency": market.base, "quoteCurrency": market.quote, "active": market.active,
        "minOrderPrice": str(market.tick), "minPriceIncrement": str(market.tick), "minOrderSize": str(market.minimum),
        "maxOrderSize": str(market.maximum), "minSizeIncrement": str(market.step),
        "contractSize": str(market.contract_size), "availableSettlement": ["USD", "USDT"],
    }  # fmt: skip


def _order(order: Order) -> Row:
    return {
        "status": STATUS[order.status], "symbol": order.market, "orderType": MARKET_ORDER,
        "price": float(order.average),
        "side": order.side.upper(), "orderID": _id(order.id), "timestamp": order.updated, "message": "",
        "avgFilledPrice": float(order.average), "clOrderID": order.client_id,
        "originalOrderSize": int(order.quantity), "currentOrderSize": int(order.quantity),
        "filledSize": int(order.filled), "totalFilledSize": int(order.filled), "remainingSize": int(order.remaining),
        "postOnly": False, "reduceOnly": order.reduce_only, "positionMode": "ONE_WAY", "positionDirection": None,
        "positionId": f"{order.market}-USDT", "time_in_force": "GTC",
    }  # fmt: skip


def _trade(market: Market, trade: Trade) -> Row:
    return {
        "tradeId": _id(trade.id), "orderId": _id(trade.order_id), "clOrderId": trade.client_id,
        "positionId": f"{trade.market}-USDT", "orderSide": trade.side.upper(), "type": MARKET_ORDER, "price": 0,
        "size": int(trade.quantity), "avgFilledPrice": float(trade.price), "filledSize": int(trade.quantity),
        "contractSize": float(market.contract_size), "base": market.base, "quote": market.quote,
        "symbol": trade.market, "wallet": "CROSS@", "feeCurrency": trade.fee_currency, "feeAmount": float(trade.fee),
        "realizedPnl": float(trade.realized), "serialId": trade.id, "timestamp": trade.time,
    }  # fmt: skip
