"""The mix of strategies with the best slope/std ratio when none may have more than `max_weight`.

Every allowed portfolio is a non-negative mix of corners of the capped simplex: as many strategies as fit at the cap,
the rest on one more. So this is again the problem of `nonnegative`, with portfolios in the place of strategies. The
corner with the steepest gain, found by sorting, joins the mix until none improves it. That makes the search exact. What
makes it short: the best portfolio with the same strategies at the cap takes over when it is better.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import Candidate, Riskless, Solver, ratio_of
from portfoliod.allocation.nonnegative import NOTHING, RISKLESS, Mix, rounding

_ROUNDS = 300
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
    solver: Solver

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
    weights, path, portfolios = _mix(problem, corner(problem.gains, problem.max_weight)[None, :])
    now = best = _appraise(problem, weights, path)
    idle = 0
    for _ in range(_ROUNDS):
        if best.gap <= _PROVEN or idle > _PATIENCE:
            break
        steepest = corner(now.pull, problem.max_weight)
        refit = _same_caps(problem, now, steepest)
        fitted = _appraise(problem, *refit) if refit is not None else now
        if fitted.ratio > now.ratio or fitted.gap < now.gap:
            now, portfolios = fitted, fitted.weights[None, :]
        else:
            weights, path, portfolios = _mix(problem, np.vstack((portfolios, steepest)))
            now = _appraise(problem, weights, path)
        idle = 0 if now.gap < best.gap else idle + 1
        best = min(best, now, key=lambda appraisal: appraisal.gap)
    mix = Mix(np.arange(best.weights.size), best.weights * problem.risk)
    return Candidate(mix, best.ratio, best.gap)


def _appraise(problem: Problem, weights: Floats, path: Floats) -> Appraisal:
    """Return how good the weights are and where they should move, seen from `path`, which is theirs or more exact."""
    ratio = ratio_of(problem.paths, problem.slopes, Mix(np.arange(weights.size), weights * problem.risk))
    products = problem.paths @ path
    return Appraisal(
        weights,
        ratio,
        max(_bound(problem, products, path) / ratio - 1.0, 0.0),
        problem.gains - problem.risk * products,
    )


def _bound(problem: Problem, products: Floats, path: Floats) -> float:
    """Return what no allowed portfolio's ratio exceeds (see `certificate`).

    The smallest kappa with kappa h'y >= q'y for every allowed y is found by Dinkelbach's method: y is the corner that
    violates it most, and kappa the smallest that it accepts.
    """
    gains, risk, max_weight = problem.gains, problem.risk, problem.max_weight
    norm = sqrt(path @ path)
    costs = risk * (products + rounding(norm, path.size))
    kappa = 0.0
    while True:
        worst = corner(gains - kappa * costs, max_weight)
        gain, cost = float(gains @ worst), float(costs @ worst)
        if cost <= 0.0 < gain - kappa * cost:
            kappa = max(kappa, 1.0)
            missing = gains - kappa * costs
            least = float(corner(-risk, max_weight) @ risk)
            return kappa * norm + max(float(corner(missing, max_weight) @ missing), 0.0) / (RISKLESS * least)
        if gain <= kappa * cost or gain / cost <= kappa:
            return kappa * norm
        kappa = gain / cost


def _mix(problem: Problem, portfolios: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the weights of the best mix of portfolios (k x N), its path, and the portfolios that it needs."""
    rows = (portfolios * problem.risk) @ problem.paths
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    riskless = lengths <= RISKLESS * (portfolios @ problem.risk)
    if riskless.any():
        raise Riskless(np.flatnonzero(portfolios[riskless][0] > 0.0).tolist())
    mix, path = problem.solver(rows / lengths[:, None], portfolios @ problem.gains / lengths, NOTHING)
    used = portfolios[mix.support]
    weights: Floats = (mix.values / lengths[mix.support]) @ used
    return weights / weights.sum(), path, used


def _same_caps(problem: Problem, now: Appraisal, steepest: Floats) -> tuple[Floats, Floats] | None:
    """Return the best portfolio with the same strategies at the cap, and its path; None when it is not allowed.

    With U at the cap and the others free, each portfolio is a mix of the portfolios "one free strategy and U", so that
    the cap disappears; strategies that then come out above it join U.
    """
    paths, slopes, risk, max_weight, solver = problem
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
        mix, path = solver(rows / lengths[:, None], (problem.gains[free] + base @ slopes) / lengths, NOTHING)
        if not mix.support.size:
            return None
        chosen = free[mix.support]
        amounts = mix.values / lengths[mix.support]
        amounts *= room / amounts.sum()
        above = chosen[amounts > max_weight]
        if not above.size:
            found = np.where(capped, max_weight, 0.0)
            found[chosen] = amounts
            return found, path
        capped[above] = True
        free = np.setdiff1d(free, above)
    return None
