"""The portfolio whose compounded equity has the steadiest growth: the slope of log equity over the std of its returns.

With c the slope's weights of the days (see `standardise`), the slope of log equity is F(w) = sum c_s log(1 + r_s'w):
concave, so that the ratio to the std is quasi-concave and has one optimum. F lies below each of its tangents, which are
linear: the best ratio of a tangent, which `constrained` finds and proves, bounds the best ratio of all portfolios.

The steps on the way there are Newton's. Extended to y = t w by t F(w), F has the second order of a sum of squares that
is homogeneous in y; added to the variance, it makes the step another problem of `constrained`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.constrained import Best, Ratio, best_under, search
from portfoliod.allocation.limits import Limits
from portfoliod.allocation.standardise import Standardised, slope_weights
from portfoliod.allocation.unit_rows import unit_rows
from portfoliod.errors import AllocationError

_PROVEN = 1e-12
_ROUNDS = 12
_HALVINGS = 30


class _Point(NamedTuple):
    """A portfolio and what the ratio looks like from it."""

    weights: Floats
    portfolio: Floats
    """T returns."""
    net: float
    """The slope of log equity minus the cost of the turnover."""
    norm: float
    """Of the centred path, by the covariance in use."""

    @property
    def ratio(self) -> float:
        return self.net / self.norm if self.norm > 0.0 else 0.0


def best_log_equity(returns: Floats, ratio: Ratio, limits: Limits) -> Best:
    """Return the portfolio within the limits with the best slope of log equity over std.

    Args:
        returns: T x N.
        ratio: the covariance and the cost of turnover; its gains are not read.
        limits: what is allowed.

    Raises:
        AllocationError: a return of -100 % or less has no logarithm.
        Riskless: the ratio has no bound.
    """
    if returns.min() <= -1.0:
        raise AllocationError(
            "a loss of 100 % or more in a day has no logarithm",
            where="optimizer.objective",
            found=f"a daily return of {returns.min():g}",
            mend='correct the stats.json, or set objective = "cumsum"',
        )
    first = best_under(ratio._replace(gains=returns.T @ slope_weights(returns.shape[0])), limits)
    if not first.weights.any():
        return first
    now = _point(returns, ratio, first.weights)
    bound = first.ratio * (1.0 + first.gap)
    for _ in range(_ROUNDS):
        if now.net <= 0.0:
            break
        now = _climb(returns, ratio, limits, now)
        tangent = best_under(_tangent(returns, ratio, now), limits)
        bound = min(bound, tangent.ratio * (1.0 + tangent.gap))
        if bound <= now.ratio * (1.0 + _PROVEN):
            break
        further = _step(returns, ratio, now, tangent.weights)
        if further is None:
            break
        now = further
    if now.net <= 0.0:
        return Best(np.zeros(returns.shape[1]), 0.0, 0.0)
    return Best(now.weights, now.ratio, max(bound / now.ratio - 1.0, 0.0))


def _point(returns: Floats, ratio: Ratio, weights: Floats) -> _Point:
    portfolio = returns @ weights
    held = np.flatnonzero(weights)
    path = ratio.standard.paths.mixed(weights[held] * ratio.standard.risk[held], held)
    cost = 0.0 if ratio.held is None else ratio.cost * float(np.abs(weights - ratio.held).sum())
    net = float(slope_weights(portfolio.size) @ np.log1p(portfolio)) - cost
    return _Point(weights, portfolio, net, float(_norms(path[None, :])[0]))


def _tangent(returns: Floats, ratio: Ratio, now: _Point) -> Ratio:
    """Return the ratio with F's tangent in the numerator."""
    days = slope_weights(now.portfolio.size)
    gains = returns.T @ (days / (1.0 + now.portfolio))
    constant = float(days @ np.log1p(now.portfolio)) - float(gains @ now.weights)
    return ratio._replace(gains=gains, constant=constant)


def _climb(returns: Floats, ratio: Ratio, limits: Limits, now: _Point) -> _Point:
    """Return where Newton's steps end."""
    standard = ratio.standard
    centred = standard.risk[:, None] * standard.paths.dense()
    for _ in range(_ROUNDS):
        days = slope_weights(now.portfolio.size)
        curvature = np.sqrt(days / now.net) * now.norm / (1.0 + now.portfolio)
        rows = np.hstack((centred, curvature * (returns.T - now.portfolio)))
        risk = _norms(rows)
        curved = Standardised(unit_rows(rows, risk), standard.slopes, risk)
        goal = search(_tangent(returns, ratio._replace(standard=curved), now), limits)
        further = _step(returns, ratio, now, goal.weights)
        if further is None:
            return now
        done = further.ratio <= now.ratio * (1.0 + _PROVEN / 10.0)
        now = further
        if done:
            return now
    return now


def _step(returns: Floats, ratio: Ratio, now: _Point, goal: Floats) -> _Point | None:
    """Return a better portfolio on the way to `goal`, None when there is none."""
    if not goal.any():
        return None
    share = 1.0
    for _ in range(_HALVINGS):
        further = _point(returns, ratio, (1.0 - share) * now.weights + share * goal)
        if further.ratio > now.ratio:
            return further
        share /= 2.0
    return None


def _norms(rows: Floats) -> Floats:
    """Return the norms of rows whose squares may be too small or too large for a float."""
    largest = float(np.abs(rows).max()) or 1.0
    scaled = rows / largest
    norms: Floats = largest * np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
    return norms
