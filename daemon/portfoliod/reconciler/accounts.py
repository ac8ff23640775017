"""The accounts as a whole, looked at after every resync: are they what they were, what are they worth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from decimal import Decimal

import structlog

from portfoliod.errors import JournalFailed, VenueError
from portfoliod.model import ZERO
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.desk import Desk

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Accounts:
    """Verifies the venues and records their equity, all of them at once."""

    def __init__(self, desk: Desk, recovered: Callable[[str], None]) -> None:
        self._desk = desk
        self._recovered = recovered
        """Called with a venue's name when a stop of it has ended."""

    async def look(self) -> None:
        """Look at every account once; one that does not answer keeps no other from being looked at."""
        connections = self._desk.connections.values()
        _, equities = await asyncio.gather(
            asyncio.gather(*(self._verify(connection) for connection in connections)),
            asyncio.gather(*(self._record_equity(connection) for connection in connections)),
        )
        known = [equity for equity in equities if equity is not None]
        if len(known) == len(equities):
            self._halt_on_drawdown(known)

    async def _verify(self, connection: Connection) -> None:
        if not connection.linked or connection.pause() > 0:
            return
        try:
            if await connection.verify():
                self._recovered(connection.venue.name)
        except VenueError as error:
            self._desk.venue_failed(connection, error)

    async def _record_equity(self, connection: Connection) -> Decimal | None:
        """Return the equity that was read and journaled, None where that could not be done."""
        if not connection.known or connection.pause() > 0:
            return None
        try:
            equity = await connection.read_equity()
            if equity is not None:
                await self._desk.journal.record_equity(connection.venue.name, time.time(), equity)
        except VenueError as error:
            self._desk.venue_failed(connection, error)
        except JournalFailed as error:
            self._desk.trip(error.what)
        else:
            return equity
        return None

    def _halt_on_drawdown(self, equities: Sequence[Decimal]) -> None:
        desk = self._desk
        total = sum(equities, ZERO)
        highest = sum((desk.journal.highest_equity[name] for name in desk.connections), ZERO)
        limit = Decimal(str(desk.settings.risk.max_drawdown))
        if limit > 0 and highest > 0 and total <= highest * (1 - limit) and not desk.halt.reason():
            lost = (1 - total / highest) * 100
            desk.trip(f"max_drawdown: equity {total:.2f} is {lost:.1f} % below its high {highest:.2f}")
