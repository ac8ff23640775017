"""The accounts as a whole, looked at after every resync: are they what they were, what are they worth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

from portfoliod.errors import JournalFailed, VenueError
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.drawdown import Drawdown


class Accounts:
    """Verifies the venues and reads their equity, all of them at once."""

    def __init__(self, desk: Desk, recovered: Callable[[str], None]) -> None:
        self._desk = desk
        self._recovered = recovered
        """Called with a venue's name when a stop of it, or a doubt about its equity, has ended."""
        self._drawdown = Drawdown(desk)

    async def look(self) -> None:
        """Look at every account once; one that does not answer keeps no other from being looked at."""
        connections = self._desk.connections.values()
        told: dict[str, Decimal | None] = {}
        await asyncio.gather(
            *(self._verify(connection) for connection in connections),
            *(self._read_equity(connection, told) for connection in connections),
        )
        try:
            await self._drawdown.look(told)
        except JournalFailed as error:
            self._desk.halt.journal_failed(error)

    async def _verify(self, connection: Connection) -> None:
        if not connection.linked or connection.pause() > 0:
            return
        try:
            if await connection.verify():
                self._recovered(connection.venue.name)
        except VenueError as error:
            self._desk.venue_failed(connection, error)

    async def _read_equity(self, connection: Connection, told: dict[str, Decimal | None]) -> None:
        """Read a venue's equity and note what it told."""
        if not connection.known or connection.pause() > 0:
            return
        doubted = connection.doubt is not None
        try:
            await self._desk.capital.read(connection, self._desk.policy)
        except VenueError as error:
            self._desk.venue_failed(connection, error)
        except JournalFailed as error:
            self._desk.halt.journal_failed(error)
        else:
            told[connection.venue.name] = connection.equity
            if doubted and connection.doubt is None:
                self._recovered(connection.venue.name)
