"""The exact slope/std optimum beside what else finds it: SLSQP, PyPortfolioOpt, skfolio and Riskfolio-Lib.

`make bench-allocation` prints the tables of benchmarks/README.md; CANDLES=DIR adds strategies on recorded candles. All
get the same slopes b and covariance, and run in one process on one thread. What is compared is processor time, which
other processes disturb less; each ratio is that of two medians.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read once, when the libraries are imported
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

import argparse
import importlib.metadata
import platform
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from benchmarks.solver import STARTS, slsqp, trend_followers
from portfoliod.allocation import Group, Rules, Window, optimum, score, weigh
from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.standardise import slope_weights
from portfoliod.prices.candles import read_candles

COUNTS = (5, 20, 100, 500, 1000)
REPEATS = {5: 400, 20: 400, 100: 200, 500: 30, 1000: 20}
PEER_REPEATS = {5: 5, 20: 5, 100: 5, 500: 1, 1000: 1}
SLSQP_STARTS = {5: STARTS, 20: STARTS, 100: STARTS, 500: 1}
"""Fewer starts are extrapolated; with 1000 strategies even one takes minutes."""

Peer = Callable[[Floats, Floats, Floats], Callable[[], Floats]]
"""(returns, slopes, covariance) -> a call that returns the weights."""


def pyportfolioopt(_returns: Floats, slopes: Floats, covariance: Floats) -> Callable[[], Floats]:
    """Return PyPortfolioOpt's max_sharpe, with its own default solver."""
    from pypfopt import EfficientFrontier

    def solve() -> Floats:
        frontier = EfficientFrontier(slopes, covariance, weight_bounds=(0, 1))
        frontier.max_sharpe(risk_free_rate=0.0)
        return np.asarray(frontier.weights)

    return solve


def skfolio(returns: Floats, slopes: Floats, covariance: Floats) -> Callable[[], Floats]:
    """Return skfolio's MeanRisk with the ratio as its objective."""
    from skfolio.optimization import MeanRisk, ObjectiveFunction
    from skfolio.prior import BasePrior, ReturnDistribution

    class Given(BasePrior):  # type: ignore[misc]
        """Slopes and covariance as they are."""

        def __init__(self) -> None:
            """Take no parameters, as its interface wants to be told."""

        def fit(self, X: Any, y: Any = None, **_: Any) -> Given:  # noqa: ARG002, N803 -- its interface
            self.return_distribution_ = ReturnDistribution(mu=slopes, covariance=covariance, returns=np.asarray(X))
            return self

    def solve() -> Floats:
        model = MeanRisk(objective_function=ObjectiveFunction.MAXIMIZE_RATIO, prior_estimator=Given())
        model.fit(returns)
        return np.asarray(model.weights_)

    return solve


def riskfolio(returns: Floats, slopes: Floats, covariance: Floats) -> Callable[[], Floats]:
    """Return Riskfolio-Lib's largest Sharpe ratio."""
    import pandas as pd
    import riskfolio as rp

    names = [f"s{number:04d}" for number in range(slopes.size)]
    frame = pd.DataFrame(returns, columns=names)

    def solve() -> Floats:
        portfolio = rp.Portfolio(returns=frame)
        portfolio.mu = pd.DataFrame([slopes], columns=names)
        portfolio.cov = pd.DataFrame(covariance, columns=names, index=names)
        found = portfolio.optimization(model="Classic", rm="MV", obj="Sharpe", rf=0, hist=True)
        weights: Floats = found.to_numpy().ravel()
        return weights

    return solve


