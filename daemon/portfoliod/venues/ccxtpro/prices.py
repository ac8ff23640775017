"""Prices: from the ticker stream where the exchange has one, asked for where that is silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import structlog

from portfoliod.errors import VenueError, VenueUnreachable
from portfoliod.lean_ccxt import ccxt
from portfoliod.model import ZERO
from portfoliod.venues.ccxtpro.exchange import Exchange, decimal
from portfoliod.venues.protocol import Price

log: structlog.stdlib.BoundLogger = structlog.get_logger()

FRESH_SECONDS = 5.0
"""A quiet stream's price is taken for current as long as this."""
LONGEST_PAUSE = 60.0
SOURCES = (
    ("fetchTicker", "fetch_ticker"),
    ("fetchMarkPrice", "fetch_mark_price"),
    ("fetchOrderBook", "fetch_order_book"),
)
"""Where a price is asked for; the first that answers is kept to."""


class Prices:
    """The latest prices of the markets that are asked for."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._known: dict[str, Price] = {}
        self._asking: dict[str, asyncio.Future[Price]] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._source: tuple[str, str] | None = None
        self.follow = False
        """Whether to open streams: a command that looks once does not."""

    async def latest(self, symbol: str) -> Price:
        """Return the latest price of a market; one that cannot be had now is as old as it says.

        Raises:
            VenueUnreachable: none was ever known.
        """
        if self.follow and symbol not in self._following and self._exchange.has("watchTicker"):
            self._following[symbol] = asyncio.create_task(self._follow(symbol), name=f"ticker {symbol}")
        known = self._known.get(symbol)
        if known is not None and time.monotonic() - known.at < FRESH_SECONDS:
            return known
        try:
            return await self._asked_once(symbol)
        except VenueUnreachable:
            if symbol in self._known:
                return self._known[symbol]
            raise

    async def close(self) -> None:
        """Stop the streams."""
        tasks = list(self._following.values())
        self._following.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _asked_once(self, symbol: str) -> Price:
        """Ask for a price; those who want the same one at the same time share the answer."""
        if symbol not in self._asking:
            asking = asyncio.ensure_future(self._ask(symbol))
            self._asking[symbol] = asking
            asking.add_done_callback(lambda _: self._asking.pop(symbol, None))
        return await asyncio.shield(self._asking[symbol])

    async def _ask(self, symbol: str) -> Price:
        sources = (
            [self._source]
            if self._source
            else [source for source in SOURCES if self._exchange.client.has.get(source[0])]
        )
        failure: VenueError | None = None
        for source in sources:
            asked = time.monotonic()
            try:
                answer = await self._exchange.read(source[1], symbol)
            except VenueUnreachable as error:
                failure = error
                continue
            value = price_in(answer)
            if value is not None:
                self._source = source
                return self._note(symbol, value, asked)
        raise failure or VenueUnreachable(
            "the exchange tells no price", where=f"{symbol} on venue {self._exchange.venue}"
        )

    def _note(self, symbol: str, value: Decimal, at: float) -> Price:
        known = self._known.get(symbol)
        if known is None or known.at <= at:
            self._known[symbol] = Price(value, at)
        return self._known[symbol]

    async def _follow(self, symbol: str) -> None:
        pause = 1.0
        while True:
            try:
                ticker = await self._exchange.client.watch_ticker(symbol)
            except (ccxt.NotSupported, ccxt.BadRequest, ccxt.AuthenticationError) as error:
                log.debug("ticker.not_streamed", venue=self._exchange.venue, symbol=symbol, error=str(error)[:200])
                return
            except Exception as error:  # noqa: BLE001 - the price is asked for meanwhile
                log.debug("ticker.interrupted", venue=self._exchange.venue, symbol=symbol, error=str(error)[:200])
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = 1.0
            value = price_in(ticker)
            if value is not None:
                self._note(symbol, value, time.monotonic())


def price_in(answer: Mapping[str, Any]) -> Decimal | None:
    """Return what a market trades at by a ticker or an order book: the last price, kept between bid and ask."""
    bid, ask = _best(answer, "bid", "bids"), _best(answer, "ask", "asks")
    last = next((price for name in ("last", "close", "markPrice") if (price := _positive(answer.get(name)))), None)
    if bid is None or ask is None or bid > ask:
        return last
    return (bid + ask) / 2 if last is None else min(max(last, bid), ask)


def _best(answer: Mapping[str, Any], name: str, side: str) -> Decimal | None:
    levels = answer.get(side)
    return _positive(levels[0][0]) if levels else _positive(answer.get(name))


def _positive(value: object) -> Decimal | None:
    number = decimal(value)
    return number if number is not None and number > ZERO else None
