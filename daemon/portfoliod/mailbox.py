"""A latest-wins set of names: what a task is woken with."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class Mailbox(Generic[Name]):
    """Names that wait to be looked at. Putting one that waits already changes nothing: it never grows beyond them."""

    def __init__(self) -> None:
        self._names: dict[Name, None] = {}
        self._filled = asyncio.Event()

    def put(self, *names: Name) -> None:
        """Add names and wake the reader."""
        self._names.update(dict.fromkeys(names))
        if self._names:
            self._filled.set()

    async def take(self) -> set[Name]:
        """Wait until there is a name, then return all of them and leave the mailbox empty."""
        await self._filled.wait()
        return self.drain()

    def drain(self) -> set[Name]:
        """Return what waits now, perhaps nothing, and leave the mailbox empty."""
        names = set(self._names)
        self._names.clear()
        self._filled.clear()
        return names

    async def settle(self, quiet: float, longest: float) -> set[Name]:
        """Wait for a name, then for `quiet` seconds without a new one, at most `longest`, and return all of them."""
        names = await self.take()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + longest
        while (left := deadline - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(quiet, left)):
                    names |= await self.take()
            except TimeoutError:
                break
        return names | self.drain()
