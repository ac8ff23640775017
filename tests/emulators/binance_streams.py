"""Websockets of the Binance USD-M emulator: market streams and the user data stream.

Urls: `/ws`, `/stream` and their forms below `/public`, `/market`, `/private`; streams are named in the path, in
`?streams=`, or by SUBSCRIBE; the listen key stands in the path or in `?listenKey=`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import msgspec

from tests.emulators.account_records import (
    AccountEvent,
    Event,
    OrderEvent,
    PriceEvent,
    SettingEvent,
)
from tests.emulators.binance_market_data import MarketPages
from tests.emulators.binance_market_events import market_events
from tests.emulators.binance_markets import POSITION_SIDE, text
from tests.emulators.binance_order_rows import streamed
from tests.emulators.binance_settings import SettingPages
from tests.emulators.server import Exchange
from tests.emulators.server_streams import Socket

PATH = re.compile(r"^(?:/(?:public|market|private))?/(?P<form>ws|stream)(?:/(?P<rest>.*))?$")
LISTEN_KEY = re.compile(r"^[0-9a-f]{64}$")
REASONS = {"order": "ORDER", "liquidation": "ORDER", "adl": "ORDER", "funding": "FUNDING_FEE", "deposit": "DEPOSIT"}


class Command(msgspec.Struct):
    """What a client asks over a market socket."""

    method: str
    id: int | str | None = None
    params: list[str] = []


class Streams:
    """The sockets of one emulator."""

    def __init__(self, exchange: Exchange, settings: SettingPages, market_pages: MarketPages) -> None:
        self.dead_key: Literal["close", "silent"] = "close"
        """What happens to a client that connects with a listen key that is not valid."""
        self._exchange = exchange
        self._account = exchange.account
        self._settings = settings
        self._market_pages = market_pages

    def kind(self, path: str) -> str | None:
        """Return `user` or `market`, None for a path that is no stream."""
        match = PATH.match(path)
        if match is None:
            return None
        return "user" if path.startswith("/private/") or LISTEN_KEY.match(match["rest"] or "") else "market"

    def opened(self, socket: Socket) -> None:
        """Take down what the url asks for."""
        match = PATH.match(socket.path)
        rest = (match["rest"] if match else None) or ""
        socket.notes["form"] = match["form"] if match else "ws"
        if socket.kind == "user":
            socket.notes["listenKey"] = socket.params.get("listenKey") or rest
            if socket.notes["listenKey"] != self._settings.listen_key and self.dead_key == "close":
                socket.cut()
            return
        named = [name for name in (*rest.split("/"), *socket.params.get("streams", "").split("/")) if "@" in name]
        self._subscribe(socket, named)

    def heard(self, socket: Socket, message: str) -> None:
        """Answer SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS."""
        try:
            command = msgspec.json.decode(message, type=Command)
        except (msgspec.DecodeError, msgspec.ValidationError):
            socket.answer(_json({"error": {"code": 3, "msg": "Invalid JSON: expected value"}}))
            return
        result = sorted(socket.subscriptions) if command.method == "LIST_SUBSCRIPTIONS" else None
        socket.answer(_json({"result": result, "id": command.id}))
        if command.method == "SUBSCRIBE":
            self._subscribe(socket, command.params)
        elif command.method == "UNSUBSCRIBE":
            socket.subscriptions.difference_update(command.params)

    def _subscribe(self, socket: Socket, names: list[str]) -> None:
        socket.subscriptions.update(names)
        for name in names:
            self._push(name, only=socket)

    # Market streams.

    def changed(self, market: str | None = None) -> None:
        """Push all streams that somebody hears, of one market or of all."""
        for each in self._account.markets if market is None else (market,):
            self._market_pages.update_book(each)
        wanted = {name for socket in self._exchange.sockets for name in socket.subscriptions}
        for name in sorted(wanted):
            if market is None or name.startswith(("!", market.lower() + "@")):
                self._push(name)

    def _push(self, name: str, only: Socket | None = None) -> None:
        events = market_events(name, self._account, self._market_pages)
        if not events:
            return
        kind = str(events[0]["e"])
        data: object = events if name.startswith("!") and name != "!bookTicker" else events[0]
        if only is not None:
            body = {"stream": name, "data": data} if only.notes["form"] == "stream" else data
            only.send(kind, _json(body))
            return
        for form, body in (("ws", data), ("stream", {"stream": name, "data": data})):
            self._exchange.publish("market", kind, _json(body), _hears(name, form))

    # The user data stream.

    def happened(self, event: Event) -> None:
        """Publish what an event of the account means on the streams."""
        match event:
            case PriceEvent(market=market):
                self.changed(market)
            case OrderEvent(order=order, trade=trade):
                self.tell("ORDER_TRADE_UPDATE", {"T": order.updated, "o": streamed(order, trade)})
            case AccountEvent():
                self.tell("ACCOUNT_UPDATE", {"T": self._account.now(), "a": self._account_update(event)})
            case SettingEvent(setting="leverage", market=market):
                change = {"s": market, "l": self._account.leverage(market)}
                self.tell("ACCOUNT_CONFIG_UPDATE", {"T": self._account.now(), "ac": change})
            case _:
                pass  # the venue says nothing about a new position mode, margin mode or filter

    def tell(self, name: str, fields: dict[str, object], listen_key: str | None = None) -> None:
        """Send a user event to the holders of the valid listen key (or of the one given)."""
        key = listen_key or self._settings.listen_key
        event = _json({"e": name, "E": self._account.now(), **fields})
        self._exchange.publish("user", name, event, lambda socket: socket.notes.get("listenKey") == key)

    def _account_update(self, event: AccountEvent) -> dict[str, object]:
        wallet = self._account.wallet
        balances = [
            {"a": currency, "wb": text(wallet[currency]), "cw": text(wallet[currency]), "bc": "0"}
            for currency in event.currencies
        ]
        positions = [
            {
                "s": row.market,
                "pa": text(row.quantity),
                "ep": text(row.entry),
                "bep": text(row.entry),
                "cr": text(row.realized),
                "up": text(self._account.unrealized(row)),
                "mt": self._account.margin_modes.get(row.market, "cross"),
                "iw": "0",
                "ps": POSITION_SIDE[row.leg],
                "ma": self._account.markets[row.market].settle,
            }
            for row in event.positions
        ]
        return {"m": REASONS.get(event.reason, "ADJUSTMENT"), "B": balances, "P": positions}


def _hears(name: str, form: str) -> Callable[[Socket], bool]:
    """Return whether a socket has subscribed to a stream and takes it in this form."""
    return lambda socket: name in socket.subscriptions and socket.notes["form"] == form


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
