"""Bybit's contracts (v5, unified account) on loopback, for the unmodified ccxt class `bybit`.

    with BybitLinear() as bybit:
        client = ccxt.pro.bybit(bybit.options() | bybit.credentials)

Orders are acknowledged without their state, and several kinds of refusal share the code 10001. The names of stream
messages are Bybit's topics: order, execution, position, wallet, tickers.BTCUSDT…
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import ClassVar

import msgspec

from tests.emulators.account import Account
from tests.emulators.account_records import Event, Market
from tests.emulators.bybit_rest import Rest
from tests.emulators.bybit_streams import PATHS, Streams
from tests.emulators.bybit_trading import Trading, stamped
from tests.emulators.faults import Answer, Request
from tests.emulators.server import Exchange, Refusal, Reply, Route
from tests.emulators.server_streams import Socket
from tests.harness.canaries import CANARIES

WALLET = {"USDT": Decimal(100_000), "USDC": Decimal(10_000), "BTC": Decimal(2)}
PRICES = {"BTC": Decimal(50_000), "ETH": Decimal(2_500), "SOL": Decimal(150), "DOGE": Decimal("0.2")}


def _market(name: str, base: str, step: str, tick: str, *, maximum: str, settle: str = "USDT") -> Market:
    return Market(
        id=name, base=base, quote="USD" if settle == base else settle, settle=settle, step=Decimal(step),
        tick=Decimal(tick), minimum=Decimal(step), maximum=Decimal(maximum), inverse=settle == base, max_leverage=100,
        min_notional=Decimal(0) if settle == base else Decimal(5),
    )  # fmt: skip


MARKETS = (
    _market("BTCUSDT", "BTC", "0.001", "0.1", maximum="119"),
    _market("ETHUSDT", "ETH", "0.01", "0.01", maximum="724"),
    _market("SOLUSDT", "SOL", "0.1", "0.01", maximum="8000"),
    _market("DOGEUSDT", "DOGE", "1", "0.00001", maximum="2800000"),
    _market("BTCPERP", "BTC", "0.001", "0.1", maximum="50", settle="USDC"),
    _market("BTCUSD", "BTC", "1", "0.1", maximum="200000", settle="BTC"),
)


class BybitLinear(Exchange):
    """A unified account, one-way unless `hedged`."""

    name: ClassVar[str] = "bybit"

    def __init__(self, *, hedged: bool = False, wallet: Mapping[str, Decimal] = WALLET, port: int = 0) -> None:
        account = Account(
            MARKETS, {market.id: PRICES[market.base] for market in MARKETS}, wallet, taker=Decimal("0.00055")
        )
        account.hedged = hedged
        self.read_only = False
        """Whether the key may not trade."""
        self.revoked = False
        self.permissions: dict[str, list[str]] = {"ContractTrade": ["Order", "Position"], "Spot": [], "Wallet": []}
        self.trading = Trading(self, account)
        self._rest, self._streams = Rest(self, account), Streams(self, account)
        super().__init__(account, port=port)

    def options(self) -> dict[str, object]:
        """Return the ccxt options that point the client `bybit` here."""
        public = {kind: f"{self.ws_url}/v5/public/{kind}" for kind in ("linear", "inverse")}
        private = {"contract": f"{self.ws_url}/v5/private", "trade": f"{self.ws_url}/v5/trade"}
        api = {"public": self.url, "private": self.url, "ws": {"public": public, "private": private}}
        return {"urls": {"api": api}, "options": {"fetchMarkets": {"types": ["linear", "inverse"]}}}

    @property
    def credentials(self) -> dict[str, str]:
        """The only key that it knows."""
        return {"apiKey": CANARIES["bybit key"], "secret": CANARIES["bybit secret"]}

    # What the server asks.

    def routes(self) -> Iterable[Route]:
        """Return every REST endpoint; answers carry the time at which they are made."""
        for route in (*self._rest.routes(), *self.trading.routes()):
            handler = route.handler
            yield msgspec.structs.replace(
                route, handler=lambda request, handler=handler: stamped(handler(request), self.account.now())
            )

    def authenticate(self, request: Request) -> None:
        """Check key, time and signature, then the key's permissions."""
        key, sign, stamp, window = (
            request.headers.get(f"x-bapi-{name}", "") for name in ("api-key", "sign", "timestamp", "recv-window")
        )
        if key != self.credentials["apiKey"] or self.revoked:
            raise Refusal(10003, "API key is invalid.")
        arrived = self.account.now() - int((time.monotonic() - request.at) * 1000)
        sent, allowed = int(stamp or 0), int(window or 5000)
        if not arrived - allowed <= sent < arrived + 1000:
            text = f"invalid request, please check your server timestamp or recv_window param. req_timestamp[{sent}]"
            raise Refusal(10002, f"{text},server_timestamp[{arrived}],recv_window[{allowed}]")
        payload = f"{stamp}{key}{window}{request.body if request.method == 'POST' else request.query}"
        right = hmac.new(self.credentials["secret"].encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(sign, right):
            raise Refusal(10004, "error sign! please check your signature generation algorithm.")
        if request.method == "POST" and self.read_only:
            raise Refusal(10005, "Permission denied, please check your API key permissions.")

    def refuse(self, refusal: Refusal) -> Reply:
        """Return an error; business errors come with HTTP 200."""
        status = refusal.status or (401 if refusal.code in {10003, 10004} else 200)
        body = {"retCode": refusal.code, "retMsg": refusal.message, "result": {}, "retExtInfo": {}}
        return Reply(body | {"time": self.account.now()}, status)

    def too_many(self, *, banned: bool) -> Answer:
        """Return the refusal of a key that asks too often, or of an address."""
        if banned:
            return Answer(status=403, body="access too frequent")
        return Answer(body='{"retCode":10006,"retMsg":"Too many visits!","result":{},"retExtInfo":{}}')

    def socket_kind(self, path: str) -> str | None:
        """Return private, linear or inverse."""
        return PATHS.get(path)

    def on_open(self, socket: Socket) -> None:
        """Bybit says nothing to a client that connects."""

    def on_text(self, socket: Socket, text: str) -> None:
        """Handle a ping, a login or a subscription."""
        self._streams.on_text(socket, text)

    def on_event(self, event: Event) -> None:
        """Push what changed."""
        self._streams.on_event(event)

    def on_second(self) -> None:
        """Push prices."""
        self._streams.on_second()
