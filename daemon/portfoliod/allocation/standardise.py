"""Returns in the units in which the slope/std ratio is easy: one unit of risk a strategy.

The least-squares slope of a cumulative sum is linear in the returns: with days s = 0 ... T-1,

    slope(cumsum(r)) = sum c_s r_s,   c_s = 6 s (T - s) / (T (T^2 - 1)),   c_s >= 0,   sum c_s = 1

which follows from exchanging the two sums in slope = sum (t - mean t) y_t / sum (t - mean t)^2.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.errors import AllocationError

DEAD = 1e-12
"""A standard deviation below this share of the largest absolute return is rounding, not risk."""

MIN_DAYS = 3
"""With fewer days every path is as good as a straight line."""

_EXTREME = 1e100
"""Returns above it, and below its inverse, are scaled first: their squares would not fit."""


class Standardised(NamedTuple):
    """N strategies over T days, each scaled to one unit of risk.

    With x = risk * weights: slope of the portfolio = slopes @ x, its std = norm(x @ paths) / sqrt(T - 1).
    """

    paths: Floats
    """N x T: centred returns of unit norm. Zero for a dead strategy."""
    slopes: Floats
    """N: slope of the cumulative return a unit of risk. Zero for a dead strategy."""
    risk: Floats
    """N: norm of the centred returns. Zero for a dead strategy."""


@lru_cache(maxsize=8)
def slope_weights(days: int) -> Floats:
    """Return the T weights c with slope(cumsum(r)) = c @ r."""
    s = np.arange(days, dtype=np.float64)
    weights: Floats = 6.0 * s * (days - s) / (days * (days * days - 1.0))
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=8)
def _mean_weights(days: int) -> Floats:
    weights = np.full(days, 1.0 / days)
    weights.setflags(write=False)
    return weights


def standardise(returns: Floats) -> Standardised:
    """Return the strategies (columns of `returns`, T x N) in units of their risk.

    Raises:
        AllocationError: fewer than three days, or a value that is not finite.
    """
    days = returns.shape[0]
    if days < MIN_DAYS:
        raise AllocationError(
            f"{days} days are too few for a slope and a volatility",
            found=f"a window of {days} days",
            mend=f"set lookback_days to at least {MIN_DAYS}",
        )
    rows = np.ascontiguousarray(returns.T)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is said below
        means = rows @ _mean_weights(days)
        paths = rows - means[:, None]
        norms = np.sqrt(np.einsum("ij,ij->i", paths, paths))
    at_most = np.abs(means) + norms  # no return is larger
    ordinary = norms.min() > 1.0 / _EXTREME and at_most.max() < _EXTREME
    if not (ordinary and (norms > DEAD * sqrt(days - 1) * at_most).all()):
        return _scaled(rows)
    slopes = rows @ slope_weights(days)
    paths /= norms[:, None]
    return Standardised(paths, slopes / norms, norms)


def _scaled(rows: Floats) -> Standardised:
    """Return the same where rows are dead or their squares do not fit, after scaling each by its largest return."""
    largest = np.abs(rows).max(axis=1)
    if not np.isfinite(largest).all():
        raise AllocationError(
            "a return is not a finite number",
            found=f"column {int(np.flatnonzero(~np.isfinite(largest))[0])} of the returns",
            mend="correct the strategy's stats.json",
        )
    scales = np.where(largest == 0.0, 1.0, largest)
    days = rows.shape[1]
    scaled = rows / scales[:, None]
    paths = scaled - (scaled @ _mean_weights(days))[:, None]
    norms = np.sqrt(np.einsum("ij,ij->i", paths, paths))
    dead = norms <= DEAD * sqrt(days - 1)
    divisors = np.where(dead, np.inf, norms)
    slopes = (scaled @ slope_weights(days)) / divisors
    return Standardised(paths / divisors[:, None], slopes, np.where(dead, 0.0, norms * scales))