PEERS: dict[str, tuple[str, Peer]] = {
    "PyPortfolioOpt": ("pyportfolioopt", pyportfolioopt),
    "skfolio": ("skfolio", skfolio),
    "Riskfolio-Lib": ("riskfolio-lib", riskfolio),
}


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median processor time of a call."""
    times = []
    for _ in range(repeats):
        before = process_time()
        call()
        times.append(process_time() - before)
    return median(times) * 1e3


def of_slsqp(returns: Floats, exact_ms: float, best: float) -> str:
    """Return the cell of SLSQP from 11 starts with np.polyfit in the objective: what the exact optimum replaces."""
    starts = SLSQP_STARTS.get(returns.shape[1])
    if starts is None:
        return "not run"
    before = process_time()
    reached = slsqp(returns, starts)
    taken = (process_time() - before) * 1e3 * STARTS / starts
    return _cell(taken, exact_ms, 1.0 - reached / best) + ("" if starts == STARTS else " *")


def of_peer(make: Peer, returns: Floats, exact_ms: float, best: float) -> str:
    """Return the cell of a library: its time, how many times longer that is, and by what share its score is worse."""
    slopes = slope_weights(len(returns)) @ returns
    try:
        solve = make(returns, slopes, np.cov(returns.T))
        weights = np.maximum(solve(), 0.0)
        taken = milliseconds(solve, PEER_REPEATS[returns.shape[1]])
    except Exception as error:  # noqa: BLE001 -- a library that gives up is a result too
        return f"fails: {type(error).__name__}"
    return _cell(taken, exact_ms, 1.0 - score(returns, weights) / best)


def _cell(taken: float, exact_ms: float, missed: float) -> str:
    missing = "" if missed < 1e-6 else f", {missed:.0e} worse"
    return f"{taken:,.0f} ms ({taken / exact_ms:,.0f}x{missing})"


def _share(gap: float) -> str:
    return f"{gap:.0e}" if gap > 0.0 else "0"


def constrained(returns: Floats) -> list[str]:
    """Return the cells of the exact optimum under a cap, and under every other rule."""
    count = returns.shape[1]
    names = tuple(f"{'ab'[number % 2]}{number:04d}" for number in range(count))
    frame = Window(names, 0, returns, {})
    held = dict.fromkeys(names, 1.0 / count)
    cap = max(0.1, 1.5 / count)
    choices = (
        Rules(bounds={names[0]: (0.01, 0.3), names[1]: (0.0, 0.05)}),
        Rules(groups={"a": Group(("a*",), max=0.4)}),
        Rules(turnover_cost=5.0),
        Rules(covariance="ledoit_wolf"),
        Rules(objective="log_equity"),
        Rules(allocator="min_variance"),
    )
    cells = []
    repeats = 20 if count <= 100 else 3
    for rules in choices:
        gap = weigh(frame, rules, held).gap
        taken = milliseconds(partial(weigh, frame, rules, held), repeats)
        cells.append(f"{taken:.2f} ({_share(gap)})")
    capped_ms = milliseconds(partial(optimum, returns, cap), REPEATS[count])
    return [f"{capped_ms:.2f} ({_share(optimum(returns, cap).gap)})", *cells]


def on_candles(folder: Path, strategies: int) -> Floats:
    """Return daily returns of trend rules with random lengths on recorded hourly candles."""
    random = np.random.default_rng(1)
    markets = [np.log(read_candles(path).close) for path in sorted(folder.glob("*-1h.csv*"))]
    hours = min(len(market) for market in markets) // 24 * 24
    columns = []
    for _ in range(strategies):
        level = markets[random.integers(len(markets))][-hours:]
        length, side = int(random.integers(6, 24 * 30)), random.choice([-1.0, 0.0, 1.0])
        trend = np.sign(level[length:] - level[:-length])
        position = np.concatenate((np.zeros(length), trend if side == 0.0 else side * np.maximum(side * trend, 0.0)))
        hourly = position[:-1] * np.expm1(np.diff(level))
        columns.append(np.append(0.0, hourly).reshape(-1, 24).sum(axis=1)[-365:])
    return np.array(columns).T


def row(data: str, returns: Floats) -> str:
    """Return one row of the first table."""
    count = returns.shape[1]
    best = optimum(returns)
    exact_ms = milliseconds(lambda: optimum(returns), REPEATS[count])
    cells = [of_slsqp(returns, exact_ms, best.score)]
    cells += [of_peer(make, returns, exact_ms, best.score) for _, make in PEERS.values()]
    return f"| {data} | {count} | {exact_ms:.3f} ms | {_share(best.gap)} | {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candles", type=Path, help="a folder with SYMBOL-1h.csv.gz files")
    parser.add_argument("--counts", type=int, nargs="+", choices=COUNTS, default=COUNTS, help="numbers of strategies")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # the libraries deprecate each other
    versions = {name: importlib.metadata.version(package) for name, (package, _) in PEERS.items()}
    versions |= {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "cvxpy")}
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(f"{os.cpu_count()} cores, {_processor()}; Python {platform.python_version()}, {said}\n")
    counts = asked.counts
    print(f"| data | N | exact | gap | SLSQP, {STARTS} starts | {' | '.join(PEERS)} |")
    print("|---|---|---|---|---|---|---|---|")
    for count in counts:
        print(row("trend rules", trend_followers(count)), flush=True)
    if asked.candles is not None:
        for count in counts:
            print(row("trend rules on candles", on_candles(asked.candles, count)), flush=True)
    print("\n| N | max_weight | bounds | a group | turnover | Ledoit-Wolf | log equity | min_variance |")
    print("|---|---|---|---|---|---|---|---|")
    for count in counts:
        print(f"| {count} | {' | '.join(constrained(trend_followers(count)))} |", flush=True)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
