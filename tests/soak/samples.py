"""What a process uses, read from /proc, and whether a series of samples grows."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from scipy import stats

CONFIDENCE = 0.95


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the daemon."""

    at: float
    """Seconds since the soak began."""
    resident: float
    """MiB."""
    descriptors: int
    threads: int
    tasks: int | None
    journal: float
    """MiB, its write-ahead log included."""
    unresolved: int
    """Intents whose outcome is not known."""


class Slope(msgspec.Struct, frozen=True):
    """How fast a series grows, an hour: the Theil-Sen estimate and its confidence interval."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:+.2f} an hour, {CONFIDENCE:.0%} between {self.low:+.2f} and {self.high:+.2f}"


def measure(pid: int, root: Path, began: float, tasks: int | None, unresolved: int) -> Sample:
    """Return a sample of a running process.

    Raises:
        OSError: it has ended.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    files = ("journal.db", "journal.db-wal")
    return Sample(
        at=time.monotonic() - began,
        resident=_number(status, "VmRSS") / 1024,
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),
        threads=_number(status, "Threads"),
        tasks=tasks,
        journal=sum(path.stat().st_size for path in (root / "var" / name for name in files) if path.exists()) / 2**20,
        unresolved=unresolved,
    )


def after_warm_up(samples: Sequence[Sample], share: float = 1 / 3) -> list[Sample]:
    """Return the samples after the first part of the time, in which caches fill."""
    if not samples:
        return []
    start = samples[-1].at * share
    return [sample for sample in samples if sample.at >= start]


def slope(times: Iterable[float], values: Iterable[float]) -> Slope:
    """Return the slope of values over times in seconds. Minima of stretches: what is needed, not what is in use."""
    at, value = np.array(list(times)), np.array(list(values), dtype=float)
    lowest = [part[np.argmin(value[part])] for part in np.array_split(np.arange(len(at)), min(len(at), 40))]
    found = stats.theilslopes(value[lowest], at[lowest] / 3600, CONFIDENCE)
    return Slope(float(found.slope), float(found.low_slope), float(found.high_slope))


def _number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0
