"""A connection to the simulated exchange: a venue whose requests, replies and streams go wrong in every way they can.

It keeps what the protocol promises (`absence_grace`, `snapshot_lag`, complete snapshots) and nothing else.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import TypeVar

from portfoliod.errors import (
    KeysRefused,
    OrderRefused,
    OrderUnknown,
    UnknownSymbol,
    VenuePaused,
    VenueStopped,
    VenueUnreachable,
)
from portfoliod.model import Intent, MarketRules
from portfoliod.venues import (
    Inspection,
    OrderReport,
    PositionMode,
    PositionMoved,
    Positions,
    Price,
    Reconnected,
    VenueEvent,
)
from tests.simulation.clock import VirtualLoop
from tests.simulation.exchange import RULES, Exchange

Result = TypeVar("Result")

PATIENCE, GRACE, LAG = 5.0, 10.0, 3.0
LATEST_ARRIVAL = 6.0
"""After that no order arrives, and `HIDDEN` later each can be looked up: together less than the grace time."""
HIDDEN = 2.0


class Weather:
    """What goes wrong between a daemon and an exchange at the moment."""

    def __init__(self) -> None:
        self.down_until = self.paused_until = 0.0
        self.stopped = self.keys_refused = False

    def clear(self) -> None:
        """Let everything work again."""
        self.down_until = self.paused_until = 0.0
        self.stopped = self.keys_refused = False


class SimulatedVenue:
    """One daemon's connection to an exchange."""

    patience = PATIENCE
    absence_grace = GRACE
    snapshot_lag = LAG
    position_mode: PositionMode = "one_way"

    def __init__(self, exchange: Exchange, weather: Weather, loop: VirtualLoop, *, streams_positions: bool) -> None:
        self.name = exchange.name
        self.finds_orders = exchange.finds_orders
        self.sends: Callable[[Intent], None] = lambda _: None
        """Called with each order at the moment it is sent."""
        self._exchange = exchange
        self._weather = weather
        self._loop = loop
        self._clock = exchange.clock
        self._chance: random.Random = exchange.chance
        self._streams_positions = streams_positions
        self._rows: dict[str, Decimal] = {}
        self._news: asyncio.Queue[VenueEvent | None] | None = None

    async def connect(self) -> None:
        """Connect."""
        await self._asked(lambda: None)

    async def close(self) -> None:
        """Hear nothing any more."""
        self._exchange.tell = lambda _: None

    def describe(self) -> str:
        """Say what this is."""
        return "simulated"

    def resolve(self, text: str) -> str:
        """Return the market of a name such as BTCUSDT."""
        symbol = f"{text.removesuffix('USDT')}/USDT:USDT"
        if symbol not in RULES:
            raise UnknownSymbol("no such market", found=text)
        return symbol

    def rules(self, symbol: str) -> MarketRules:
        """Return what the exchange accepts."""
        return self._exchange.rules(symbol)

    async def price(self, symbol: str) -> Price:
        """Return the price of a market."""
        at = self._clock.now
        return Price(await self._asked(lambda: self._exchange.price(symbol)), at)

    async def positions(self, newer_than: float) -> Positions:  # noqa: ARG002 - it always asks
        """Return a snapshot, perhaps of some seconds ago."""
        at = self._clock.now

        def look() -> dict[str, Decimal]:
            lag = self._chance.uniform(0, LAG) if self._happens(0.3) else 0.0
            return {symbol: self._exchange.position_at(symbol, self._clock.now - lag) for symbol in RULES}

        return Positions(at, await self._asked(look))

    def streamed_position(self, symbol: str) -> Decimal | None:
        """Return the last row that arrived, which may be an old one."""
        return self._rows.get(symbol)

    async def equity(self) -> Decimal:
        """Return the equity."""
        return await self._asked(self._exchange.equity)

    async def place(self, intent: Intent) -> OrderReport:
        """Send an order; whatever happens here, it may arrive."""
        if self._loop.passing("place: before"):
            await self._never()
        self.sends(intent)
        if self.pause() > 0:
            raise VenuePaused("too many requests", seconds=self.pause())
        if self._happens(0.01):
            raise OrderRefused("insufficient margin")
        reply: asyncio.Future[OrderReport] = self._loop.create_future()
        if not self._is_down() and not self._happens(0.02):
            late = self._happens(0.05)
            self._exchange.on_their_way[intent.client_id] = intent
            self._clock.after(
                self._chance.uniform(0, LATEST_ARRIVAL) if late else self._latency(),
                lambda: self._arrive(intent, reply),
            )
        elif self._happens(0.5):
            raise OrderUnknown("connection reset")
        report = await reply
        if self._loop.passing("place: after"):
            await self._never()
        if self._happens(0.02):
            raise OrderUnknown("garbled")
        return self._without_some_trades(report)

    async def cancel(self, intent: Intent) -> None:
        """Ask for a cancellation."""
        await self._asked(lambda: self._exchange.cancel(intent.client_id))

    async def find(self, intent: Intent) -> OrderReport | None:
        """Return what the exchange shows of an order, if it shows it already."""

        def look() -> OrderReport | None:
            order = self._exchange.orders.get(intent.client_id)
            if order is None or not self.finds_orders:
                return None
            if self._clock.now - order.at < HIDDEN and self._happens(0.3):
                return None
            return self._without_some_trades(order.report())

        return await self._asked(look)

    def pause(self) -> float:
        """Return for how long the exchange wants to be left alone."""
        return max(0.0, self._weather.paused_until - self._clock.now)

    async def verify(self) -> None:
        """Look whether the account is what it was."""
        await self._asked(self._require_mode)

    async def inspect(self) -> Inspection:
        """Find nothing."""
        return Inspection()

    async def events(self) -> AsyncIterator[VenueEvent]:
        """Yield what arrives of what the exchange tells."""
        await self._asked(lambda: None)
        news: asyncio.Queue[VenueEvent | None] = asyncio.Queue()
        self._news = news
        self._rows.clear()
        self._exchange.tell = self._told
        yield Reconnected()
        while True:
            event = await news.get()
            if event is None:
                raise VenueUnreachable("the stream broke off")
            yield event

    def cut_stream(self, *, quietly: bool) -> None:
        """Let the stream break off; quietly: the driver connects anew by itself, and says so."""
        if self._news is not None:
            self._rows.clear()
            self._news.put_nowait(Reconnected() if quietly else None)

    def _told(self, event: VenueEvent) -> None:
        """Let an event of the exchange arrive, once, twice, later than others or never."""
        if self._is_down() or self._happens(0.03):
            return
        for _ in range(2 if self._happens(0.03) else 1):
            slow = self._happens(0.1)
            seconds = self._chance.uniform(0.1, 2.0) if slow else self._chance.uniform(0.002, 0.06)
            self._clock.after(seconds, self._delivering(event))

    def _delivering(self, event: VenueEvent) -> Callable[[], None]:
        news = self._news
        row = self._exchange.positions[event.symbol] if isinstance(event, PositionMoved) else None

        def deliver() -> None:
            if news is None or news is not self._news:
                return
            if row is not None and isinstance(event, PositionMoved) and self._streams_positions:
                self._rows[event.symbol] = row
            news.put_nowait(event)

        return deliver

    def _arrive(self, intent: Intent, reply: asyncio.Future[OrderReport]) -> None:
        del self._exchange.on_their_way[intent.client_id]
        order = self._exchange.arrive(intent)
        if self._happens(0.03):
            return
        self._clock.after(self._latency(), lambda: None if reply.done() else reply.set_result(order.report()))

    async def _asked(self, look: Callable[[], Result]) -> Result:
        """Return what the exchange answers to a question, if it answers."""
        if self.pause() > 0:
            raise VenuePaused("too many requests", seconds=self.pause())
        if self._is_down() or self._happens(0.02):
            if self._happens(0.5):
                await self._never()
            raise VenueUnreachable("connection reset")
        await asyncio.sleep(self._latency())
        if self._weather.keys_refused:
            raise KeysRefused("the key is revoked", where=f"venue {self.name}")
        answer = look()
        await asyncio.sleep(self._latency())
        if self._happens(0.01):
            raise VenueUnreachable("garbled")
        return answer

    def _require_mode(self) -> None:
        if self._weather.stopped:
            raise VenueStopped("the position mode changed", where=f"venue {self.name}")

    def _without_some_trades(self, report: OrderReport) -> OrderReport:
        if report.fills and self._happens(0.1):
            return OrderReport(report.client_id, report.status, report.filled)
        return report

    async def _never(self) -> None:
        await self._loop.create_future()

    def _is_down(self) -> bool:
        return self._clock.now < self._weather.down_until

    def _latency(self) -> float:
        seconds = self._chance.uniform(0.005, 0.08)
        return seconds * 20 if self._happens(0.03) else seconds

    def _happens(self, share: float) -> bool:
        return not self._exchange.calm and self._chance.random() < share
