"""How long a walk-forward takes: the incremental way beside solving each window by itself.

`python -m benchmarks.walk_forward` prints the table. Everything runs in one process, on one thread, and what is counted
is its processor time, so that other processes disturb it less; the calendar, the decisions, the leverage and equal
weight are in it, the random portfolios are not.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read once, when numpy is imported

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import process_time

import numpy as np

from portfoliod.allocation import Rules
from portfoliod.allocation.allocators import allocator
from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.walk_forward import Walk, unseen, walk_forward
from portfoliod.allocation.walk_forward.decisions import Decisions, decide, from_scratch
from portfoliod.allocation.walk_forward.incremental import Incremental
from portfoliod.allocation.walk_forward.timeline import timeline
from portfoliod.model import History

DAYS = 2000
REPEATS = 7
COUNTS = (20, 50, 200, 500)
BARS_MS = {50: 150.0, 200: 300.0}
RULES = Rules(lookback_days=365)


@dataclass(frozen=True)
class Row:
    """One comparison. Times in milliseconds."""

    data: str
    strategies: int
    walk_ms: float
    scratch_ms: float
    fresh: int
    """Windows that the incremental way left to the other."""
    support: float
    """Strategies held, on average."""
    error: float
    """The largest difference of a weight between the two."""


def trend_rules(strategies: int) -> Floats:
    """Return DAYS x strategies returns of trend rules with random lengths on five simulated markets."""
    random = np.random.default_rng(1)
    warm_up = 120
    common = 0.02 * random.standard_normal((DAYS + warm_up, 1))
    markets = common + 0.02 * random.standard_normal((DAYS + warm_up, 5)) + 0.001
    level = markets.cumsum(axis=0)
    columns = []
    for _ in range(strategies):
        market, length = random.integers(5), random.integers(2, warm_up)
        risen = level[length:-1, market] > level[: -length - 1, market]
        long, short = ((1.0, -1.0), (1.0, 0.0), (0.0, -1.0))[random.integers(3)]
        columns.append(np.where(risen, long, short)[-DAYS:] * markets[-DAYS:, market])
    return np.array(columns).T + 0.002 * random.standard_normal((DAYS, strategies))


def unrelated(strategies: int) -> Floats:
    """Return DAYS x strategies returns without any correlation: the optimum holds half of the strategies."""
    random = np.random.default_rng(1)
    return 0.01 * random.standard_normal((DAYS, strategies)) + 0.0005 * random.standard_normal(strategies)


def measure(make: Callable[[int], Floats], strategies: int) -> Row:
    """Return one row."""
    columns = make(strategies).T.tolist()
    days = tuple(range(738_000, 738_000 + DAYS))
    histories = {f"s{number:04d}": History(days, tuple(column)) for number, column in enumerate(columns)}
    before = process_time()
    scratch, _ = _decided(histories, incremental=False)
    scratch_ms = (process_time() - before) * 1e3
    fast, fresh = _decided(histories, incremental=True)
    times = []
    for _ in range(REPEATS):
        before = process_time()
        walk_forward(histories, RULES, Walk(random=0))
        times.append((process_time() - before) * 1e3)
    return Row(
        data=make.__name__,
        strategies=strategies,
        walk_ms=median(times),
        scratch_ms=scratch_ms,
        fresh=fresh,
        support=float((fast.weights > 0.0).sum(axis=1).mean()),
        error=float(np.abs(fast.weights - scratch.weights).max()),
    )


def _decided(histories: Mapping[str, History], *, incremental: bool) -> tuple[Decisions, int]:
    line = timeline(histories, RULES)
    scratch = from_scratch(line, RULES, allocator(RULES.allocator))
    if not incremental:
        return decide(line, RULES, 1, scratch, unseen), 0
    fast = Incremental(line, RULES, scratch)
    return decide(line, RULES, 1, fast, unseen), fast.fresh


def main() -> None:
    """Print the table."""
    print(f"walk-forward over {DAYS} days, lookback {RULES.lookback_days}, decided daily; median of {REPEATS}")
    print(f"{'data':<12} {'N':>4} {'held':>6} {'ms':>7} {'asked for':>9} {'scratch ms':>11} {'fresh':>6} {'error':>8}")
    for make in (trend_rules, unrelated):
        for count in COUNTS:
            row = measure(make, count)
            bar = f"{BARS_MS[count]:.0f}" if count in BARS_MS else ""
            print(
                f"{row.data:<12} {row.strategies:>4} {row.support:>6.1f} {row.walk_ms:>7.0f} {bar:>9} "
                f"{row.scratch_ms:>11.0f} {row.fresh:>6} {row.error:>8.0e}"
            )


if __name__ == "__main__":
    main()
