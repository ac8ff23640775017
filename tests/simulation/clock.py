"""Virtual time: a clock that jumps to the next thing that happens, and an event loop that lives on it.

What happens in the world (requests on their way, fills, prices, people) is kept apart from the loop, since it goes on
when the daemon's loop died.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import selectors
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

EPOCH = 1_700_000_000.0
"""What the wall's clock shows when the virtual one starts."""
START = 1_000.0
SHORTEST, LONGEST = 0.0002, 0.03
"""Seconds that a piece of work in a thread takes, mostly; now and then ten times as long."""


class Killed(BaseException):
    """The daemon's process is gone: nothing of it runs any more, not even what cleans up."""


class Clock:
    """The time, and what is going to happen."""

    def __init__(self) -> None:
        self.now = START
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def wall(self) -> float:
        """Return epoch seconds."""
        return EPOCH + self.now

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return self.now

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Let something happen in a while."""
        self._number += 1
        heapq.heappush(self._coming, (self.now + seconds, self._number, happens))

    def advance(self, until: float) -> bool:
        """Jump to the next thing that happens, let it happen and return True; or to `until` if that comes first."""
        if not self._coming or self._coming[0][0] > until:
            self.now = max(self.now, until)
            return False
        at, _, happens = heapq.heappop(self._coming)
        self.now = max(self.now, at)
        happens()
        return True

    def pass_by(self, seconds: float) -> None:
        """Let time pass without a daemon."""
        until = self.now + seconds
        while self.advance(until):
            pass


class _Selector(selectors.SelectSelector):
    """Where the loop would wait for sockets, the clock moves on instead."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.killed = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.killed:
            raise Killed
        if timeout is None or timeout > 0:
            self.clock.advance(self.clock.now + (3600.0 if timeout is None else timeout))
        if self.killed:
            raise Killed
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock, whose threads are pieces of work that take some time and never overlap."""

    def __init__(self, clock: Clock, chance: random.Random) -> None:
        self._virtual = _Selector(clock)
        super().__init__(self._virtual)
        self._chance = chance
        self.passing: Callable[[str], bool] = lambda _: False
        """Asked at each place where a process can die; True: it dies there."""

    def time(self) -> float:
        """Return virtual seconds."""
        return self._virtual.clock.now

    def kill(self) -> None:
        """Let nothing run any more: the loop stops where it is, as if the process were gone."""
        for handle in self._ready:  # type: ignore[attr-defined]
            handle.cancel()
        self._virtual.killed = True

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Result], *args: Any
    ) -> asyncio.Future[Result]:
        """Do a piece of work at some moment while its caller waits; a kill may come before it or after it."""
        done: asyncio.Future[Result] = self.create_future()
        name = f"thread {getattr(func, '__name__', 'work')}" if executor is not None else ""
        before, after = self._takes(), self._takes()

        def work() -> None:
            if name and self.passing(f"{name}: before"):
                return
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - it belongs to who waits
                self.call_later(after, _give, done.set_exception, error)
                return
            if name and self.passing(f"{name}: after"):
                return
            self.call_later(after, _give, done.set_result, result)

        def _give(give: Callable[[Any], None], what: object) -> None:
            if not done.done():
                give(what)

        self.call_later(before, work)
        return done

    def _takes(self) -> float:
        seconds = self._chance.uniform(SHORTEST, LONGEST) / 2
        return seconds * 10 if self._chance.random() < 0.02 else seconds
