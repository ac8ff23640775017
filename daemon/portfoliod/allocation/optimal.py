"""The allocators that optimize, under every rule: slope_std and min_variance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.constrained import Best, Ratio, best_under
from portfoliod.allocation.covariance import ledoit_wolf
from portfoliod.allocation.identical import share_equally
from portfoliod.allocation.limits import Limits, caps
from portfoliod.allocation.log_equity import best_log_equity
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.slope_std import slope_ratio
from portfoliod.allocation.standardise import Standardised, standardise

_BASIS_POINT = 1e-4


def best_slope(
    returns: Floats, names: tuple[str, ...], rules: Rules, limits: Limits, previous: Mapping[str, float] | None
) -> Best:
    """Return the weights that maximise slope/std under the rules; all zero: no portfolio pays for its turnover.

    What is maximised is (slope - cost * sum |w - held|) / std(R w), with cost = `turnover_cost` basis points over
    `turnover_days` days: what changing the weights costs a day, if they stay for so long. The sum is over the
    strategies of the window; without weights in force nothing is charged.

    Raises:
        AllocationError: the ratio has no bound.
    """
    standard = standardise(returns)
    ratio = slope_ratio(standard)
    if rules.covariance == "ledoit_wolf":
        ratio = ratio._replace(standard=ledoit_wolf(standard))
    if previous and rules.turnover_cost > 0.0:
        held = np.array([previous.get(name, 0.0) for name in names])
        ratio = ratio._replace(held=held, cost=rules.turnover_cost * _BASIS_POINT / rules.turnover_days)
    best = best_log_equity(returns, ratio, limits) if rules.objective == "log_equity" else best_under(ratio, limits)
    return best._replace(weights=_equal_for_equals(returns, best.weights, standard, limits, ratio.held))


def least_variance(returns: Floats, rules: Rules, limits: Limits) -> Best:
    """Return the weights with the smallest variance under the rules; the gap is that of 1 / std.

    Raises:
        AllocationError: some mix has no risk at all.
    """
    standard = standardise(returns)
    risky = ledoit_wolf(standard) if rules.covariance == "ledoit_wolf" else standard
    best = best_under(Ratio(risky, np.full(standard.risk.size, float(standard.risk.min()))), limits)
    return best._replace(weights=_equal_for_equals(returns, best.weights, standard, limits, None))


def min_variance(returns: Floats, rules: Rules) -> Floats:
    """Return the N weights with the smallest variance under `rules.max_weight`."""
    count = returns.shape[1]
    if count * rules.max_weight <= 1.0:
        return np.full(count, 1.0 / count)
    return least_variance(returns, rules, caps(count, rules.max_weight)).weights


def _equal_for_equals(
    returns: Floats, weights: Floats, standard: Standardised, limits: Limits, held: Floats | None
) -> Floats:
    """Return the weights with strategies that are alike, in returns, limits and weight in force, sharing equally."""
    facts = [limits.lower, limits.upper, *limits.members] + ([] if held is None else [held])
    return share_equally(np.vstack((returns, *facts)), weights, standard.slopes)
