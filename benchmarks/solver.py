"""How long the exact slope/std optimum takes, beside what it replaces: SLSQP from many starts.

`python -m benchmarks.solver` prints the table. Both run in one process, on one thread: times depend on the machine and
on what else runs there, their ratio hardly does.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read once, when numpy is imported

from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
from scipy.optimize import minimize

from portfoliod.allocation import optimum
from portfoliod.allocation.arrays import Floats

DAYS = 365
STARTS = 11
REPEATS = 200
COUNTS = (20, 100, 500)
SLOW = 500
"""From this many strategies on SLSQP runs from one start only, and its time is multiplied by STARTS."""


@dataclass(frozen=True)
class Row:
    """One comparison. Times in milliseconds."""

    data: str
    strategies: int
    exact_ms: float
    gap: float
    slsqp_ms: float
    slsqp_extrapolated: bool
    slsqp_missed: float
    """By what share the best score of SLSQP stays below the exact one."""

    @property
    def ratio(self) -> float:
        """How many times faster the exact optimum is."""
        return self.slsqp_ms / self.exact_ms


def trend_followers(strategies: int, seed: int = 1) -> Floats:
    """Return daily returns (DAYS x strategies) of trend rules with random parameters on five simulated markets."""
    random = np.random.default_rng(seed)
    warm_up = 120
    shape = (DAYS + warm_up, 5)
    markets = 0.02 * random.standard_normal((shape[0], 1)) + 0.02 * random.standard_normal(shape) + 0.001
    prices = np.cumsum(markets, axis=0)
    columns = []
    for _ in range(strategies):
        market, lookback, side = random.integers(5), random.integers(2, warm_up), random.choice([-1.0, 0.0, 1.0])
        trend = np.sign(prices[lookback:-1, market] - prices[: -1 - lookback, market])[-DAYS:]
        position = trend if side == 0.0 else side * np.maximum(side * trend, 0.0)
        columns.append(position * markets[-DAYS:, market] + 0.002 * random.standard_normal(DAYS))
    return np.array(columns).T


def independent(strategies: int, seed: int = 1) -> Floats:
    """Return daily returns (DAYS x strategies) without any correlation: the optimum holds half of the strategies."""
    random = np.random.default_rng(seed)
    return (0.01 * random.standard_normal((strategies, DAYS)) + 0.0005 * random.standard_normal((strategies, 1))).T


def slsqp(returns: Floats, starts: int) -> float:
    """Return the best score that SLSQP finds with the slope fitted by np.polyfit in the objective."""
    count = returns.shape[1]
    days = np.arange(returns.shape[0])

    def negative_score(weights: Floats) -> float:
        portfolio = returns @ weights
        return -float(np.polyfit(days, np.cumsum(portfolio), 1)[0] / portfolio.std(ddof=1))

    def cash(weights: Floats) -> float:
        return 1.0 - float(weights.sum())

    random = np.random.default_rng(0)
    first = [np.full(count, 1.0 / count), *random.dirichlet(np.ones(count), starts - 1)]
    found = [
        minimize(
            negative_score,
            start,
            method="SLSQP",
            bounds=[(0.0, 1.0)] * count,
            constraints={"type": "eq", "fun": cash},
        )
        for start in first[:starts]
    ]
    return -min(float(result.fun) for result in found)


def measure(counts: tuple[int, ...] = COUNTS) -> list[Row]:
    """Return one row for each kind of data and number of strategies."""
    return [_row(make.__name__, make(count)) for make in (trend_followers, independent) for count in counts]


def _row(data: str, returns: Floats) -> Row:
    best = optimum(returns)
    times = []
    for _ in range(REPEATS if returns.shape[1] < SLOW else REPEATS // 10):
        before = perf_counter()
        optimum(returns)
        times.append(perf_counter() - before)
    starts = STARTS if returns.shape[1] < SLOW else 1
    before = perf_counter()
    reached = slsqp(returns, starts)
    taken = (perf_counter() - before) * STARTS / starts
    return Row(
        data=data,
        strategies=returns.shape[1],
        exact_ms=median(times) * 1e3,
        gap=best.gap,
        slsqp_ms=taken * 1e3,
        slsqp_extrapolated=starts != STARTS,
        slsqp_missed=1.0 - reached / best.score,
    )


def main() -> None:
    """Print the table."""
    print(f"slope/std optimum over {DAYS} days, one thread; SLSQP: {STARTS} starts, np.polyfit in the objective")
    print(f"{'data':<16} {'N':>4} {'exact ms':>9} {'gap':>8} {'SLSQP ms':>10} {'ratio':>8} {'SLSQP misses':>13}")
    for row in measure():
        mark = "*" if row.slsqp_extrapolated else " "
        print(
            f"{row.data:<16} {row.strategies:>4} {row.exact_ms:>9.3f} {row.gap:>8.0e} {row.slsqp_ms:>9.0f}{mark}"
            f" {row.ratio:>8,.0f} {row.slsqp_missed:>13.1e}"
        )
    print(f"* one start, times {STARTS}")


if __name__ == "__main__":
    main()
