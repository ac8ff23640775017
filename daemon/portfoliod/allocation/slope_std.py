"""The allocation that maximises slope(cumsum(R w)) / std(R w): its global optimum, with a certificate.

In units of risk (see `standardise`) the ratio is q'x / norm(x'Z) over x >= 0: one convex problem, with one optimum.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import EDGE
from portfoliod.allocation.constrained import Ratio, any_edge, best_under
from portfoliod.allocation.identical import share_equally
from portfoliod.allocation.limits import caps
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.standardise import Standardised, slope_weights, standardise


class Optimum(NamedTuple):
    """The best portfolio, with the proof of how good it is."""

    weights: Floats
    """One a strategy, >= 0, sum 1; all zero when no allocation has a positive score."""
    score: float
    """slope(cumsum(R w)) / std(R w), a day; 0.0 without weights."""
    gap: float
    """Upper bound on (best score - score) / score; 0.0 without weights."""


def slope_std(returns: Floats, rules: Rules) -> Floats:
    """Return the N weights of the best score under `rules.max_weight`; all zero when no score is positive."""
    return optimum(returns, rules.max_weight).weights


def optimum(returns: Floats, max_weight: float = 1.0) -> Optimum:
    """Return the weights with the best score, sum 1 and none above `max_weight`, with a certificate.

    When max_weight is so small that N of it do not fill the portfolio, each strategy gets it and the sum is less.
    Strategies without risk (`DEAD`) get nothing.

    Args:
        returns: T x N simple daily returns.
        max_weight: the cap on each weight, in (0, 1].

    Raises:
        AllocationError: T < 3, a value that is not finite, or a ratio without a bound.
    """
    standard = standardise(returns)
    alive = standard.risk > 0.0
    if not alive.all():
        best = optimum(returns[:, alive], max_weight) if alive.any() else _nothing(0)
        weights = np.zeros(alive.size)
        weights[alive] = best.weights
        return best._replace(weights=weights)
    ratio, limits = slope_ratio(standard), caps(alive.size, max_weight)
    if alive.size * max_weight <= 1.0:
        return _all_at_the_cap(returns, max_weight) if any_edge(ratio, limits) else _nothing(alive.size)
    found = best_under(ratio, limits)
    weights = share_equally(returns, found.weights, standard.slopes)
    return Optimum(weights, found.ratio * sqrt(returns.shape[0] - 1), found.gap)


def slope_ratio(standard: Standardised) -> Ratio:
    """Return the ratio of the slope of the cumulative returns to their std."""
    return Ratio(standard, standard.risk * standard.slopes)


def score(returns: Floats, weights: Floats) -> float:
    """Return slope(cumsum(R w)) / std(R w, ddof 1); 0.0 when the portfolio has no risk.

    Args:
        returns: T x N.
        weights: N.
    """
    portfolio = returns @ weights
    largest = float(np.abs(portfolio).max(initial=0.0))
    if largest == 0.0:
        return 0.0
    portfolio = portfolio / largest
    std = float(portfolio.std(ddof=1))
    return float(slope_weights(portfolio.size) @ portfolio) / std if std > EDGE else 0.0


def _nothing(strategies: int) -> Optimum:
    return Optimum(np.zeros(strategies), 0.0, 0.0)


def _all_at_the_cap(returns: Floats, max_weight: float) -> Optimum:
    """Return the only allocation that uses as much of the portfolio as the cap allows."""
    weights = np.full(returns.shape[1], max_weight)
    return Optimum(weights, score(returns, weights), 0.0)
