"""Candles of an exchange's public data, by ccxt."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from portfoliod.errors import UnknownSymbol, UsageError, VenueError, VenueUnreachable
from portfoliod.lean_ccxt import ccxt, exchange_class
from portfoliod.prices.candles import Candles, format_interval
from portfoliod.sdk.spelling import compact

PAGE = 1000
"""Candles asked for at once; an exchange that gives fewer is asked more often."""
_PREFERENCE = {"swap": 0, "spot": 1}


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

    def __init__(self, name: str, exchange: Exchange) -> None:
        self.name = f"ccxt:{name}"
        self._exchange = exchange

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
            rows = self._rows(self._unified(symbol), interval, start, end)
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
        since = -int(-start * 1000 // step) * step
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

    def _unified(self, symbol: str) -> str:
        markets = self._exchange.load_markets()
        if symbol in markets:
            return symbol
        same = [
            market
            for market in markets.values()
            if market["type"] in _PREFERENCE and compact(symbol) in {compact(market["id"]), compact(market["symbol"])}
        ]
        if not same:
            raise UnknownSymbol(
                f"the exchange has no market {symbol}", where=self.name, mend="write its own id or a unified symbol"
            )
        unified: str = min(same, key=lambda market: _PREFERENCE[market["type"]])["symbol"]
        return unified


def open_exchange(name: str) -> ExchangeCandles:
    """Return the candles of the exchange that ccxt calls `name`.

    Raises:
        UsageError: ccxt does not know it.
    """
    kind = exchange_class("ccxt", name)
    if kind is None:
        raise UsageError("no such exchange", found=f'"{name}"', mend="write its ccxt id, for instance binanceusdm")
    return ExchangeCandles(name, kind())
