"""OKX's sockets: login, subscriptions, orders over the private socket, and who is pushed what."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from tests.emulators.account import Account
from tests.emulators.account_records import AccountEvent, Event, OrderEvent, PriceEvent, SettingEvent
from tests.emulators.faults import BusinessError, Hang, Request
from tests.emulators.okx_channels import Arg, Channels, Push
from tests.emulators.okx_errors import INJECTED, TEXTS
from tests.emulators.okx_requests import as_text, trading_body
from tests.emulators.okx_rows import Row
from tests.emulators.okx_signing import login_error
from tests.emulators.server_streams import Socket

if TYPE_CHECKING:
    from tests.emulators.okx import OkxSwap

REGULAR = 5
"""Seconds between two regular pushes of `positions` and `account`."""
QUIET = 30
"""Seconds without a word in either direction after which a socket is closed."""
OPERATIONS = {
    "order": "place",
    "batch-orders": "place",
    "cancel-order": "cancel",
    "batch-cancel-orders": "cancel",
}
"""Orders over the socket, and the kind under which the faults know them."""


class Streams:
    """What the sockets say. Every method runs under the account's lock."""

    def __init__(self, exchange: OkxSwap, account: Account) -> None:
        self._exchange = exchange
        self._account = account
        self._channels = Channels(account, exchange.codes)
        self._seconds = 0
        self._heard: dict[Socket, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # What a client says.

    def on_text(self, socket: Socket, text: str) -> None:
        """Answer a client."""
        self._heard[socket] = time.monotonic()
        if text == "ping":
            socket.answer("pong")
            return
        try:
            message = msgspec.json.decode(text, type=dict[str, object])
            args = msgspec.convert(message.get("args", []), list[dict[str, object]])
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._error(socket, "60012", f"Illegal request: {text}")
            return
        operation = str(message.get("op"))
        if operation == "login":
            self._login(socket, args[0] if args else {})
        elif operation in ("subscribe", "unsubscribe"):
            for arg in args:
                self._subscription(socket, operation, arg)
        elif operation in OPERATIONS:
            self._order(socket, operation, str(message.get("id", "")), args)
        else:
            self._error(socket, "60012", f"Illegal request: {text}")

    def _login(self, socket: Socket, row: Mapping[str, object]) -> None:
        if socket.kind == "public":
            self._error(socket, "60008", "Login is not supported for public channels")
            return
        error = login_error(self._exchange.keys, row, self._exchange.clock())
        if self._exchange.revoked:
            error = ("60032", "API key doesn't exist.")
        if error is not None:
            self._error(socket, *error)
            return
        socket.notes["login"] = str(row["apiKey"])
        self._answer(socket, {"event": "login", "code": "0", "msg": ""})

    def _subscription(self, socket: Socket, operation: str, arg: Mapping[str, object]) -> None:
        wanted = Arg.parse(arg)
        if not self._channels.known(socket.kind, wanted):
            text = f"Wrong URL or {wanted.describe()} doesn't exist. Please use the correct URL, channel and parameters"
            self._error(socket, "60018", f"{text} referring to API document.")
            return
        if socket.kind == "private" and "login" not in socket.notes:
            self._error(socket, "60011", "Please log in")
            return
        self._answer(socket, {"event": operation, "arg": arg})
        if operation == "unsubscribe":
            socket.subscriptions.discard(wanted.key)
            return
        socket.subscriptions.add(wanted.key)
        if socket.kind == "private":
            using = sum(wanted.key in other.subscriptions for other in self._exchange.sockets)
            event = {"event": "channel-conn-count", "channel": wanted.channel, "connCount": str(using)}
            self._answer(socket, event)
        for push in self._channels.greeting(wanted):
            socket.send(wanted.channel, push.text(wanted))

    def _order(self, socket: Socket, operation: str, message_id: str, args: list[dict[str, object]]) -> None:
        if "login" not in socket.notes or socket.kind != "private":
            self._error(socket, "60011", "Please log in")
            return
        rows = [self._named(as_text(row)) for row in args]
        request = Request(
            kind=OPERATIONS[operation], method="WS", path=operation, params=rows[0] if rows else {}, query="",
            body=msgspec.json.encode(args).decode(), headers={}, at=time.monotonic(),
        )  # fmt: skip
        self._exchange.requests.append(request)
        request.actions = self._exchange.faults.strike(request)
        wire = next((each for each in request.actions if isinstance(each, BusinessError | Hang)), None)
        done: list[Row] = []
        if wire is None or wire.processed:
            trading = self._exchange.trading
            done = [trading.place(row, request) if request.kind == "place" else trading.cancel(row) for row in rows]
        if isinstance(wire, BusinessError):
            code = str(wire.code)
            text = TEXTS[code][1] if wire.message == INJECTED and code in TEXTS else wire.message
            failed = {"code": code, "data": [], "msg": text}
            self._answer(socket, {"id": message_id, "op": operation, **failed})
        elif wire is None:
            body = trading_body(done, self._account.now()) | {"msg": ""}
            self._answer(socket, {"id": message_id, "op": operation, **body})

    def _named(self, row: dict[str, str]) -> dict[str, str]:
        """Return an order's fields with the instrument's name in place of its number."""
        codes = {str(self._exchange.codes(market)): market for market in self._account.markets}
        return {"instId": codes.get(row.get("instIdCode", ""), ""), **row}

    def _answer(self, socket: Socket, message: Mapping[str, object]) -> None:
        text = dict(message) if "op" in message else {**message, "connId": f"{id(socket) & 0xFFFFFFFF:08x}"}
        socket.answer(msgspec.json.encode(text).decode())

    def _error(self, socket: Socket, code: str, text: str) -> None:
        self._answer(socket, {"event": "error", "msg": text, "code": code})

    # What happens.

    def on_event(self, event: Event) -> None:
        """Push a change."""
        channels = self._channels
        match event:
            case OrderEvent():
                self._push("private", lambda: channels.order(event))
            case AccountEvent():
                self._push("private", lambda: channels.account_changed(event))
            case PriceEvent(market=market):
                self._push("public", lambda: channels.price(market))
                self._push("business", lambda: channels.candles(market))
            case SettingEvent(setting="market", market=market):
                self._push("public", lambda: channels.instrument(market))
            case SettingEvent(setting="leverage", market=market):
                held = tuple(position for position in self._account.positions if position.market == market)
                self._push("private", lambda: channels.account_changed(AccountEvent("set_leverage", held, ())))

    def on_second(self) -> None:
        """Push what comes regularly, and close sockets on which nobody speaks."""
        self._seconds += 1
        for market in self._account.markets:
            self._push("public", functools.partial(self._channels.price, market, regular=True))
            self._push("business", functools.partial(self._channels.candles, market))
        if not self._seconds % REGULAR:
            self._push("private", self._channels.regular)
        self._close_quiet()

    def _push(self, kind: str, pushes: Callable[[], list[Push]]) -> None:
        """Send pushes to the subscriptions that they concern; each is told its own arguments."""
        keys = {key for socket in self._exchange.sockets if socket.kind == kind for key in socket.subscriptions}
        if not keys:
            return
        made = pushes()
        for arg in map(Arg.from_key, sorted(keys)):
            for push in made:
                if push.concerns(arg):
                    self._exchange.publish(kind, arg.channel, push.text(arg), _subscribed(arg.key, self._heard))

    def _close_quiet(self) -> None:
        now = time.monotonic()
        self._heard = {socket: self._heard.get(socket, now) for socket in self._exchange.sockets}
        for socket, heard in self._heard.items():
            if now - heard > QUIET and not socket.silent:
                self._heard[socket] = now
                task = asyncio.get_running_loop().create_task(socket.close(4004))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


def _subscribed(key: str, heard: dict[Socket, float]) -> Callable[[Socket], bool]:
    """Return what tells whether a socket has a subscription, and notes that it was spoken to."""

    def wanted(socket: Socket) -> bool:
        if key not in socket.subscriptions:
            return False
        heard[socket] = time.monotonic()
        return True

    return wanted
