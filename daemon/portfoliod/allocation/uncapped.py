"""The mix of strategies with the best slope/std ratio, without a cap: a working set around `nonnegative`.

The search starts with the strategies of the largest slopes. One matrix-vector product prices all the others, those that
would improve the mix join the working set, and when none is left the optimum is found.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices
from portfoliod.allocation.candidate import Candidate, Riskless, Solver
from portfoliod.allocation.certificate import certified_gap
from portfoliod.allocation.nonnegative import NOTHING, RISKLESS, Mix, gram_matrix, solve

_FIRST = 24
_JOIN = 24
_ROUNDS = 200
_REFINEMENTS = 3
_IMPROVES = 1e-14
_EXACT = 1e-12


def best_mix(paths: Floats, slopes: Floats, solver: Solver) -> Candidate:
    """Return the mix with the largest ratio, and what is proven of it.

    Args:
        paths: N x T rows of unit norm.
        slopes: N, one of them positive.
        solver: finds the best mix of given rows.

    Raises:
        Riskless: the ratio has no bound.
    """
    ranked = np.argsort(-slopes, kind="stable")[:_FIRST]
    working = ranked[slopes[ranked] > 0.0]
    tolerance = _IMPROVES * float(slopes[working[0]])
    best, products = _appraise(paths, slopes, working[:1], np.ones(1))
    start = NOTHING
    for _ in range(_ROUNDS):
        mix = solver(paths[working], slopes[working], start)
        if not mix.support.size:
            return best
        now, products = _appraise(paths, slopes, working[mix.support], mix.values)
        best = max(best, now, key=lambda candidate: (-candidate.gap, candidate.ratio))
        pull = slopes - products
        pull[working] = 0.0
        joining = np.flatnonzero(pull > tolerance)
        if not joining.size:
            break
        joining = joining[np.argsort(-pull[joining], kind="stable")[:_JOIN]]
        working = np.concatenate((now.support, joining))
        start = Mix(np.arange(now.support.size), now.values)
    return best if best.gap <= _EXACT else _refined(paths, slopes, best)


def _appraise(paths: Floats, slopes: Floats, support: Indices, values: Floats) -> tuple[Candidate, Floats]:
    """Return the mix, at the length at which its products with the paths are the slopes of its support, and these."""
    path = values @ paths[support]
    slope, norm = float(values @ slopes[support]), sqrt(path @ path)
    if norm <= RISKLESS * float(values.sum()):
        raise Riskless(support.tolist())
    ratio, scale = slope / norm, slope / norm**2
    products: Floats = paths @ (path * scale)
    gap = certified_gap(slopes, products, ratio, paths.shape[1])
    return Candidate(support, values * scale, ratio, gap), products


def _refined(paths: Floats, slopes: Floats, found: Candidate) -> Candidate:
    """Return the mix after iterative refinement: the Gram matrix squares the rounding, the products do not."""
    best = found
    support, values = found.support, found.values
    gram = gram_matrix(paths[support])
    for _ in range(_REFINEMENTS):
        rest = slopes[support] - paths[support] @ (values @ paths[support])
        values = values + solve(gram, rest)
        if not (values > 0.0).all():
            break
        now, _ = _appraise(paths, slopes, support, values)
        best = min(best, now, key=lambda candidate: candidate.gap)
    return best
