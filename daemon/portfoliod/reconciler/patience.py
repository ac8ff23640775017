"""How long a market is left alone before it is tried again."""

from __future__ import annotations

import random
import time

LONGEST = 60.0


class Patience:
    """Of one worker: the waits double with every failure in a row."""

    def __init__(self) -> None:
        self.set_back = ""
        """What the last order that moved nothing came to."""
        self._failures = 0
        self._asked = 0
        """How often in a row an order that is on its way was asked for: to wait for it is no failure."""
        self._not_before = 0.0
        """On the monotonic clock."""

    def after_failure(self) -> float:
        """Return how many seconds to wait after another failure in a row."""
        self._failures += 1
        return _doubled(self._failures)

    def before_asking_again(self) -> float:
        """Return how many seconds to wait before an order that is on its way is asked for once more."""
        self._asked += 1
        return _doubled(self._asked)

    def know_the_outcome(self) -> None:
        """Note that an order is on its way no longer."""
        self._asked = 0

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
        self._failures, self._not_before = 0, 0.0


def _doubled(times: int) -> float:
    return min(LONGEST, 0.25 * 2.0 ** min(times, 20)) * random.uniform(0.8, 1.2)  # noqa: S311
