"""How long to wait after failures in a row."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Waits that double with every failure in a row, up to a longest one.

    Whoever retries keeps one, waits for what `after_failure` returns, and calls `reset` after a success.
    """

    def __init__(
        self,
        first: float,
        longest: float = 60.0,
        *,
        jitter: float = 0.2,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Begin without a failure.

        Args:
            first: seconds to wait after the first failure in a row.
            longest: the most seconds to wait, before jitter.
            jitter: the share that a wait is longer or shorter by: those who failed together come back apart.
            uniform: draws a number between two, as `random.uniform` does.
        """
        self.longest = longest
        self._first = self._next = min(first, longest)
        self._jitter = jitter
        self._uniform = uniform

    def after_failure(self, worked_for: float = 0.0) -> float:
        """Return how many seconds to wait after another failure.

        Args:
            worked_for: seconds that it had worked before; after more than `longest` of them a new row begins.
        """
        wait = self._first if worked_for > self.longest else self._next
        self._next = min(2 * wait, self.longest)
        return wait * self._uniform(1 - self._jitter, 1 + self._jitter)

    def reset(self) -> None:
        """Begin a new row: it worked, or what is tried is something else."""
        self._next = self._first
