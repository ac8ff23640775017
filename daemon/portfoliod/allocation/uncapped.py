"""The mix of strategies with the best slope/std ratio, without a cap: a working set around `nonnegative`.

The search starts with the strategies of the largest slopes. One matrix-vector product prices all the others, those that
would improve the mix join the working set, and when none is left the optimum is found.
"""

from __future__ import annotations

from math import inf, sqrt

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import RISKLESS, Candidate, Riskless, Solver
from portfoliod.allocation.certificate import certified_gap
from portfoliod.allocation.nonnegative import NOTHING, Mix

_FIRST = 24
_JOIN = 24
_ROUNDS = 200
_IMPROVES = 1e-14


def best_mix(paths: Floats, slopes: Floats, solve: Solver) -> Candidate:
    """Return the mix with the largest ratio, and what is proven of it.

    Args:
        paths: N x T rows of unit norm.
        slopes: N, one of them positive.
        solve: finds the best mix of given rows.

    Raises:
        Riskless: the ratio has no bound.
    """
    days = paths.shape[1]
    ranked = np.argsort(-slopes, kind="stable")[:_FIRST]
    working = ranked[slopes[ranked] > 0.0]
    start = NOTHING
    tolerance = _IMPROVES * float(slopes[working[0]])
    best = Candidate(working[:1], np.ones(1), float(slopes[working[0]]), inf)
    for _ in range(_ROUNDS):
        rows = paths[working]
        mix = solve(rows, slopes[working], start)
        if not mix.support.size:
            return best
        support = working[mix.support]
        path = mix.values @ rows[mix.support]
        slope, norm = float(mix.values @ slopes[support]), sqrt(path @ path)
        if norm <= RISKLESS * float(mix.values.sum()):
            raise Riskless(support.tolist())
        scale = slope / norm**2  # the length at which the products equal the slopes on the support
        products = paths @ (path * scale)
        ratio = slope / norm
        candidate = Candidate(support, mix.values, ratio, certified_gap(slopes, products, norm * scale, ratio, days))
        if candidate.gap < best.gap or ratio > best.ratio:
            best = candidate
        improvement = slopes - products
        improvement[working] = 0.0
        joining = np.flatnonzero(improvement > tolerance)
        if not joining.size or mix.riskless:
            return best
        joining = joining[np.argsort(-improvement[joining], kind="stable")[:_JOIN]]
        working = np.concatenate((support, joining))
        start = Mix(np.arange(support.size), mix.values * scale)
    return best
