"""A driver behind a fence: it answers in time and with errors that the daemon knows, whoever wrote it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from decimal import Decimal
from typing import ParamSpec, TypeVar

import structlog

from portfoliod.errors import OrderUnknown, PortfoliodError, VenueUnreachable
from portfoliod.model import Intent, MarketRules
from portfoliod.venues import Inspection, OrderReport, PositionMode, Positions, Price, Venue, VenueEvent

log: structlog.stdlib.BoundLogger = structlog.get_logger()

CONNECTING = 3.0
"""How many times longer than an answer a connection may take: markets are many."""
Question = ParamSpec("Question")
Answer = TypeVar("Answer")


class GuardedVenue:
    """A venue whose coroutines end in time, and raise nothing but what `portfoliod.venues.Venue` names.

    Attributes:
        inner: the driver's own.
    """

    def __init__(self, inner: Venue) -> None:
        self.inner = inner
        self.name = inner.name

    @property
    def patience(self) -> float:
        """Seconds after which a question counts as not answered."""
        return self.inner.patience

    @property
    def absence_grace(self) -> float:
        """Seconds after which an order that the venue does not know can no longer appear."""
        return self.inner.absence_grace

    @property
    def snapshot_lag(self) -> float:
        """Seconds after a fill for which a snapshot of the positions may not show it yet."""
        return self.inner.snapshot_lag

    @property
    def finds_orders(self) -> bool:
        """Whether `find` can tell that there is no such order."""
        return self.inner.finds_orders

    @property
    def position_mode(self) -> PositionMode | None:
        """How the account keeps long and short in a market, None where it is not known or means nothing."""
        with contextlib.suppress(Exception):
            return self.inner.position_mode
        return None

    async def connect(self) -> None:
        """Load the markets and prove the keys."""
        await self._ask(CONNECTING * self.patience, self.inner.connect)

    async def close(self) -> None:
        """Let go of sockets and files, whether or not it was connected; what goes wrong with that is nobody's loss."""
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self.patience):
                await self.inner.close()

    def describe(self) -> str:
        """Return in a few words where the prices come from."""
        try:
            return self.inner.describe()
        except Exception as error:  # noqa: BLE001 - a status without these words is a status
            return f"the driver does not say: {error!r}"

    def resolve(self, text: str) -> str:
        """Return the unified symbol of a market in any of the forms that a strategy may write."""
        with self._own_errors():
            return self.inner.resolve(text)

    def rules(self, symbol: str) -> MarketRules:
        """Return what the venue accepts in a market."""
        with self._own_errors():
            return self.inner.rules(symbol)

    async def price(self, symbol: str) -> Price:
        """Return the latest price of a market: a positive number."""
        price = await self._ask(self.patience, self.inner.price, symbol)
        if not price.value.is_finite() or price.value <= 0:
            raise VenueUnreachable("the price is not positive", where=symbol, found=str(price.value))
        return price

    async def positions(self, newer_than: float) -> Positions:
        """Return a complete snapshot whose `at` is not before `newer_than`."""
        snapshot = await self._ask(self.patience, self.inner.positions, newer_than)
        if snapshot.at < newer_than:
            age = f"{newer_than - snapshot.at:.1f} s older"
            raise VenueUnreachable("the positions are older than asked for", where=self._where, found=age)
        for symbol, quantity in snapshot.quantities.items():
            if not quantity.is_finite():
                raise VenueUnreachable("a position is not a number", where=symbol, found=str(quantity))
        return snapshot

    def streamed_position(self, symbol: str) -> Decimal | None:
        """Return what a stream said last of a market's position, None where none said anything that can be."""
        with contextlib.suppress(Exception):
            streamed = self.inner.streamed_position(symbol)
            return streamed if streamed is None or streamed.is_finite() else None
        return None

    async def equity(self) -> Decimal | None:
        """Return the account's equity in the quote currency, None where the venue cannot tell it."""
        equity = await self._ask(self.patience, self.inner.equity)
        if equity is not None and not equity.is_finite():
            raise VenueUnreachable("the equity is not a number", where=self._where, found=str(equity))
        return equity

    async def place(self, intent: Intent) -> OrderReport:
        """Send a market order once. No answer, or none that can be read, is OrderUnknown."""
        try:
            return await self._ask(self.patience, self.inner.place, intent)
        except VenueUnreachable as error:
            raise OrderUnknown(error.what, where=str(intent.key), found=error.found) from error

    async def cancel(self, intent: Intent) -> None:
        """Ask for an order's cancellation."""
        await self._ask(self.patience, self.inner.cancel, intent)

    async def find(self, intent: Intent) -> OrderReport | None:
        """Return what the venue knows of an order, None where it does not know it now."""
        return await self._ask(self.patience, self.inner.find, intent)

    def pause(self) -> float:
        """Return for how many seconds the venue asked to be left alone, 0 where it did not."""
        try:
            return self.inner.pause()
        except Exception as error:  # noqa: BLE001 - asked between two orders, where nobody waits for a venue's errors
            driver_failed(self.name, error)
            return 0.0

    async def verify(self) -> None:
        """Look whether the account and its markets are still what they were."""
        await self._ask(self.patience, self.inner.verify)

    async def inspect(self) -> Inspection:
        """Return what a person should know of the account."""
        return await self._ask(CONNECTING * self.patience, self.inner.inspect)

    async def events(self) -> AsyncGenerator[VenueEvent, None]:
        """Yield what the venue's streams say, until it is closed. Whoever closes this ends the driver's part too."""
        with self._own_errors():
            events = self.inner.events()
            try:
                async for event in events:
                    yield event
            finally:
                if isinstance(events, AsyncGenerator):
                    await events.aclose()

    @property
    def _where(self) -> str:
        return f"venue {self.name}"

    async def _ask(
        self,
        seconds: float,
        question: Callable[Question, Awaitable[Answer]],
        *args: Question.args,
        **kwargs: Question.kwargs,
    ) -> Answer:
        started = time.monotonic()
        with self._own_errors():
            try:
                async with asyncio.timeout(seconds):
                    return await question(*args, **kwargs)
            except TimeoutError as error:
                waited = min(seconds, round(time.monotonic() - started, 1))
                raise VenueUnreachable(f"no answer within {waited:g} s", where=self._where) from error

    @contextlib.contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Turn what is no error of portfoliod's into one."""
        try:
            yield
        except PortfoliodError:
            raise
        except Exception as error:
            raise driver_failed(self.name, error) from error


def driver_failed(venue: str, error: Exception) -> VenueUnreachable:
    """Return what a driver's mistake is to the daemon: no answer, and a traceback in the log."""
    log.error("venue.failed", venue=venue, exc_info=error)
    return VenueUnreachable("the driver failed", where=f"venue {venue}", found=repr(error))
