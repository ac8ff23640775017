"""How long a market is left alone before it is tried again."""

from __future__ import annotations

import time

from portfoliod.backoff import Backoff

FIRST = 0.5
"""Seconds."""


class Patience:
    """Of one worker: the waits double with every failure in a row."""

    def __init__(self) -> None:
        self.set_back = ""
        """What the last order that moved nothing came to."""
        self._failures = Backoff(FIRST)
        self._asking = Backoff(FIRST)
        """For an order that is on its way: to wait for it is no failure."""
        self._not_before = 0.0
        """On the monotonic clock."""

    def after_failure(self) -> float:
        """Return how many seconds to wait after another failure in a row."""
        return self._failures.after_failure()

    def before_asking_again(self) -> float:
        """Return how many seconds to wait before an order that is on its way is asked for once more."""
        return self._asking.after_failure()

    def know_the_outcome(self) -> None:
        """Note that an order is on its way no longer."""
        self._asking.reset()

    def hold_orders_back(self, reason: str) -> float:
        """Let the next order wait as after a failure, and return for how many seconds."""
        wait = self.after_failure()
        self.set_back, self._not_before = reason, time.monotonic() + wait
        return wait

    def before_an_order(self) -> float:
        """Return how many seconds are left until the next order may be sent; not above 0 where it may."""
        return self._not_before - time.monotonic()

    def forget(self) -> None:
        """Begin anew: the market is in step, or its target is another one."""
        self._failures.reset()
        self._not_before = 0.0
