"""Binance USD-M futures on loopback, for the unmodified ccxt class `binanceusdm`.

with BinanceFutures() as exchange:
    client = ccxt.pro.binanceusdm({**exchange.options(), **exchange.credentials})
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

from tests.emulators.account import Account
from tests.emulators.account_records import Event
from tests.emulators.binance_account import AccountPages
from tests.emulators.binance_market_data import MarketPages
from tests.emulators.binance_markets import integer, new_account, required
from tests.emulators.binance_orders import Orders
from tests.emulators.binance_settings import SettingPages
from tests.emulators.binance_streams import Streams
from tests.emulators.faults import Answer, Request
from tests.emulators.server import Exchange, Refusal, Reply, Route
from tests.emulators.server_streams import Socket
from tests.harness.canaries import CANARIES

API_KEY = CANARIES["binance key"]
SECRET = CANARIES["binance secret"]
UNAUTHORIZED = {-2014, -2015}
PERMISSIONS = "Invalid API-key, IP, or permissions for action."


def status_unknown(*, processed: bool) -> Answer:
    """Return the 503 after which nobody knows whether the order was executed."""
    message = "Unknown error, please check your request status."
    return Answer(status=503, body=f'{{"code":-1000,"msg":"{message}"}}', processed=processed)


class Client(Protocol):
    """What is needed of the ccxt class."""

    def describe(self) -> Any:
        """Return ccxt's description of the exchange."""


class BinanceFutures(Exchange):
    """The emulator. One-way mode and a flat account with 100,000 USDT, unless the account given says otherwise."""

    name: ClassVar[str] = "binance"

    def __init__(self, account: Account | None = None, *, port: int = 0) -> None:
        self._streams: Streams | None = None
        super().__init__(account or new_account(), port=port)
        self.pages = AccountPages(self)
        self.settings = SettingPages(self, self.pages)
        self.market_pages = MarketPages(self)
        self.orders = Orders(self)
        self.streams = self._streams = Streams(self, self.settings, self.market_pages)
        self.keys_revoked = False

    # How a client is pointed here.

    @property
    def credentials(self) -> dict[str, str]:
        """The only key that it knows."""
        return {"apiKey": API_KEY, "secret": SECRET}

    def options(self) -> dict[str, object]:
        """Return what a TOML file can hold; the client's error table it cannot (see `error_table`)."""
        rest = {
            f"fapi{access}{version}": f"{self.url}/fapi/{version.lower() or 'v1'}"
            for access in ("Public", "Private")
            for version in ("", "V2", "V3")
        }
        sockets = {"linear": f"{self.ws_url}/ws", "ws-api": {"linear": f"{self.ws_url}/ws-fapi/v1"}}
        return {
            "urls": {"api": {**rest, "sapi": f"{self.url}/sapi/v1", "ws": sockets}},
            "options": {"fetchCurrencies": False},
        }

    def error_table(self, client: type[Client]) -> dict[str, object]:
        """Return constructor options that give a client the error table it uses in production.

        ccxt picks the table by the production url's prefix; elsewhere -2019 and its like raise a plain ExchangeError.
        """
        return {"exceptions": {"exact": client().describe()["exceptions"]["linear"]["exact"]}}

    # Control.

    def expire_listen_key(self) -> None:
        """Let the listen key die as after 60 minutes: the client is told, then it hears nothing more."""
        with self.account.changed:
            key = self.settings.listen_key
            if key is not None:
                self.streams.tell("listenKeyExpired", {"listenKey": key})
                self.settings.listen_key = None

    # What the server asks.

    def routes(self) -> Iterable[Route]:
        """Return every endpoint."""
        return [*self.market_pages.routes(), *self.orders.routes(), *self.pages.routes(), *self.settings.routes()]

    def authenticate(self, request: Request) -> None:
        """Check key, signature, timestamp and permission; the listen key asks for the key alone."""
        self._check_key(request)
        if request.kind == "listen_key":
            return
        signature = required(request.params, "signature")
        payload = re.sub(r"&?signature=[^&]*", "", request.query + request.body)
        right = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature, right):
            raise Refusal(-1022, "Signature for this request is not valid.")
        self._check_time(request)
        places = request.method != "GET" and request.kind in ("place", "cancel", "cancel_all")
        if places and not self.settings.permissions["enableFutures"]:
            raise Refusal(-2015, PERMISSIONS)

    def _check_key(self, request: Request) -> None:
        key = request.headers.get("x-mbx-apikey")
        if not key:
            raise Refusal(-2014, "API-key format invalid.")
        if key != API_KEY or self.keys_revoked:
            raise Refusal(-2015, PERMISSIONS)

    def _check_time(self, request: Request) -> None:
        sent = integer(request.params, "timestamp", 0)
        window = integer(request.params, "recvWindow", 5000)
        if not sent:
            required(request.params, "timestamp")
        if window > 60_000:
            raise Refusal(-1131, "recvWindow must be less than 60000")
        arrived = self.account.now() - int((time.monotonic() - request.at) * 1000)
        if sent > arrived + 1000:
            raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if sent < arrived - window:
            raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")

    def refuse(self, refusal: Refusal) -> Reply:
        """Return an error body."""
        status = refusal.status or (401 if refusal.code in UNAUTHORIZED else 400)
        return Reply({"code": refusal.code, "msg": refusal.message}, status)

    def too_many(self, *, banned: bool) -> Answer:
        """Return 429, or 418 with the end of the ban."""
        until = f" until {self.account.now() + 120_000}" if banned else ""
        message = (
            f"Way too many requests; IP banned{until}." if banned else "Too many requests; current limit exceeded."
        )
        body = f'{{"code":-1003,"msg":"{message}"}}'
        return Answer(status=418 if banned else 429, body=body, headers={"Retry-After": "120" if banned else "10"})

    def socket_kind(self, path: str) -> str | None:
        """Return `user` or `market`."""
        return self.streams.kind(path)

    def on_open(self, socket: Socket) -> None:
        """Greet a socket."""
        self.streams.opened(socket)

    def on_text(self, socket: Socket, text: str) -> None:
        """Hear a socket."""
        self.streams.heard(socket, text)

    def on_event(self, event: Event) -> None:
        """Publish an event."""
        if self._streams is not None:
            self._streams.happened(event)

    def on_second(self) -> None:
        """Push prices."""
        self.streams.changed()
