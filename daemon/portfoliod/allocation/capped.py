"""The mix of strategies with the best slope/std ratio when none may have more than `max_weight`.

Every allowed portfolio is a non-negative mix of a few allowed portfolios, for instance corners of the capped simplex: as many
strategies as fit at the cap, the rest on one more. So this is again the problem of `nonnegative`, with portfolios in the place of
strategies. Two kinds join until none improves the mix: the corner with the steepest gain, found by sorting, which makes
the search exact; and the best portfolio among those with the same strategies at the cap, which makes it short.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices
from portfoliod.allocation.candidate import RISKLESS, Candidate, Riskless, Solver
from portfoliod.allocation.certificate import rounding
from portfoliod.allocation.nonnegative import NOTHING, Mix

_ROUNDS = 1000
_IMPROVES = 1e-13
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
    paths, slopes, risk, max_weight, solve = problem
    gains = risk * slopes
    everyone = np.arange(slopes.size)
    portfolios = corner(gains, max_weight)[None, :]
    start = NOTHING
    best = Candidate(everyone, portfolios[0] * risk, 0.0, inf)
    for _ in range(_ROUNDS):
        rows = (portfolios * risk) @ paths
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        mix = solve(rows / lengths[:, None], portfolios @ gains / lengths, start)
        if not mix.support.size:
            return best
        weights = (mix.values / lengths[mix.support]) @ portfolios[mix.support]
        size = float(weights.sum())
        values = weights * risk
        path = values @ paths
        slope, norm = float(values @ slopes), sqrt(path @ path)
        if norm <= RISKLESS * float(values.sum()):
            raise Riskless(np.flatnonzero(weights > 0.0).tolist())
        scale = slope / norm**2
        products = paths @ (path * scale)
        ratio = slope / norm
        kappa = _smallest_kappa(gains, risk * (products + rounding(norm * scale, path.size)), weights, max_weight)
        candidate = Candidate(everyone, values, ratio, max(kappa * norm * scale / ratio - 1.0, 0.0))
        if candidate.gap < best.gap:
            best = candidate
        pull = gains - risk * products
        steepest = corner(pull, max_weight)
        if float(steepest @ pull) <= _IMPROVES * float(steepest @ np.abs(gains)) or mix.riskless:
            return best
        start = Mix(np.arange(mix.support.size), mix.values * scale)
        joining = [steepest, *_same_caps(problem, weights / size, pull, steepest)]
        portfolios = np.vstack((portfolios[mix.support], *joining))
    return best


def _same_caps(problem: Problem, weights: Floats, pull: Floats, steepest: Floats) -> list[Floats]:
    """Return the best portfolio with the strategies at the cap that pull there, if the search for it ends in an allowed one.

    With U at the cap and the others free, each portfolio is a mix of the portfolios "one free strategy and U", so that
    the cap disappears; strategies that then come out above it join U.
    """
    paths, slopes, risk, max_weight, solve = problem
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
            return []
        share = max_weight / room
        base = np.where(capped, risk * share, 0.0)
        rows = risk[free, None] * paths[free] + base @ paths
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        mix = solve(rows / lengths[:, None], ((risk * slopes)[free] + base @ slopes) / lengths, NOTHING)
        if not mix.support.size:
            return []
        chosen = free[mix.support]
        amounts = mix.values / lengths[mix.support]
        amounts *= room / amounts.sum()
        above = chosen[amounts > max_weight]
        if not above.size:
            found = np.where(capped, max_weight, 0.0)
            found[chosen] = amounts
            return [found]
        capped[above] = True
        free = np.setdiff1d(free, above)
    return []


def _smallest_kappa(gains: Floats, costs: Floats, weights: Floats, max_weight: float) -> float:
    """Return the smallest kappa with kappa * costs @ y >= gains @ y for every allowed portfolio y (Dinkelbach's method)."""
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
