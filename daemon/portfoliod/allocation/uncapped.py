"""The mix of strategies with the best slope/std ratio, without a cap: a working set around `nonnegative`.

The search starts with the strategies of the largest slopes. One matrix-vector product prices all the others, those that
would improve the mix join the working set, and when none is left the optimum is found.
"""

from __future__ import annotations

import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import Candidate, Solver, ratio_of
from portfoliod.allocation.certificate import certified_gap
from portfoliod.allocation.nonnegative import NOTHING, Mix

_FEW = 64
"""Up to so many strategies the working set is all of them."""

_FIRST = 24
_JOIN = 24
_ROUNDS = 200
_IMPROVES = 1e-14


def best_mix(paths: Floats, slopes: Floats, solver: Solver) -> Candidate:
    """Return the mix with the largest ratio, and what is proven of it.

    Args:
        paths: N x T rows of unit norm.
        slopes: N, one of them positive.
        solver: finds the best mix of given rows.

    Raises:
        Riskless: the ratio has no bound.
    """
    if slopes.size <= _FEW:
        mix, path = solver(paths, slopes, NOTHING)
        if mix.support.size:
            ratio = ratio_of(paths, slopes, mix)
            return Candidate(mix, ratio, certified_gap(slopes, paths @ path, path, ratio))
    working = np.argsort(-slopes, kind="stable")[:_FIRST]
    tolerance = _IMPROVES * float(slopes.max())
    steepest = int(slopes.argmax())
    found, path, ratio = Mix(np.array([steepest]), np.ones(1)), paths[steepest], float(slopes[steepest])
    products = paths @ path
    start = NOTHING
    for _ in range(_ROUNDS):
        mix, path_of_mix = solver(paths[working], slopes[working], start)
        if not mix.support.size:
            break
        found, path = Mix(working[mix.support], mix.values), path_of_mix
        ratio = ratio_of(paths, slopes, found)
        products = paths @ path
        pull = slopes - products
        pull[working] = 0.0
        joining = (pull > tolerance).nonzero()[0]
        if not joining.size:
            break
        joining = joining[np.argsort(-pull[joining], kind="stable")[:_JOIN]]
        working = np.concatenate((found.support, joining))
        start = Mix(np.arange(found.support.size), found.values)
    return Candidate(found, ratio, certified_gap(slopes, products, path, ratio))
