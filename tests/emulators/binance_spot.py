"""Binance's spot market on loopback, for the unmodified ccxt class `binance` with the default type spot.

    with BinanceSpot() as exchange:
        client = ccxt.pro.binance({**exchange.options(), **exchange.credentials})

The account's stream is a subscription on the websocket API; a buy pays its fee in the currency bought, unless the
account keeps another one for fees. Names of stream messages: executionReport, outboundAccountPosition, 24hrTicker.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import ClassVar
from urllib.parse import urlencode

import msgspec

from tests.emulators.account_records import AccountEvent, Event, Market, OrderEvent, PriceEvent
from tests.emulators.binance_markets import integer, required, text
from tests.emulators.binance_spot_rest import Rest
from tests.emulators.binance_spot_rows import report, streamed_ticker
from tests.emulators.faults import Answer, Request
from tests.emulators.server import Exchange, Refusal, Reply, Route
from tests.emulators.server_streams import Socket
from tests.emulators.spot_account import SpotAccount
from tests.harness.canaries import CANARIES

UNAUTHORIZED = {-2014, -2015}
PRICES = {"BTCUSDT": Decimal(50_000), "ETHUSDT": Decimal(2_500), "BNBUSDT": Decimal(500), "ETHBTC": Decimal("0.05")}
WALLET = {"USDT": Decimal(100_000), "BNB": Decimal(20)}


def _market(base: str, quote: str, step: str, tick: str, least: str) -> Market:
    return Market(
        id=base + quote, base=base, quote=quote, settle=quote, step=Decimal(step), tick=Decimal(tick),
        minimum=Decimal(step), maximum=Decimal(1000), min_notional=Decimal(least),
    )  # fmt: skip


MARKETS = (
    _market("BTC", "USDT", "0.00001", "0.01", "5"),
    _market("ETH", "USDT", "0.0001", "0.01", "5"),
    _market("BNB", "USDT", "0.001", "0.01", "5"),
    _market("ETH", "BTC", "0.0001", "0.00001", "0.0001"),
)


class Command(msgspec.Struct, frozen=True):
    """What a client says on a socket."""

    method: str
    id: str | int | None = None
    params: list[str] | dict[str, object] = {}


class BinanceSpot(Exchange):
    """The emulator: an account of dollars, and some BNB that pays fees where `fee_currency` is BNB."""

    name: ClassVar[str] = "binance_spot"

    def __init__(self, *, fee_currency: str = "", port: int = 0) -> None:
        super().__init__(SpotAccount(MARKETS, PRICES, WALLET, fee_currency=fee_currency), port=port)
        self.keys_revoked = False
        self.permissions: dict[str, object] = {
            "ipRestrict": True, "enableReading": True, "enableSpotAndMarginTrading": True, "enableWithdrawals": False,
            "enableFutures": False, "createTime": 1_600_000_000_000,
        }  # fmt: skip

    def options(self) -> dict[str, object]:
        """Return the ccxt options that point the client `binance` here."""
        sockets = {"spot": f"{self.ws_url}/stream", "ws-api": {"spot": f"{self.ws_url}/ws-api/v3"}}
        rest = {"public": f"{self.url}/api/v3", "private": f"{self.url}/api/v3", "sapi": f"{self.url}/sapi/v1"}
        return {
            "urls": {"api": {**rest, "ws": sockets}},
            "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False},
        }

    @property
    def credentials(self) -> dict[str, str]:
        """The only key that it knows."""
        return {"apiKey": CANARIES["binance spot key"], "secret": CANARIES["binance spot secret"]}

    # What the server asks.

    def routes(self) -> Iterable[Route]:
        """Return every endpoint."""
        return Rest(self).routes()

    def authenticate(self, request: Request) -> None:
        """Check key, signature and timestamp."""
        payload = re.sub(r"&?signature=[^&]*", "", request.query + request.body)
        arrived = self.account.now() - int((time.monotonic() - request.at) * 1000)
        self._check(request.headers.get("x-mbx-apikey", ""), payload, request.params, arrived)

    def _check(self, key: str, payload: str, params: dict[str, str], arrived: int) -> None:
        if not key:
            raise Refusal(-2014, "API-key format invalid.")
        if key != self.credentials["apiKey"] or self.keys_revoked:
            raise Refusal(-2015, "Invalid API-key, IP, or permissions for action.")
        right = hmac.new(self.credentials["secret"].encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(required(params, "signature"), right):
            raise Refusal(-1022, "Signature for this request is not valid.")
        sent, window = integer(params, "timestamp", 0), integer(params, "recvWindow", 5000)
        if not arrived - window <= sent <= arrived + 1000:
            raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")

    def refuse(self, refusal: Refusal) -> Reply:
        """Return an error body."""
        status = refusal.status or (401 if refusal.code in UNAUTHORIZED else 400)
        return Reply({"code": refusal.code, "msg": refusal.message}, status)

    def too_many(self, *, banned: bool) -> Answer:
        """Return 429, or 418."""
        body = '{"code":-1003,"msg":"Too much request weight used; current limit exceeded."}'
        return Answer(status=418 if banned else 429, body=body, headers={"Retry-After": "120" if banned else "10"})

    # Sockets.

    def socket_kind(self, path: str) -> str | None:
        """Return `user` for the websocket API, `market` for streams."""
        return "user" if path.startswith("/ws-api") else "market" if path.startswith(("/stream", "/ws")) else None

    def on_open(self, socket: Socket) -> None:
        """Nobody is greeted."""

    def on_text(self, socket: Socket, said: str) -> None:
        """Answer a subscription."""
        command = msgspec.json.decode(said, type=Command)
        if socket.kind == "user":
            self._user_command(socket, command)
        elif isinstance(command.params, list):
            socket.answer(_json({"result": None, "id": command.id}))
            change = socket.subscriptions.update
            (change if command.method == "SUBSCRIBE" else socket.subscriptions.difference_update)(command.params)
            self._push_prices(None)

    def _user_command(self, socket: Socket, command: Command) -> None:
        try:
            if command.method != "userDataStream.subscribe.signature" or not isinstance(command.params, dict):
                raise Refusal(-1000, f"Unknown method {command.method}.")  # noqa: TRY301 - answered as any other
            params = {name: str(value) for name, value in command.params.items()}
            payload = urlencode(sorted((name, value) for name, value in params.items() if name != "signature"))
            self._check(params.get("apiKey", ""), payload, params, self.account.now())
        except Refusal as refusal:
            error = {"code": refusal.code, "msg": refusal.message}
            socket.answer(_json({"id": command.id, "status": 400, "error": error, "rateLimits": []}))
            return
        socket.notes["user"] = "0"
        socket.answer(_json({"id": command.id, "status": 200, "result": {"subscriptionId": 0}, "rateLimits": []}))

    def on_event(self, event: Event) -> None:
        """Publish what changed."""
        now = self.account.now()
        match event:
            case OrderEvent(order=order, trade=trade):
                self._tell("executionReport", report(order, trade, now))
            case AccountEvent(currencies=currencies):
                wallet = self.account.wallet
                rows = [{"a": name, "f": text(wallet[name]), "l": "0"} for name in currencies]
                self._tell("outboundAccountPosition", {"e": "outboundAccountPosition", "E": now, "u": now, "B": rows})
            case PriceEvent(market=market):
                self._push_prices(market)

    def on_second(self) -> None:
        """Push prices."""
        self._push_prices(None)

    def _tell(self, name: str, event: dict[str, object]) -> None:
        self.publish("user", name, _json({"subscriptionId": 0, "event": event}), lambda socket: "user" in socket.notes)

    def _push_prices(self, only: str | None) -> None:
        for market in self.account.markets.values():
            stream = f"{market.id.lower()}@ticker"
            if only in (None, market.id):
                message = _json({"stream": stream, "data": streamed_ticker(self.account, market)})
                self.publish("market", "24hrTicker", message, _hears(stream))


def _hears(stream: str) -> Callable[[Socket], bool]:
    return lambda socket: stream in socket.subscriptions


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
