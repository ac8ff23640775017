"""OKX, perpetual swaps: REST v5 and its sockets, for the unmodified ccxt.pro client `okx`.

    with OkxSwap() as okx:
        client = ccxt.pro.okx(okx.options() | okx.credentials)

Sizes are in contracts. Orders are answered without their state; business errors come with HTTP 200 in `data[].sCode`.
The names of stream messages are OKX's channels: orders, positions, account, tickers, mark-price, bbo-tbt, books…
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import ClassVar, Self

from tests.emulators.account import Account
from tests.emulators.account_records import Event
from tests.emulators.faults import Answer, Request
from tests.emulators.okx_errors import error_body, error_status, refused
from tests.emulators.okx_instruments import PRICES, markets
from tests.emulators.okx_rest import Rest
from tests.emulators.okx_rest_orders import RestOrders
from tests.emulators.okx_signing import Keys, check_request
from tests.emulators.okx_streams import Streams
from tests.emulators.okx_trading import Trading
from tests.emulators.server import Exchange, Refusal, Reply, Route
from tests.emulators.server_streams import Socket
from tests.harness.canaries import CANARIES

WALLET = {"USDT": Decimal(100_000), "USDC": Decimal(10_000), "BTC": Decimal(2)}
SOCKETS = ("public", "private", "business")
KEYS = Keys(*(CANARIES[f"okx {field}"] for field in ("key", "secret", "password")))


class OkxSwap(Exchange):
    """An account in futures mode, one-way unless `hedged`."""

    name: ClassVar[str] = "okx"

    def __init__(self, *, hedged: bool = False, wallet: Mapping[str, Decimal] = WALLET, port: int = 0) -> None:
        listed = markets()
        account = Account(listed, {market.id: PRICES[market.base] for market in listed}, wallet)
        account.hedged = hedged
        self.keys = KEYS
        self.permissions = "read_only,trade"
        """Of the key, as account/config says; `read_only` refuses orders."""
        self.trading = Trading(self, account)
        self._revoked = False
        self._codes: dict[str, int] = {}
        self._rest, self._rest_orders = Rest(self, account), RestOrders(self, account)
        self._streams = Streams(self, account)
        super().__init__(account, port=port)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def revoke_keys(self) -> None:
        """Delete the API key: every request is refused, and the private sockets are closed."""
        self._revoked = True
        self.close_sockets("private", code=4007)

    @property
    def revoked(self) -> bool:
        """Whether the API key was deleted."""
        return self._revoked

    def codes(self, market: str) -> int:
        """Return the number that stands for an instrument on the socket."""
        return self._codes.setdefault(market, 10_001 + len(self._codes))

    def clock(self) -> float:
        """Return the venue's time in seconds since 1970."""
        return self.account.now() / 1000

    # What the server asks.

    def routes(self) -> Iterable[Route]:
        """Return every REST endpoint."""
        return [*self._rest.routes(), *self._rest_orders.routes()]

    def authenticate(self, request: Request) -> None:
        """Check the signed headers against the time at which the request came in, then the key's permissions."""
        if self._revoked:
            raise refused("50111")
        target = request.path + (f"?{request.query}" if request.query else "")
        arrived = self.clock() - (time.monotonic() - request.at)
        check_request(self.keys, request.headers, request.method + target + request.body, arrived)
        if request.method == "POST" and "trade" not in self.permissions.split(","):
            raise refused("50120")

    def refuse(self, refusal: Refusal) -> Reply:
        """Return an error as OKX says it."""
        if refusal.code < 0:
            return Reply({"code": "404", "data": {}, "msg": "API endpoint does not exist"}, 404)
        return Reply(error_body(refusal), error_status(refusal))

    def too_many(self, *, banned: bool) -> Answer:
        """Return the answer to a client that exceeds the rate limit; OKX has no worse one."""
        del banned
        return Answer(status=429, body='{"code":"50011","data":[],"msg":"Too Many Requests"}')

    def socket_kind(self, path: str) -> str | None:
        """Return public, private or business."""
        kind = path.removeprefix("/ws/v5/")
        return kind if kind in SOCKETS and path != kind else None

    def on_open(self, socket: Socket) -> None:
        """OKX says nothing to a client that connects."""

    def on_text(self, socket: Socket, text: str) -> None:
        """Handle a ping, a login, a subscription or an order."""
        self._streams.on_text(socket, text)

    def on_event(self, event: Event) -> None:
        """Push what changed to the channels that show it."""
        self._streams.on_event(event)

    def on_second(self) -> None:
        """Push prices, and what the private channels repeat."""
        self._streams.on_second()

    def options(self) -> dict[str, object]:
        """Return the ccxt options that point the client `okx` here."""
        return {
            "urls": {"api": {"rest": self.url, "ws": f"{self.ws_url}/ws/v5"}},
            "options": {"defaultType": "swap", "fetchMarkets": {"types": ["swap"]}},
        }

    @property
    def credentials(self) -> dict[str, str]:
        """The ccxt options that sign requests."""
        return {"apiKey": self.keys.api_key, "secret": self.keys.secret, "password": self.keys.passphrase}
