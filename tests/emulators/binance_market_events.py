"""What the market streams of the Binance USD-M emulator say."""

from __future__ import annotations

import re
from typing import TypeAlias

from tests.emulators.account import Account
from tests.emulators.account_records import Market
from tests.emulators.binance_market_data import INTERVALS, SIZE, MarketPages, next_funding
from tests.emulators.binance_markets import text

Event: TypeAlias = dict[str, object]


def market_events(stream: str, account: Account, pages: MarketPages) -> list[Event]:
    """Return the events of a stream like `btcusdt@markPrice@1s` or `!ticker@arr`, none if there is no such stream."""
    symbol, _, channel = stream.partition("@")
    if symbol.startswith("!"):
        channel, chosen = symbol[1:], list(account.markets.values())
    else:
        market = account.markets.get(symbol.upper())
        chosen = [market] if market else []
    name = re.split(r"[@_0-9]", channel)[0]
    render = CHANNELS.get(name)
    if render is None:
        return []
    return [{"E": account.now(), "s": market.id, **render(pages, market, account.now(), channel)} for market in chosen]


def _mark_price(pages: MarketPages, market: Market, now: int, _: str) -> Event:
    price = text(pages.price(market))
    funding = {"r": "0.00010000", "T": next_funding(now)}
    return {"e": "markPriceUpdate", "p": price, "ap": price, "i": price, "P": price, **funding}


def _book_ticker(pages: MarketPages, market: Market, now: int, _: str) -> Event:
    best = pages.best(market)
    sides = {"b": best["bidPrice"], "B": SIZE, "a": best["askPrice"], "A": SIZE}
    return {"e": "bookTicker", "u": pages.book_number(market), "T": now, **sides}


def _trade(pages: MarketPages, market: Market, now: int, channel: str) -> Event:
    numbers = {"a": now, "f": now, "l": now} if channel == "aggTrade" else {"t": now, "X": "MARKET"}
    return {"e": channel, **numbers, "p": text(pages.price(market)), "q": "0.001", "T": now, "m": False}


def _candle(pages: MarketPages, market: Market, now: int, channel: str) -> Event:
    interval = channel.partition("_")[2]
    width = INTERVALS.get(interval, 60) * 1000
    opened, price = now // width * width, text(pages.price(market))
    times = {"t": opened, "T": opened + width - 1, "s": market.id, "i": interval, "f": 1, "L": 2, "x": False}
    prices = {"o": price, "c": price, "h": price, "l": price}
    return {"e": "kline", "k": {**times, **prices, "v": "1", "n": 2, "q": price, "V": "1", "Q": price}}


def _depth(pages: MarketPages, market: Market, now: int, _: str) -> Event:
    bids, asks = pages.book(market, 20)
    number = pages.book_number(market)
    return {"e": "depthUpdate", "T": now, "U": number, "u": number, "pu": number - 1, "b": bids, "a": asks}


def _mini_ticker(pages: MarketPages, market: Market, now: int, _: str) -> Event:
    day = _ticker(pages, market, now, "")
    return {"e": "24hrMiniTicker", **{letter: day[letter] for letter in "cohlvq"}}


def _ticker(pages: MarketPages, market: Market, _now: int, _channel: str) -> Event:
    day = pages.day(market)
    letters = {
        "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "c": "lastPrice", "Q": "lastQty",
        "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume", "O": "openTime",
        "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count",
    }  # fmt: skip
    return {"e": "24hrTicker", **{letter: day[name] for letter, name in letters.items()}}


CHANNELS = {
    "ticker": _ticker,
    "miniTicker": _mini_ticker,
    "bookTicker": _book_ticker,
    "markPrice": _mark_price,
    "aggTrade": _trade,
    "trade": _trade,
    "kline": _candle,
    "depth": _depth,
}
