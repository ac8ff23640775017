"""What the caches of ccxt's streams hold is told once, whatever a reply told before."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from ccxt.async_support.base.ws.cache import ArrayCacheBySymbolById

from portfoliod.model import ZERO, Fill, Key, Side
from portfoliod.venues import Filled, Liquidated, PositionMoved, VenueEvent
from portfoliod.venues.ccxtpro.client import make_client
from portfoliod.venues.ccxtpro.exchange import Exchange
from portfoliod.venues.ccxtpro.markets import Markets
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.ccxtpro.streams import Streams
from portfoliod.venues.ccxtpro.trades import Trades

ETH = "ETH/USDT:USDT"
MARKET = {
    "symbol": ETH,
    "id": "ETHUSDT",
    "base": "ETH",
    "quote": "USDT",
    "settle": "USDT",
    "swap": True,
    "linear": True,
    "contractSize": 1,
    "precision": {"amount": "0.001"},
}


class World:
    """Streams whose caches a test fills."""

    def __init__(self) -> None:
        self.client: Any = make_client(CcxtSettings(exchange="binanceusdm"), None, "here")
        self.client.markets = {ETH: MARKET}
        self.client.myTrades = ArrayCacheBySymbolById(200)
        self.client.orders = ArrayCacheBySymbolById(200)
        self.trades = Trades("main")
        markets = Markets("main", self.client, "swap", "USDT")
        exchange = Exchange(self.client, "main", str)
        self.streams = Streams(exchange, self.trades, lambda: markets, spot=False)

    def trade(self, number: str, *, order: str = "1", side: str | None = "sell", **said: object) -> None:
        """Let the stream bring a trade."""
        self.client.myTrades.append(
            {
                "symbol": ETH,
                "id": number,
                "order": order,
                "side": side,
                "amount": 0.1,
                "price": 2500.0,
                "timestamp": 1_700_000_000_000,
                "info": said,
            }
        )

    def told(self) -> Iterator[VenueEvent]:
        """Yield what was told since the last time."""
        self.streams.drain()
        while not self.streams.events.empty():
            yield self.streams.events.get_nowait()


@pytest.fixture
def world() -> World:
    """Return streams with empty caches."""
    return World()


def fill(number: str) -> Fill:
    """Return a fill of ours as a reply brings it."""
    return Fill(Key("main", ETH), number, "ours", Side.SELL, Decimal("0.1"), Decimal(2500), ZERO, "USDT", 1_700_000_000)


def test_a_liquidation_before_a_fill_that_a_reply_told_is_told(world: World) -> None:
    """One batch brings both; that the second is known already is no reason to overlook the first."""
    world.trades.name("2", "ours")
    world.streams.known(fill("8"))
    world.trade("7", order="1", o="LIQUIDATION", c="autoclose-1")
    world.trade("8", order="2")
    told = list(world.told())
    assert [event.symbol for event in told if isinstance(event, Liquidated)] == [ETH]
    assert PositionMoved(ETH) in told
    assert not any(isinstance(event, Filled) for event in told)


def test_a_row_that_cannot_be_understood_hides_none_behind_it(world: World) -> None:
    """A trade of ours without a side, and a liquidation after it."""
    world.trades.name("1", "ours")
    world.trade("7", order="1", side=None)
    world.trade("8", order="2", o="LIQUIDATION", c="autoclose-1")
    told = list(world.told())
    assert PositionMoved(ETH) in told
    assert [event.symbol for event in told if isinstance(event, Liquidated)] == [ETH]


@pytest.mark.parametrize("missing", ["id", "amount", "side"])
def test_a_trade_of_ours_that_says_too_little_is_no_fill(world: World, missing: str) -> None:
    """It says that the position moved: a fill without a number would be booked as one of nothing, or twice."""
    world.trades.name("1", "ours")
    world.trade("7")
    world.client.myTrades[0][missing] = None
    assert list(world.told()) == [PositionMoved(ETH)]


def test_a_row_that_is_repeated_hides_none_before_it(world: World) -> None:
    """Ccxt moves a row that comes again to the end, behind one that nobody was told of."""
    world.trades.name("1", "ours")
    world.trade("7")
    assert len(list(world.told())) == 1
    world.trade("8")
    world.trade("7")
    assert [event.fill.trade_id for event in world.told() if isinstance(event, Filled)] == ["8"]


def test_rows_stay_told_however_many_came_between(world: World) -> None:
    """A row that is still in ccxt's cache is not told again, although what is remembered is bounded."""
    world.trades.name("1", "ours")
    world.trade("7")
    assert len(list(world.told())) == 1
    for number in range(4_000):
        world.streams.known(fill(f"other {number}"))
    assert list(world.told()) == []


def test_a_fill_is_told_once_by_whoever_is_first(world: World) -> None:
    """The reply's own fill is not told again by the stream; what only the stream brings is."""
    world.trades.name("1", "ours")
    world.trade("7")
    world.streams.known(fill("8"))
    world.trade("8")
    world.trade("9")
    assert [event.fill.trade_id for event in world.told() if isinstance(event, Filled)] == ["7", "9"]
