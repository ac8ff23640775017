"""The same optimum when no strategy may have more than `max_weight`.

The allowed portfolios are the mixes of the corners of the capped simplex: as many strategies as fit at the cap, the rest on
one more. So the problem stays the non-negative one of `nonnegative`, with corners in the place of strategies. There are too many
to list, but the corner that would improve a mix the most is found by sorting, and only a few are ever needed.
"""

from __future__ import annotations

from math import inf, sqrt

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import RISKLESS, Candidate, Riskless, Solver
from portfoliod.allocation.certificate import rounding
from portfoliod.allocation.nonnegative import NOTHING, Mix

_ROUNDS = 2000
_IMPROVES = 1e-13


def corner(gains: Floats, max_weight: float) -> Floats:
    """Return the N weights in [0, max_weight] with sum 1 that gain the most; ties go to the first strategies."""
    full = int(1.0 / max_weight + 1e-9)
    rest = 1.0 - full * max_weight
    order = np.argsort(-gains, kind="stable")
    weights = np.zeros(gains.size)
    weights[order[:full]] = max_weight
    if full < gains.size:
        weights[order[full]] = max(rest, 0.0)
    return weights


def best_capped_mix(paths: Floats, slopes: Floats, risk: Floats, max_weight: float, solve: Solver) -> Candidate:
    """Return the capped mix with the largest ratio, and what is proven of it.

    Args:
        paths: N x T rows of unit norm.
        slopes: N, such that some allowed portfolio has a positive one.
        risk: N, what turns a weight into a multiple of its row.
        max_weight: at least 1 / N.
        solve: finds the best mix of given rows.

    Raises:
        Riskless: the ratio has no bound.
    """
    days = paths.shape[1]
    gains = risk * slopes
    corners = corner(gains, max_weight)[None, :]
    first = corners[0] * risk
    start = NOTHING
    best = Candidate(np.arange(slopes.size), first, float(first @ slopes) / float(np.linalg.norm(first @ paths)), inf)
    for _ in range(_ROUNDS):
        rows = (corners * risk) @ paths
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        mix = solve(rows / lengths[:, None], corners @ gains / lengths, start)
        if not mix.support.size:
            return best
        weights = (mix.values / lengths[mix.support]) @ corners[mix.support]
        values = weights * risk
        path = values @ paths
        slope, norm = float(values @ slopes), sqrt(path @ path)
        if norm <= RISKLESS * float(values.sum()):
            raise Riskless(np.flatnonzero(weights > 0.0).tolist())
        scale = slope / norm**2
        products = paths @ (path * scale)
        costs = risk * (products + rounding(norm * scale, days))
        kappa = _smallest_kappa(gains, costs, weights, max_weight)
        ratio = slope / norm
        candidate = Candidate(np.arange(slopes.size), values, ratio, max(kappa * norm * scale / ratio - 1.0, 0.0))
        if candidate.gap < best.gap:
            best = candidate
        entering = corner(gains - risk * products, max_weight)
        improvement = float(entering @ (gains - risk * products))
        if improvement <= _IMPROVES * float(entering @ np.abs(gains)) or mix.riskless:
            return best
        start = Mix(np.arange(mix.support.size), mix.values * scale)
        corners = np.vstack((corners[mix.support], entering))
    return best


def _smallest_kappa(gains: Floats, costs: Floats, weights: Floats, max_weight: float) -> float:
    """Return the smallest kappa with kappa * costs @ y >= gains @ y for every capped portfolio y (Dinkelbach's method)."""
    cost = float(costs @ weights)
    kappa = float(gains @ weights) / cost if cost > 0.0 else inf
    while kappa < inf:
        worst = corner(gains - kappa * costs, max_weight)
        cost = float(costs @ worst)
        if float(gains @ worst) <= kappa * cost:
            break
        kappa = float(gains @ worst) / cost if cost > 0.0 else inf
    return kappa
