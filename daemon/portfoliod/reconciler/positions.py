"""When a market's position was read, and what has happened to it since."""

from __future__ import annotations

import time

from portfoliod.step.decide import FIRST_RE_READ, LONGEST_RE_READ


class PositionClock:
    """Knows when what was read of a market's position is old. Times are on the monotonic clock."""

    def __init__(self) -> None:
        self.version = 0
        """Grows when the position moves: what was read before is obsolete."""
        self.newer_than = time.monotonic()
        """When a snapshot has to be made at the earliest."""
        self.needs_snapshot = True
        """Whether only a snapshot will do, whatever a stream says."""
        self._filled_at = time.monotonic()
        """When an own order last filled, as far as is known: at a start perhaps a moment ago."""
        self._re_reads = 0
        self._untold_since: float | None = None
        """Since when the venue counts fills of an order that had ended, and does not tell them."""

    def moved(self) -> None:
        """Note that the position moved."""
        self.version += 1
        self.newer_than = time.monotonic()

    def filled(self) -> None:
        """Note that an order of ours moved the position."""
        self._filled_at = time.monotonic()
        self.moved()

    def expire(self) -> None:
        """Let the next read be of a snapshot that is made from now on."""
        self.newer_than = time.monotonic()
        self.needs_snapshot = True

    def since_fill(self) -> float:
        """Return how many seconds ago an order of ours filled."""
        return time.monotonic() - self._filled_at

    def before_re_read(self) -> float:
        """Return how many seconds to wait until a snapshot is read once more; the waits double."""
        self.expire()
        wait = min(LONGEST_RE_READ, FIRST_RE_READ * 2.0 ** min(self._re_reads, 10))
        self._re_reads += 1
        return wait

    def explained(self) -> None:
        """Note that the position is what our fills explain."""
        self._re_reads = 0

    @property
    def fills_missing(self) -> bool:
        """Whether the venue counts fills that it has not told."""
        return self._untold_since is not None

    def wait_for_fills(self, grace: float, *, all_told: bool) -> bool:
        """Return whether fills that the venue counts may still be told, for `grace` seconds from the first time on."""
        if all_told:
            self._untold_since = None
            return False
        now = time.monotonic()
        self._untold_since = self._untold_since or now
        return now - self._untold_since < grace
