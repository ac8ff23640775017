"""Candles of an exchange's public data, by ccxt."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from portfoliod.errors import UsageError, VenueError, VenueUnreachable
from portfoliod.lean_ccxt import ccxt, exchange_class
from portfoliod.prices.candles import Candles, format_interval
from portfoliod.venues.ccxtpro.client import make_client
from portfoliod.venues.ccxtpro.markets import Markets, listing_of
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.symbols import Directory

PAGE = 1000
"""Candles asked for at once; an exchange that gives fewer is asked more often."""


class Exchange(Protocol):
    """The part of a ccxt exchange that is used here."""

    def load_markets(self) -> Mapping[str, Any]:
        """Return the markets by unified symbol."""
        ...

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> Sequence[Sequence[float | None]]:
        """Return rows of opening time in ms, open, high, low, close and volume, the last one perhaps not closed."""
        ...


class ExchangeCandles:
    """The candles of one exchange, asked for anew each time."""

    delay: float | None = 3.0

    def __init__(self, name: str, exchange: Exchange, directory: Callable[[], Directory]) -> None:
        """Take the exchange, and what makes a directory of its markets once they are loaded."""
        self.name = name
        self._exchange = exchange
        self._list = directory
        self._directory: Directory | None = None

    def latest(self, symbols: Sequence[str], interval: int) -> float:  # noqa: ARG002 - files need to know
        """Return the time that it is."""
        return time.time()

    def candles(self, symbol: str, interval: int, start: float, end: float) -> Candles:
        """Return the candles between two times.

        Raises:
            UnknownSymbol: the exchange has no such market.
            VenueUnreachable: it gave no answer.
            VenueError: it gave another answer than candles.
        """
        try:
            if self._directory is None:
                self._exchange.load_markets()
                self._directory = self._list()
            rows = self._rows(self._directory.resolve(symbol), interval, start, end)
        except ccxt.NetworkError as error:
            raise VenueUnreachable(
                "the exchange gives no answer", where=self.name, found=str(error)[:200], mend="try again later"
            ) from error
        except ccxt.BaseError as error:
            raise VenueError(
                "the exchange gives no candles",
                where=f"{self.name} {symbol}",
                found=str(error)[:200],
                mend="check that it offers this market and this interval",
            ) from error
        table = np.array(rows, dtype=np.float64).reshape(-1, 6)
        table = table[np.isfinite(table).all(axis=1)]
        opened = table[:, 0].astype(np.int64) // 1000
        return Candles(symbol, interval, opened, *table[:, 1:].T.copy()).until(end)

    def _rows(self, symbol: str, interval: int, start: float, end: float) -> list[Sequence[float | None]]:
        step = interval * 1000
        since = math.ceil(start * 1000)
        rows: list[Sequence[float | None]] = []
        while since + step <= end * 1000:
            page = self._exchange.fetch_ohlcv(symbol, format_interval(interval), since=since, limit=PAGE)
            fresh = [row for row in page if (row[0] or 0) >= since]
            if fresh:
                rows += fresh
                since = int(fresh[-1][0] or 0) + step
            elif rows:
                break
            else:
                since += PAGE * step  # the market did not exist yet
        return rows


def open_exchange(text: str) -> ExchangeCandles:
    """Return the candles of an exchange that no venue names.

    Args:
        text: ccxt's id of it, and perhaps what a symbol means there: `binance:spot`; else the perpetual.

    Raises:
        UsageError: ccxt does not know it, or there is no such type of market.
    """
    exchange, _, market_type = text.partition(":")
    if exchange_class("ccxt", exchange) is None:
        mend = "write its ccxt id, for instance binanceusdm"
        raise UsageError("no such exchange", found=f'"{exchange}"', mend=mend)
    if market_type not in {"", "swap", "future", "spot"}:
        raise UsageError("no such type of market", found=f'"{market_type}"', mend="write swap, future or spot")
    kind = market_type or "swap"
    settings = msgspec.convert({"exchange": exchange, "market_type": kind}, CcxtSettings)
    client = make_client(settings, None, f"ccxt:{text}", blocking=True)

    def directory() -> Directory:
        return Directory(f"ccxt:{text}", filter(None, map(listing_of, client.markets.values())), kind, settings.quote)

    return ExchangeCandles(f"ccxt:{text}", client, directory)


def open_venue_candles(venue: str, settings: CcxtSettings, where: str, *, linear: bool = False) -> ExchangeCandles:
    """Return the candles of the markets that a venue trades, each by the names that it has there; without keys.

    On a test network they are the test network's.

    Args:
        venue: its name.
        settings: its table.
        where: the settings file, for errors.
        linear: leave inverse markets out, as paper accounts do.

    Raises:
        SettingsError: ccxt does not know the exchange, or cannot take the options.
    """
    client = make_client(settings, None, f"{where}  venues.{venue}", blocking=True)

    def directory() -> Directory:
        markets = Markets(venue, client, settings.market_type, settings.quote)
        return markets.linear if linear else markets.directory

    kind = "" if settings.market_type == "swap" else f":{settings.market_type}"
    network = " (test network)" if settings.sandbox else ""
    return ExchangeCandles(f"ccxt:{settings.exchange}{kind}{network}", client, directory)
