"""What OKX does with an order request: its checks, in its order, and the rows of its answers."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from tests.emulators.account import Account
from tests.emulators.account_records import ZERO, Leg, Market, Order, OrderSide
from tests.emulators.faults import Request
from tests.emulators.okx_errors import refused
from tests.emulators.okx_instruments import plain
from tests.emulators.okx_requests import Fields
from tests.emulators.okx_rows import Row
from tests.emulators.server import Exchange, Refusal

CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")
TAG = re.compile(r"[A-Za-z0-9]{0,16}")
MARKET_TYPES = ("market", "optimal_limit_ioc")
LIMIT_TYPES = ("limit", "post_only", "fok", "ioc")
PRICE_BAND = Decimal("0.05")
"""By which share of the price a buy may be above it and a sell below it."""
MAX_LIMIT = Decimal(100_000_000)
"""The most contracts of one limit order."""


class Trading:
    """Places and cancels orders. Every method runs under the account's lock."""

    def __init__(self, exchange: Exchange, account: Account) -> None:
        self._exchange = exchange
        self._account = account

    def place(self, fields: Fields, request: Request) -> Row:
        """Return the row of one order; the order's fault decides how it fills."""
        answer: Row = {"clOrdId": fields.get("clOrdId", ""), "ordId": "", "tag": fields.get("tag", "")}
        answer["ts"] = str(self._account.now())
        try:
            order = self._checked(fields)
        except Refusal as refusal:
            return answer | {"sCode": str(refusal.code), "sMsg": refusal.message}
        answer["ordId"] = str(order.id)
        if order.tags["ordType"] == "post_only":
            if self._account.reaches(order):
                self._account.end(order.id, "expired")
        else:
            self._exchange.execute(order, request)
        if order.tags["ordType"] in ("ioc", "fok") and not self._account.reaches(order):
            self._account.end(order.id, "expired")
        return answer | {"sCode": "0", "sMsg": "Order placed"}

    def cancel(self, fields: Fields) -> Row:
        """Return the row of one cancellation."""
        answer: Row = {"clOrdId": fields.get("clOrdId", ""), "ordId": fields.get("ordId", "")}
        answer["ts"] = str(self._account.now())
        try:
            self._instrument(fields)
            order = self.find(fields, self._account.orders)
            if order is None or not order.is_open:
                raise refused("51400")
        except Refusal as refusal:
            return answer | {"sCode": str(refusal.code), "sMsg": refusal.message}
        self._account.end(order.id)
        return answer | {"clOrdId": order.client_id, "ordId": str(order.id), "sCode": "0", "sMsg": ""}

    def close(self, fields: Fields, request: Request) -> Row:
        """Close a position at the market and return the row of POST trade/close-position."""
        market = self._instrument(fields)
        leg = self._leg(fields)
        held = self._account.leg(market.id, leg).quantity
        if not held:
            raise refused("51023")
        order = self._account.accept(
            market.id, "sell" if held > 0 else "buy", abs(held), client_id=fields.get("clOrdId", ""), leg=leg,
            reduce_only=True, tags={"ordType": "market", "tdMode": fields.get("mgnMode", "cross")},
        )  # fmt: skip
        self._exchange.execute(order, request)
        return {"clOrdId": order.client_id, "instId": market.id, "posSide": leg, "tag": fields.get("tag", "")}

    def find(self, fields: Fields, orders: list[Order]) -> Order | None:
        """Return the order that `ordId` or else `clOrdId` names, of several the latest."""
        order_id, client_id = fields.get("ordId", ""), fields.get("clOrdId", "")
        if not order_id and not client_id:
            raise refused("51003")
        named = [order for order in orders if order.market == fields.get("instId")]
        if order_id:
            return next((order for order in named if str(order.id) == order_id), None)
        return next((order for order in reversed(named) if order.client_id == client_id), None)

    # The checks.

    def _checked(self, fields: Fields) -> Order:
        """Accept an order that passes every check, or raise Refusal."""
        market = self._instrument(fields)
        side, leg = self._side(fields), self._leg(fields)
        self._margin_mode(market, leg, fields)
        order_type = fields.get("ordType", "")
        if order_type not in MARKET_TYPES + LIMIT_TYPES:
            raise refused("51000", "ordType")
        client_id = fields.get("clOrdId", "")
        self._names(client_id, fields.get("tag", ""))
        size = self._size(market, order_type, fields)
        price = self._price(market, side, fields) if order_type in LIMIT_TYPES else None
        reduce_only = fields.get("reduceOnly") == "true" and leg == "net"
        if reduce_only:
            size = min(size, self._reducible(market, side))
        closing = leg != "net" and (leg == "long") is (side == "sell")
        if closing:
            self._closable(market, leg, side, size)
        if not reduce_only and not closing:
            self._afford(market, leg, side, size, price)
        return self._account.accept(
            market.id, side, size, client_id=client_id, leg=leg, kind="market" if price is None else "limit",
            price=price, reduce_only=reduce_only, time_in_force="GTC" if order_type == "limit" else order_type.upper(),
            tags={"ordType": order_type, "tdMode": fields["tdMode"], "tag": fields.get("tag", "")},
        )  # fmt: skip

    def _instrument(self, fields: Fields) -> Market:
        market = self._account.markets.get(fields.get("instId", ""))
        if market is None:
            raise refused("51001")
        if not market.active:
            raise refused("51022")
        if market.expiry is not None and market.expiry <= self._account.now():
            raise refused("51027")
        return market

    def _side(self, fields: Fields) -> OrderSide:
        match fields.get("side"):
            case "buy":
                return "buy"
            case "sell":
                return "sell"
        raise refused("51000", "side")

    def _leg(self, fields: Fields) -> Leg:
        """Return the leg that `posSide` names; the position mode says which names there are."""
        match fields.get("posSide", "") or "net", self._account.hedged:
            case "net", False:
                return "net"
            case "long", True:
                return "long"
            case "short", True:
                return "short"
        raise refused("51000", "posSide")

    def _margin_mode(self, market: Market, leg: Leg, fields: Fields) -> None:
        """Check `tdMode`. The true account holds one margin mode per instrument, that of its open position."""
        mode = fields.get("tdMode", "")
        if mode == "cash":
            raise refused("51010")
        if mode not in ("cross", "isolated"):
            raise refused("51000", "tdMode")
        if not self._account.leg(market.id, leg).quantity:
            self._account.margin_modes[market.id] = mode
        elif self._account.margin_modes.get(market.id, "cross") != mode:
            raise refused("51000", "tdMode")

    def _names(self, client_id: str, tag: str) -> None:
        if client_id and not CLIENT_ID.fullmatch(client_id):
            raise refused("51000", "clOrdId")
        if not TAG.fullmatch(tag):
            raise refused("51000", "tag")
        if client_id and any(order.client_id == client_id for order in self._account.open_orders()):
            raise refused("51016")

    def _size(self, market: Market, order_type: str, fields: Fields) -> Decimal:
        size = _number(fields, "sz")
        if size < market.minimum:
            raise refused("51020")
        if size % market.step:
            raise refused("51121")
        if order_type in MARKET_TYPES and size > market.maximum:
            raise refused("51202")
        if size > MAX_LIMIT:
            raise refused("51101", plain(MAX_LIMIT))
        return size

    def _price(self, market: Market, side: OrderSide, fields: Fields) -> Decimal:
        if not fields.get("px"):
            raise refused("51204")
        price, now = _number(fields, "px"), self._account.prices[market.id]
        if price % market.tick:
            raise refused("51000", "px")
        highest, lowest = now * (1 + PRICE_BAND), now * (1 - PRICE_BAND)
        if (side == "buy" and price > highest) or (side == "sell" and price < lowest):
            raise refused("51006", plain(highest), plain(lowest))
        return price

    def _reducible(self, market: Market, side: OrderSide) -> Decimal:
        """Return the largest order that only reduces the one-way position; OKX amends larger ones to it."""
        if not self._account.leg(market.id, "net").quantity:
            raise refused("51169")
        reducible = self._account.reducible(market.id, "net", side)
        if not reducible:
            raise refused("51170")
        return reducible

    def _closable(self, market: Market, leg: Leg, side: OrderSide, size: Decimal) -> None:
        held = self._account.reducible(market.id, leg, side)
        if not held:
            raise refused("51169")
        if size > held:
            raise refused("51112")

    def _afford(self, market: Market, leg: Leg, side: OrderSide, size: Decimal, price: Decimal | None) -> None:
        """Check the margin of what the order adds to the position, with its fee."""
        account, price = self._account, price or self._account.prices[market.id]
        added = max(size - 2 * account.reducible(market.id, leg, side), ZERO)
        needed = account.margin(market.id, added, price) + market.value(added, price) * account.taker
        free = account.available(market.settle)
        if added and not (free.is_finite() and needed <= free):
            raise refused("51008", market.settle)


def _number(fields: Fields, name: str) -> Decimal:
    try:
        number = Decimal(fields.get(name, ""))
    except InvalidOperation:
        raise refused("51000", name) from None
    if not number.is_finite() or number <= 0:
        raise refused("51000", name)
    return number
