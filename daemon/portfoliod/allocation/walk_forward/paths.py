"""From weights to what they earn: gross returns, what is traded, leverage and costs."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.walk_forward.decisions import Decisions
from portfoliod.allocation.walk_forward.timeline import Timeline

_BASIS_POINT = 1e-4
_FEW = 4
"""To pick one column costs as much as to multiply so many."""


class Paths(NamedTuple):
    """P portfolios on the E evaluated days, E x P each, before costs."""

    gross: Floats
    """Returns without leverage."""
    traded: Floats
    """Turnover of the weights: sum_i |w_i - w_i of the day before|; the first day buys everything."""
    leverage: Floats
    levered_traded: Floats
    """Turnover of leverage x weights: a share of the account."""

    def net(self, cost_bps: float) -> Floats:
        """Return the returns without leverage, after costs in basis points of what is traded."""
        earned: Floats = self.gross - cost_bps * _BASIS_POINT * self.traded
        return earned

    def levered(self, cost_bps: float) -> Floats:
        """Return the returns of the account: with leverage, after costs in basis points of what is traded."""
        earned: Floats = self.leverage * self.gross - cost_bps * _BASIS_POINT * self.levered_traded
        return earned


class Moments(NamedTuple):
    """Mean and standard deviation, a day, of the decided portfolios in the windows that they came from."""

    mean: Floats
    std: Floats


def decided_paths(line: Timeline, rules: Rules, decisions: Decisions, std: Floats) -> Paths:
    """Return what the decisions would have done (P = 1); `std` is that of `window_moments`."""
    days = line.rows.size
    weights = decisions.on_each_day(decisions.weights, days)
    leverage = decisions.on_each_day(_leverage_in_force(decisions, std, rules), days)
    return Paths(
        np.einsum("ij,ij->i", line.returns[line.rows], weights)[:, None],
        _turnover(weights)[:, None],
        leverage[:, None],
        _turnover(leverage[:, None] * weights)[:, None],
    )


def _turnover(weights: Floats) -> Floats:
    traded: Floats = np.abs(np.diff(weights, axis=0, prepend=0.0)).sum(axis=1)
    return traded


def flat(days: int) -> Floats:
    """Return the weights of a window in which all days count alike."""
    return np.full(days, 1.0 / days)


def volatility_weights(rules: Rules) -> Floats:
    """Return how much each day of the window counts in the volatility behind the leverage (see `volatility`)."""
    days = rules.vol_lookback_days or rules.lookback_days
    if rules.vol_halflife_days is None:
        return flat(days)
    fading = 0.5 ** (np.arange(days - 1, -1, -1) / rules.vol_halflife_days)
    counts: Floats = fading / fading.sum()
    return counts


def deviation(variance: Floats, counts: Floats) -> Floats:
    """Return the standard deviation from the mean of (r - mean)^2 with weights `counts`: with flat ones ddof is 1."""
    left = 1.0 - float(counts @ counts)
    std: Floats = np.sqrt(np.maximum(variance, 0.0) / left) if left > 0.0 else np.zeros_like(variance)
    return std


def window_moments(line: Timeline, decisions: Decisions, counts: Floats) -> Moments:
    """Return what the decided portfolios did in the windows before them, whose days have the weights `counts`."""
    means, variances = np.zeros(decisions.decided.size), np.zeros(decisions.decided.size)
    for row, index in enumerate(decisions.decided.tolist()):
        weights = decisions.weights[row]
        held: Indices = weights.nonzero()[0]
        if held.size:
            window = line.window(index, counts.size)
            few = _FEW * held.size < weights.size
            portfolio = window[:, held] @ weights[held] if few else window @ weights
            mean = counts @ portfolio
            portfolio -= mean
            means[row], variances[row] = mean, counts @ portfolio**2
    return Moments(means, deviation(variances, counts))


def leverage_of(std: Floats, rules: Rules) -> Floats:
    """Return SPEC's leverage for standard deviations of a day: to the target volatility, at most `max_leverage`."""
    annual = np.maximum(std * sqrt(rules.periods_per_year), rules.vol_floor)
    wanted: Floats = np.minimum(rules.max_leverage, rules.target_vol / annual)
    return wanted


def _leverage_in_force(decisions: Decisions, std: Floats, rules: Rules) -> Floats:
    """Return the leverage after each decision, 0 where nothing is held; it stays where the weights stay."""
    found: Floats = np.where(decisions.weights.any(axis=1), leverage_of(std, rules), 0.0)
    newest = np.maximum.accumulate(np.where(decisions.fresh, np.arange(decisions.fresh.size), -1))
    in_force: Floats = np.where(newest >= 0, found[newest], 0.0)
    return in_force
