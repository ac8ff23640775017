"""The requests that ccxt's classes make of our orders and look-ups: nothing is sent, everything is caught."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import unquote

import ccxt

from portfoliod.credentials import Credentials
from portfoliod.model import Intent, Key, Side
from portfoliod.venues.ccxtpro.account import Account
from portfoliod.venues.ccxtpro.client import make_client
from portfoliod.venues.ccxtpro.dialects import dialect_of
from portfoliod.venues.ccxtpro.exchange import Exchange
from portfoliod.venues.ccxtpro.lookup import LookUp
from portfoliod.venues.ccxtpro.markets import Markets
from portfoliod.venues.ccxtpro.orders import Orders
from portfoliod.venues.ccxtpro.preparation import Preparation
from portfoliod.venues.ccxtpro.prices import Prices
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.ccxtpro.trades import Trades
from portfoliod.venues.protocol import PositionMode, Price

Kind = Literal["swap", "spot"]
CLIENT_ID = "3f2a9c0d1e4b5a6978876543210f"
PRICE = Decimal(2000)
CREDENTIALS = Credentials(
    api_key="k" * 36,
    secret="A" * 43 + "=",
    password="password",
    uid="1",
    wallet_address="0x" + "ab" * 20,
    private_key="0x" + "11" * 32,
    source="test",
)
ANSWERS: dict[str, object] = {
    "query-api": {"retCode": 0, "result": {"uta": 1}},
    "accounts": {"data": [{"id": 1, "type": "spot"}]},
}
"""By the end of the path, to what a class asks before it makes the request."""
INFO = {"instIdCode": "77", "orderTypes": ["LIMIT", "MARKET"], "tradeCurrency": "ETH-PERP"}
IDS = {"okx": "ETH-USDT-SWAP", "gate": "ETH_USDT", "bitfinex": "tETHF0:USTF0", "hyperliquid": "ETH"}


class FixedPrices(Prices):
    """One price for every market."""

    async def latest(self, symbol: str) -> Price:
        """Return it."""
        del symbol
        return Price(PRICE, time.monotonic())


class Bench:
    """Our orders on a ccxt client of one exchange, whose requests are caught."""

    def __init__(self, exchange: str, kind: Kind, mode: PositionMode = "one_way", **settings: Any) -> None:
        table = CcxtSettings(exchange=exchange, market_type=kind, **settings)
        client = make_client(table, CREDENTIALS, "test")
        self.caught: list[str] = []
        """Method, url and body of each request, as text without percent signs."""
        client.fetch = self._caught
        market = _market(client, kind)
        currencies: dict[str, object] = {
            code: {"id": code, "code": code, "precision": 1e-8, "info": {}} for code in ("ETH", "USDT")
        }
        client.set_markets([market], currencies)
        self.client = client
        self.exchange = Exchange(client, "main", str)
        self.market = Markets("main", client, kind, "USDT")[market["symbol"]]
        account = Account(self.exchange, table)
        account.mode = mode
        trades = Trades("main")
        self.look_up = LookUp(self.exchange, account, trades, news=asyncio.Event(), hears=lambda: False)
        self.orders = Orders(
            self.exchange,
            table,
            account,
            trades,
            look_up=self.look_up,
            preparation=Preparation(self.exchange, table, account),
            prices=FixedPrices(self.exchange),
            ledger=False,
        )

    async def _caught(self, url: str, method: str = "GET", headers: object = None, body: object = None) -> object:
        del headers
        self.caught.append(unquote(f"{method} {url} {body or ''}"))
        if "account/settings" in url:
            raise ccxt.BadRequest("no unified account on bitget")
        return ANSWERS.get(url.partition("?")[0].rpartition("/")[2], {})

    def intent(self, side: Side, *, reduce_only: bool) -> Intent:
        """Return an order for one and a half ether."""
        key = Key("main", self.market.listing.symbol)
        quantity = self.market.rules.step * 3
        return Intent(CLIENT_ID, key, side, quantity, reduce_only, 1, time.time(), "test")


def caught_from(bench: Callable[[], Bench], act: Callable[[Bench], Awaitable[object]]) -> list[str]:
    """Return the requests that an action makes; that its answers are empty is nobody's fault."""

    async def run() -> list[str]:
        made = bench()
        try:
            with contextlib.suppress(Exception):
                await act(made)
            return made.caught
        finally:
            await made.client.close()

    return asyncio.run(run())


@functools.cache
def order_request(
    exchange: str, kind: Kind, side: Side = Side.BUY, mode: PositionMode = "one_way", *, reduce_only: bool = False
) -> str:
    """Return the request that carries an order."""
    requests = caught_from(
        lambda: Bench(exchange, kind, mode),
        lambda bench: bench.orders.place(bench.intent(side, reduce_only=reduce_only), bench.market),
    )
    own_id = dialect_of(exchange).client_order_id(CLIENT_ID)
    orders = [request for request in requests if own_id in request]
    return orders[0] if orders else f"no order in {requests}"


def look_up_requests(exchange: str, kind: Kind) -> str:
    """Return all requests that ask for an order that only its client order id is known of."""
    requests = caught_from(
        lambda: Bench(exchange, kind),
        lambda bench: bench.look_up.find(bench.intent(Side.BUY, reduce_only=False), bench.market),
    )
    return "\n".join(requests)


def _market(client: Any, kind: Kind) -> dict[str, Any]:
    swap = kind == "swap"
    step = 1 if swap else 0.5
    names = {"base": "ETH", "quote": "USDT", "settle": "USDT" if swap else None}
    market: dict[str, Any] = {
        "id": IDS.get(client.id, "ETHUSDT"), "symbol": "ETH/USDT:USDT" if swap else "ETH/USDT", **names,
        "baseId": names["base"], "quoteId": names["quote"], "settleId": names["settle"], "type": kind,
        "spot": not swap, "swap": swap, "future": False, "option": False, "margin": False, "contract": swap,
        "linear": swap or None, "inverse": False if swap else None, "subType": "linear" if swap else None,
        "active": True, "contractSize": 0.5 if swap else None, "taker": 0.001, "maker": 0.001, "expiry": None,
        "strike": None, "optionType": None, "info": INFO,
        "limits": {name: {"min": None, "max": None} for name in LIMITS},
        "precision": {"amount": step, "price": 0.01, "cost": 0.01, "base": 1e-8, "quote": 1e-8},
    }  # fmt: skip
    if client.precisionMode != 4:  # not by steps
        market["precision"] = {"amount": 0 if swap else 1, "price": 5}
    if client.id == "hyperliquid":
        market["baseId"] = "4" if swap else 10004
    return market


LIMITS = ("amount", "price", "cost", "leverage")
