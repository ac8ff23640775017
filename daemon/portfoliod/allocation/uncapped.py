"""The mix of strategies with the best slope/std ratio, without a cap: a working set around `nonnegative`.

The search starts with the strategies that would improve the steepest one the most. One matrix-vector product prices all
the others, those that would improve the mix join the working set, and when none is left the optimum is found.
"""

from __future__ import annotations

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices
from portfoliod.allocation.candidate import Candidate, Solver, ratio_of
from portfoliod.allocation.certificate import certified_gap
from portfoliod.allocation.nonnegative import NOTHING, Mix
from portfoliod.allocation.unit_rows import UnitRows

_FEW = 40
"""Up to so many strategies the working set is all of them."""

_FIRST = 24
_JOIN = 24
_ROUNDS = 200
_IMPROVES = 1e-14


def best_mix(paths: UnitRows, slopes: Floats, solver: Solver) -> Candidate:
    """Return the mix with the largest ratio, and what is proven of it.

    Args:
        paths: N rows.
        slopes: N, one of them positive.
        solver: finds the best mix of given rows.

    Raises:
        Riskless: the ratio has no bound.
    """
    if slopes.size <= _FEW:
        mix, path = solver(paths, slopes, NOTHING)
        if mix.support.size:
            ratio = ratio_of(paths, slopes, mix, path)
            return Candidate(mix, ratio, certified_gap(slopes, paths.products(path), path, mix.values, ratio))
    steepest = np.array([slopes.argmax()])
    path = paths.mixed(np.ones(1), steepest)
    found, ratio, products = Mix(steepest, np.ones(1)), float(slopes[steepest[0]]), paths.products(path)
    tolerance = _IMPROVES * ratio
    pull = slopes - ratio * products
    pull[steepest] = np.inf
    working, start = _largest(pull, _FIRST), NOTHING
    for _ in range(_ROUNDS):
        mix, path_of_mix = solver(paths.chosen(working), slopes[working], start)
        if not mix.support.size:
            break
        found, path = Mix(working[mix.support], mix.values), path_of_mix
        ratio = ratio_of(paths, slopes, found, path)
        products = paths.products(path)
        pull = slopes - products
        pull[working] = 0.0
        joining = (pull > tolerance).nonzero()[0]
        if not joining.size:
            break
        joining = joining[_largest(pull[joining], max(_JOIN, found.support.size))]
        working = np.concatenate((found.support, joining))
        start = Mix(np.arange(found.support.size), found.values)
    return Candidate(found, ratio, certified_gap(slopes, products, path, found.values, ratio))


def _largest(values: Floats, count: int) -> Indices:
    """Return the places of the largest values."""
    return np.argpartition(-values, count)[:count] if values.size > count else np.arange(values.size)
