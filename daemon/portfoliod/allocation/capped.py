"""The mix of strategies with the best slope/std ratio when none may have more than `max_weight`.

Every allowed portfolio is a non-negative mix of corners of the capped simplex: as many strategies as fit at the cap, the
rest on one more. So this is again the problem of `nonnegative`, with portfolios in the place of strategies. A corner
that improves the mix joins until there is none; the one with the steepest gain is found by sorting. That makes the
search exact. What makes it short: the best portfolio with the same strategies at the cap takes over when it is better.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import Candidate, Riskless, Solver
from portfoliod.allocation.certificate import rounding
from portfoliod.allocation.nonnegative import NOTHING, RISKLESS

_ROUNDS = 1000
_PROVEN = 1e-13
_PATIENCE = 20
_JOIN = 24
_REFITS = 8


class Problem(NamedTuple):
    """N strategies, a cap, and the solver for the best mix of given rows."""

    paths: Floats
    """N x T rows of unit norm."""
    slopes: Floats
    """N."""
    risk: Floats
    """N: what turns a weight into a multiple of its row."""
    max_weight: float
    """At least 1 / N."""
    solve: Solver

    @property
    def gains(self) -> Floats:
        """N: the slope that a unit of weight adds."""
        gains: Floats = self.risk * self.slopes
        return gains


class Appraisal(NamedTuple):
    """How good an allowed portfolio is."""

    weights: Floats
    """N, sum 1."""
    ratio: float
    gap: float
    """Upper bound on (best ratio - ratio) / ratio."""
    pull: Floats
    """N: the gradient with respect to the weights; it is 0 along the portfolio itself."""


def corner(gains: Floats, max_weight: float) -> Floats:
    """Return the N weights in [0, max_weight] with sum 1 that gain the most; ties go to the first strategies."""
    full = int(1.0 / max_weight + 1e-9)
    order = np.argsort(-gains, kind="stable")
    weights = np.zeros(gains.size)
    weights[order[:full]] = max_weight
    if full < gains.size:
        weights[order[full]] = max(1.0 - full * max_weight, 0.0)
    return weights


def best_capped_mix(problem: Problem) -> Candidate:
    """Return the capped mix with the largest ratio, and what is proven of it.

    Some allowed portfolio must have a positive slope.

    Raises:
        Riskless: the ratio has no bound.
    """
    now = best = _appraise(problem, corner(problem.gains, problem.max_weight))
    portfolios = now.weights[None, :]
    idle = 0
    for _ in range(_ROUNDS):
        if best.gap <= _PROVEN or idle > _PATIENCE:
            break
        steepest = corner(now.pull, problem.max_weight)
        refit = _same_caps(problem, now, steepest)
        fitted = _appraise(problem, refit) if refit is not None else now
        if fitted.ratio > now.ratio or fitted.gap < now.gap:
            now, portfolios = fitted, fitted.weights[None, :]
        else:
            portfolios = np.vstack((portfolios, steepest))
            amounts = _mix(problem, portfolios)
            now = _appraise(problem, amounts @ portfolios)
            portfolios = portfolios[amounts > 0.0]
        idle = 0 if now.gap < best.gap else idle + 1
        best = min(best, now, key=lambda appraisal: appraisal.gap)
    return Candidate(np.arange(best.weights.size), best.weights * problem.risk, best.ratio, best.gap)


def _appraise(problem: Problem, weights: Floats) -> Appraisal:
    """Return how good the weights are and where they should move."""
    values = weights * problem.risk
    path = values @ problem.paths
    slope, norm = float(values @ problem.slopes), sqrt(path @ path)
    if norm <= RISKLESS * float(values.sum()):
        raise Riskless(np.flatnonzero(weights > 0.0).tolist())
    scale = slope / norm**2  # the length at which h = q where nothing binds
    products = problem.paths @ (path * scale)
    costs = problem.risk * (products + rounding(norm * scale, path.size))
    kappa = _smallest_kappa(problem.gains, costs, weights, problem.max_weight)
    # At this length the path's norm is the ratio itself, so the bound is kappa times the ratio.
    return Appraisal(weights, slope / norm, max(kappa - 1.0, 0.0), problem.gains - problem.risk * products)


def _mix(problem: Problem, portfolios: Floats) -> Floats:
    """Return the amounts (k, sum 1) of the portfolios (k x N) that make their best mix."""
    rows = (portfolios * problem.risk) @ problem.paths
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    riskless = lengths <= RISKLESS * (portfolios @ problem.risk)
    if riskless.any():
        raise Riskless(np.flatnonzero(portfolios[riskless][0] > 0.0).tolist())
    mix = problem.solve(rows / lengths[:, None], portfolios @ problem.gains / lengths, NOTHING)
    amounts = np.zeros(lengths.size)
    amounts[mix.support] = mix.values / lengths[mix.support]
    return amounts / amounts.sum()


def _same_caps(problem: Problem, now: Appraisal, steepest: Floats) -> Floats | None:
    """Return the best portfolio with the same strategies at the cap; None when it would not be an allowed one.

    With U at the cap and the others free, each portfolio is a mix of the portfolios "one free strategy and U", so that
    the cap disappears; strategies that then come out above it join U.
    """
    paths, slopes, risk, max_weight, solve = problem
    weights, pull = now.weights, now.pull
    full = weights >= max_weight * (1.0 - 1e-9)
    partial = (weights > 0.0) & ~full
    # At the optimum all partial weights pull alike, those at the cap more, those at zero less.
    usual = float(pull[partial].mean()) if partial.any() else float(pull[steepest > 0.0].min())
    capped = full & (pull >= usual)
    joining = np.flatnonzero((weights == 0.0) & (pull > usual))
    joining = joining[np.argsort(-pull[joining], kind="stable")[: max(_JOIN, np.count_nonzero(partial))]]
    free = np.concatenate((np.flatnonzero((weights > 0.0) & ~capped), joining))
    for _ in range(_REFITS):
        room = 1.0 - max_weight * np.count_nonzero(capped)
        if room <= 1e-9 or not free.size:
            return None
        share = max_weight / room
        base = np.where(capped, risk * share, 0.0)
        rows = risk[free, None] * paths[free] + base @ paths
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        if (lengths <= RISKLESS * (risk[free] + base.sum())).any():
            return None
        mix = solve(rows / lengths[:, None], (problem.gains[free] + base @ slopes) / lengths, NOTHING)
        if not mix.support.size:
            return None
        chosen = free[mix.support]
        amounts = mix.values / lengths[mix.support]
        amounts *= room / amounts.sum()
        above = chosen[amounts > max_weight]
        if not above.size:
            found = np.where(capped, max_weight, 0.0)
            found[chosen] = amounts
            return found
        capped[above] = True
        free = np.setdiff1d(free, above)
    return None


def _smallest_kappa(gains: Floats, costs: Floats, weights: Floats, max_weight: float) -> float:
    """Return the smallest kappa with kappa * costs @ y >= gains @ y for every allowed portfolio y (Dinkelbach)."""
    kappa, worst = 0.0, weights
    while True:
        gain, cost = float(gains @ worst), float(costs @ worst)
        if gain <= kappa * cost:
            return kappa
        if cost <= 0.0:
            return inf
        if gain / cost <= kappa:
            return kappa
        kappa = gain / cost
        worst = corner(gains - kappa * costs, max_weight)
