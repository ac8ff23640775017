"""How fast a venue may be asked, and who goes first when that is not fast enough.

ccxt's own limiter is one queue: an order waits behind whatever was asked before it. Here each request is urgent to a
degree, and the less urgent may use only a part of the budget, so that something is always left for the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from enum import Enum
from typing import Any

LONGEST_WINDOW = 10.0
SHORTEST_WINDOW = 2.0
"""Seconds of budget that may be spent at once."""


class Urgency(Enum):
    """Why a request is made."""

    READ = "read"
    ORDER = "order"
    REDUCTION = "reduction"
    """A reduction, a cancellation."""


SHARES: Mapping[Urgency, float] = {Urgency.READ: 0.6, Urgency.ORDER: 0.85, Urgency.REDUCTION: 1.0}
"""Up to which share of the budget each may go."""

_urgency: ContextVar[Urgency] = ContextVar("urgency", default=Urgency.READ)


@contextlib.contextmanager
def urgent(urgency: Urgency) -> Iterator[None]:
    """Let the requests of this block be as urgent as this."""
    token = _urgency.set(urgency)
    try:
        yield
    finally:
        _urgency.reset(token)


class Budget:
    """A bucket that leaks at the venue's rate: each request pours its cost in, and waits while its share is full."""

    def __init__(self, rate: float, capacity: float) -> None:
        self._rate = rate
        self._capacity = capacity
        self._level = 0.0
        self._at = time.monotonic()
        self._turns = {urgency: asyncio.Lock() for urgency in Urgency}
        """Those who are equally urgent go in turn: else cheap requests would keep an expensive one out for ever."""

    async def take(self, cost: float | None = None) -> None:
        """Return when a request of this cost may go out. It is ccxt's `throttle`."""
        urgency = _urgency.get()
        share = SHARES[urgency] * self._capacity
        wanted = 1.0 if cost is None else cost
        async with self._turns[urgency]:
            while True:
                over = self._level_now() + wanted - max(share, wanted)
                if over <= 0:
                    self._level += wanted
                    return
                await asyncio.sleep(over / self._rate)

    def _level_now(self) -> float:
        now = time.monotonic()
        self._level = max(0.0, self._level - (now - self._at) * self._rate)
        self._at = now
        return self._level


def budget_of(client: Any) -> Budget:
    """Return the budget that ccxt's figures for an exchange give: costs a second, and how many at once."""
    rate = 1000.0 / max(float(client.rateLimit), 0.001)
    window = float(client.rollingWindowSize or 0) / 1000
    return Budget(rate, rate * min(max(window, SHORTEST_WINDOW), LONGEST_WINDOW))
