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
from portfoliod.allocation.unit_rows import UnitRows, unit_rows
from portfoliod.errors import AllocationError

DEAD = 1e-12
"""A standard deviation below this share of the largest absolute return is rounding, not risk."""

MIN_DAYS = 3
"""With fewer days every path is as good as a straight line."""

_TINY = 1e-200
"""Squares below it have lost digits."""


class Standardised(NamedTuple):
    """N strategies over T days, each scaled to one unit of risk.

    With x = risk * weights: slope of the portfolio = slopes @ x, its std = norm(x'paths) / sqrt(T - 1).
    """

    paths: UnitRows
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
def _mean_and_slope(days: int) -> Floats:
    weights = np.column_stack((np.full(days, 1.0 / days), slope_weights(days)))
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
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not ordinary
        means, slopes = (rows @ _mean_and_slope(days)).T
        squares = np.vecdot(rows, rows)
        centred = squares - days * means * means
        # Taking the means away must cost no digits, and squares must fit: they do not where this compares infinities.
        ordinary = (2.0 * centred > squares).all() and centred.min() > _TINY
    if not ordinary:
        return _scaled(rows)
    norms = np.sqrt(centred)
    return Standardised(UnitRows(rows, means, norms), slopes / norms, norms)


def _scaled(rows: Floats) -> Standardised:
    """Return the same for any rows: each is scaled by its largest return, and centred before its norm is taken."""
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
    slopes = np.vecdot(scaled, slope_weights(days))
    paths = scaled - np.vecdot(scaled, _mean_and_slope(days)[:, 0])[:, None]
    norms = np.sqrt(np.vecdot(paths, paths))
    dead = norms <= DEAD * sqrt(days - 1)
    divisors = np.where(dead, np.inf, norms)
    risk = np.where(dead, 0.0, norms * scales)
    return Standardised(unit_rows(paths, divisors), slopes / divisors, risk)
