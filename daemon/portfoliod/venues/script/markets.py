"""The rules of the markets that strategies name, read from the script one by one.

`Venue.rules` must answer at once and a script takes its time: a market's rules are asked for when it is first named.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal

import structlog

from portfoliod.errors import PortfoliodError, UnknownSymbol
from portfoliod.model import MarketRules

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DEFAULT_STEP = Decimal("0.00000001")
"""Without get_rules. A broker that wants coarser orders refuses these, loudly; a step that is too coarse for the
account would size it wrong in silence."""
READ_AGAIN_SECONDS = 3600.0


class Markets:
    """What is known of the markets that were named."""

    def __init__(self, venue: str, read: Callable[[str], Awaitable[MarketRules]]) -> None:
        self._venue = venue
        self._read = read
        self._rules: dict[str, tuple[MarketRules, float]] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._errors: dict[str, PortfoliodError] = {}

    def named(self, symbol: str) -> None:
        """Take note of a market: its rules will be wanted."""
        if symbol not in self._rules and symbol not in self._reading:
            self._reading[symbol] = asyncio.create_task(self._load(symbol), name=f"rules of {symbol}")

    def rules(self, symbol: str) -> MarketRules:
        """Return a market's rules.

        Raises:
            UnknownSymbol: they are not read yet, or cannot be.
        """
        if symbol in self._rules:
            return self._rules[symbol][0]
        error = self._errors.get(symbol)
        self.named(symbol)
        raise UnknownSymbol(
            "its rules are not known yet" if error is None else error.what,
            where=f"{symbol} on {self._venue}",
            found="get_rules has not answered" if error is None else error.found,
            kept="nothing is traded there",
            mend="" if error is None else error.mend,
        )

    async def settle(self) -> None:
        """Wait until the rules that were asked for are read, or could not be."""
        if self._reading:
            await asyncio.wait(set(self._reading.values()))

    async def refresh(self) -> None:
        """Read again what was read long ago, and say what changed."""
        now = time.monotonic()
        for symbol, (before, at) in list(self._rules.items()):
            if now - at < READ_AGAIN_SECONDS:
                continue
            await self._load(symbol)
            if self._rules[symbol][0] != before:
                log.warning(
                    "venue.rules_changed", venue=self._venue, symbol=symbol, step=str(self._rules[symbol][0].step)
                )

    def close(self) -> None:
        """Stop reading."""
        for task in self._reading.values():
            task.cancel()
        self._reading.clear()

    async def _load(self, symbol: str) -> None:
        try:
            self._rules[symbol] = await self._read(symbol), time.monotonic()
            self._errors.pop(symbol, None)
        except PortfoliodError as error:
            self._errors[symbol] = error
        finally:
            self._reading.pop(symbol, None)
