"""Many strategies that publish at random: positions all the time, statistics now and then."""

from __future__ import annotations

import heapq
import random
import time

from tests.faults.world import BASES, symbol
from tests.harness.workspace import Files, noisy_returns

POSITIONS = (-1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 1.0, 2.0)


class Crowd:
    """The strategies `crowd_000`, `crowd_001`…, spread over the markets."""

    def __init__(self, files: Files, size: int, seed: int, *, state_seconds: float, stats_seconds: float) -> None:
        self.published = 0
        self._files = files
        self._chance = random.Random(seed)
        self._state_seconds = state_seconds
        self._stats_seconds = stats_seconds
        self._names = [f"crowd_{number:03d}" for number in range(size)]
        self._due: list[tuple[float, str]] = []
        self._stats_due = 0.0

    def begin(self) -> None:
        """Publish everything once, and plan when each strategy publishes next."""
        now = time.monotonic()
        for number, name in enumerate(self._names):
            self._files.stats(name, noisy_returns(number, days=120))
            self._publish_state(name)
            heapq.heappush(self._due, (now + self._chance.expovariate(1 / self._state_seconds), name))
        self._stats_due = now + self._stats_seconds

    def publish(self) -> None:
        """Publish what is due by now."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, name = heapq.heappop(self._due)
            self._publish_state(name)
            heapq.heappush(self._due, (now + self._chance.expovariate(1 / self._state_seconds), name))
        if self._stats_due <= now:
            self._files.stats(self._chance.choice(self._names), noisy_returns(self._chance.randrange(10**6), days=120))
            self._stats_due = now + self._chance.expovariate(1 / self._stats_seconds)

    def _publish_state(self, name: str) -> None:
        base = BASES[self._names.index(name) % len(BASES)]
        self._files.state(name, self._chance.choice(POSITIONS), symbol=symbol(base))
        self.published += 1
