"""Reductions go before additions: those that were decided together wait for each other, not for long."""

from __future__ import annotations

import asyncio

from portfoliod.model import Key

LONGEST = 5.0
"""Seconds for which additions wait for the reductions that were decided with them."""


class Reductions:
    """The markets of each venue that are about to be reduced."""

    def __init__(self) -> None:
        self._due: dict[str, set[Key]] = {}
        self._fewer = asyncio.Condition()

    def announce(self, key: Key) -> None:
        """Let additions on a key's venue wait until the key was looked at."""
        self._due.setdefault(key.venue, set()).add(key)

    async def done(self, key: Key) -> None:
        """Let additions go on, as far as this key is concerned."""
        due = self._due.get(key.venue, set())
        if key in due:
            due.discard(key)
            async with self._fewer:
                self._fewer.notify_all()

    def others(self, key: Key) -> bool:
        """Return whether reductions of other keys on the same venue are due."""
        return bool(self._due.get(key.venue, set()) - {key})

    async def wait(self, key: Key) -> None:
        """Wait for the reductions of other keys on the same venue; after a while they count as done."""
        try:
            async with asyncio.timeout(LONGEST), self._fewer:
                await self._fewer.wait_for(lambda: not self.others(key))
        except TimeoutError:
            self._due[key.venue].clear()
