"""Bybit's sockets: login and the account's topics on the private one, tickers and books on the public ones."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from tests.emulators.account import Account
from tests.emulators.account_records import AccountEvent, Event, OrderEvent, PriceEvent
from tests.emulators.bybit_rows import (
    Row,
    category,
    execution_row,
    order_row,
    position_row,
    text,
    ticker_row,
    wallet_row,
)
from tests.emulators.server_streams import Socket

if TYPE_CHECKING:
    from tests.emulators.bybit import BybitLinear

TOPICS = {"order", "execution", "position", "wallet"}
PATHS = {"/v5/private": "private", "/v5/public/linear": "linear", "/v5/public/inverse": "inverse"}


class Streams:
    """What the sockets say. Every method runs under the account's lock."""

    def __init__(self, exchange: BybitLinear, account: Account) -> None:
        self._exchange = exchange
        self._account = account

    # What a client says.

    def on_text(self, socket: Socket, said: str) -> None:
        """Answer a client."""
        try:
            message = msgspec.json.decode(said, type=dict[str, object])
        except msgspec.DecodeError:
            self._answer(socket, success=False, ret_msg=f"error:Request not authorized,{said}", op="")
            return
        operation, req_id = str(message.get("op")), str(message.get("req_id", ""))
        args = message.get("args")
        args = args if isinstance(args, list) else []
        if operation == "ping":
            self._pong(socket, req_id)
        elif operation == "auth":
            self._login(socket, args)
        elif operation == "subscribe":
            self._subscribe(socket, req_id, [str(topic) for topic in args])
        elif operation == "unsubscribe":
            socket.subscriptions.difference_update(str(topic) for topic in args)
            self._answer(socket, success=True, ret_msg="", op=operation, req_id=req_id)

    def _pong(self, socket: Socket, req_id: str) -> None:
        if socket.kind == "private":
            self._answer(socket, req_id=req_id, op="pong", args=[str(self._account.now())])
        else:
            self._answer(socket, success=True, ret_msg="pong", req_id=req_id, op="ping")

    def _login(self, socket: Socket, args: list[object]) -> None:
        key, expires, sign = (*map(str, args), "", "", "")[:3]
        keys = self._exchange.credentials
        right = hmac.new(keys["secret"].encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        good = key == keys["apiKey"] and hmac.compare_digest(sign, right) and not self._exchange.revoked
        if good and expires.isdigit() and int(expires) > self._account.now():
            socket.notes["login"] = key
            self._answer(socket, success=True, ret_msg="", op="auth")
        else:
            self._answer(socket, success=False, ret_msg="Params Error", op="auth")

    def _subscribe(self, socket: Socket, req_id: str, topics: list[str]) -> None:
        known = [topic for topic in topics if self._known(socket, topic)]
        if len(known) < len(topics) or (socket.kind == "private" and "login" not in socket.notes):
            self._answer(socket, success=False, ret_msg="error:handler not found", op="subscribe", req_id=req_id)
            return
        self._answer(socket, success=True, ret_msg="", op="subscribe", req_id=req_id)
        socket.subscriptions.update(topics)
        for topic in topics:
            for market in self._account.markets.values():
                if topic.endswith(f".{market.id}") and category(market) == socket.kind:
                    socket.send(topic, self._public(topic, market.id, "snapshot"))

    def _known(self, socket: Socket, topic: str) -> bool:
        if socket.kind == "private":
            return topic in TOPICS
        market = self._account.markets.get(topic.rpartition(".")[2])
        return market is not None and category(market) == socket.kind and topic.startswith(("tickers.", "orderbook.1."))

    def _answer(self, socket: Socket, **fields: object) -> None:
        body = {**fields, "conn_id": f"{id(socket):x}"}
        socket.answer(msgspec.json.encode(body).decode())

    # What happens.

    def on_event(self, event: Event) -> None:
        """Push a change."""
        match event:
            case OrderEvent(order=order, trade=trade):
                market = self._account.markets[order.market]
                if trade is not None:
                    self._push("execution", [execution_row(market, order, trade) | {"category": category(market)}])
                row = order_row(market, order, self._exchange.trading.fees(order)) | {"category": category(market)}
                self._push("order", [row])
            case AccountEvent(positions=positions):
                rows = [position_row(self._account, position) for position in positions]
                listed = [
                    {
                        **row,
                        "category": category(self._account.markets[str(row["symbol"])]),
                        "entryPrice": row["avgPrice"],
                    }
                    for row in rows
                ]
                if listed:
                    self._push("position", listed)
                self._push("wallet", [wallet_row(self._account, self._account.wallet, self._account.positions)])
            case PriceEvent(market=market_id):
                self._price(market_id, "delta")

    def on_second(self) -> None:
        """Push prices again."""
        for market in self._account.markets:
            self._price(market, "delta")

    def _price(self, market: str, kind: str) -> None:
        topics = {f"tickers.{market}", f"orderbook.1.{market}"}
        where = category(self._account.markets[market])
        for topic in topics:
            self._exchange.publish(where, topic, self._public(topic, market, kind), _hears(topic))

    def _public(self, topic: str, market: str, kind: str) -> str:
        listed, price = self._account.markets[market], self._account.prices[market]
        data: Row = ticker_row(self._account, listed)
        if topic.startswith("orderbook"):
            ask = [text(price + listed.tick), "1000"]
            data, kind = {"s": market, "b": [[text(price), "1000"]], "a": [ask], "u": 1, "seq": 1}, "snapshot"
        now = self._account.now()
        return msgspec.json.encode({"topic": topic, "type": kind, "data": data, "cs": now, "ts": now}).decode()

    def _push(self, topic: str, data: list[Row]) -> None:
        body = {"id": uuid.uuid4().hex, "topic": topic, "creationTime": self._account.now(), "data": data}
        message = msgspec.json.encode(body).decode()
        self._exchange.publish("private", topic, message, _hears(topic))


def _hears(topic: str) -> Callable[[Socket], bool]:
    return lambda socket: topic in socket.subscriptions
