"""The allocation that maximises slope(cumsum(R w)) / std(R w): its global optimum, with a certificate.

In units of risk (see `standardise`) the ratio is q'x / norm(x'Z) over x >= 0: one convex problem, with one optimum.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import Candidate, Riskless, Solver
from portfoliod.allocation.capped import Problem, best_capped_mix, corner
from portfoliod.allocation.identical import share_equally
from portfoliod.allocation.nonnegative import nonnegative, nonnegative_by_scipy
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.standardise import Standardised, slope_weights, standardise
from portfoliod.allocation.uncapped import best_mix

ENOUGH = 1e-9
"""A larger certified gap is tried again by scipy."""

EDGE = 1e-12
"""A slope below this share of its risk is rounding, not an edge."""


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
    if not has_edge(standard, max_weight):
        return _nothing(alive.size)
    if alive.size * max_weight <= 1.0:
        return _all_at_the_cap(returns, max_weight)
    found = _solve(standard, max_weight, nonnegative)
    if found.gap > ENOUGH:
        found = _better(found, standard, max_weight)
    weights = share_equally(returns, _weights(found, standard.risk, max_weight), standard.slopes)
    return Optimum(weights, found.ratio * sqrt(returns.shape[0] - 1), found.gap)


def has_edge(standard: Standardised, max_weight: float) -> bool:
    """Return whether any allocation under the cap has a positive score: then the one with the largest slope does."""
    if max_weight >= 1.0:
        return bool(standard.slopes.max() > EDGE)
    risk = standard.risk / standard.risk.max()
    steepest = corner(risk * standard.slopes, max_weight) * risk
    return bool(steepest @ standard.slopes > EDGE * steepest.sum())


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


def _solve(standard: Standardised, max_weight: float, solver: Solver) -> Candidate:
    if max_weight >= 1.0:
        return best_mix(standard.paths, standard.slopes, solver)
    risk = standard.risk / standard.risk.max()
    return best_capped_mix(Problem(standard.paths, standard.slopes, risk, max_weight, solver))


def _better(found: Candidate, standard: Standardised, max_weight: float) -> Candidate:
    """Return what scipy finds, if that is proven to be better."""
    try:
        other = _solve(standard, max_weight, nonnegative_by_scipy)
    except Riskless:
        return found
    return min(found, other, key=lambda candidate: candidate.gap)


def _weights(candidate: Candidate, risk: Floats, max_weight: float) -> Floats:
    support, values = candidate.mix
    risks = risk[support]
    shares = values * (risks.min() / risks)
    weights = np.zeros(risk.size)
    weights[support] = shares / shares.sum()
    return np.minimum(weights, max_weight) if max_weight < 1.0 else weights
