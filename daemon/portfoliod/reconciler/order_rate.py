"""How many orders were sent in the last minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

MINUTE = 60.0
"""Seconds."""


class OrderRate:
    """Counts over all markets; what a process before this one sent counts too."""

    def __init__(self, sent_at: Iterable[float]) -> None:
        """Begin with orders that were sent before, given in epoch seconds, oldest first."""
        now, started = time.time(), time.monotonic()
        self._sent = deque(started - max(0.0, now - at) for at in sent_at)

    def count(self) -> None:
        """Count an order that is sent now."""
        self._sent.append(time.monotonic())

    def last_minute(self) -> int:
        """Return how many orders were sent in the last 60 seconds."""
        while self._sent and self._sent[0] < time.monotonic() - MINUTE:
            self._sent.popleft()
        return len(self._sent)
