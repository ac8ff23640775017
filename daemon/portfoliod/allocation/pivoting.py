"""A quick guess at which members are at their caps at the optimum, from the Gram matrix alone.

Block principal pivoting, from the optimum without caps: all members that are on the wrong side of a limit change sides
at once. It mostly ends after few linear systems, and sometimes never, so that its user proves what comes out. (Judice
and Pires, Block principal pivoting algorithms for large-scale linear complementarity problems, 1994.)
"""

from __future__ import annotations

import numpy as np

from portfoliod.allocation.allowed import Problem
from portfoliod.allocation.arrays import Floats, Indices
from portfoliod.allocation.face import Face
from portfoliod.allocation.nonnegative import NOTHING, RIDGE, active_set

MANY = 200
"""With more members the Gram matrix takes longer than the search without it."""

_STEPS = 25
_JOIN = 4
_WRONG = 1e-13
_EXTREME = 1e-50
"""Inverses of more unequal risks do not fit."""


def likely_face(problem: Problem) -> Face | None:
    """Return the face of the optimum under the caps, None when it was not found."""
    if problem.risk.min() < _EXTREME * problem.risk.max():
        return None
    gram = problem.paths.gram()
    gram.flat[:: gram.shape[0] + 1] += RIDGE
    slopes, shares = problem.gains / problem.risk, 1.0 / problem.risk
    full_x = problem.allowed.caps * problem.risk
    tolerance = _WRONG * float(np.abs(slopes).max())
    free, full = np.zeros(slopes.size, dtype=bool), np.zeros(slopes.size, dtype=bool)
    free[active_set(gram, slopes, NOTHING).support] = True
    for _ in range(_STEPS):
        inside = free.nonzero()[0]
        try:
            mix, length, price = _stationary(gram, slopes, shares, np.where(full, full_x, 0.0), inside)
        except np.linalg.LinAlgError:
            return None
        if length <= 0.0:
            return None
        pull = slopes - gram @ mix - price * shares
        low, high = free & (mix < 0.0), free & (mix > length * full_x)
        rising, falling = ~free & ~full & (pull > tolerance), full & (pull < -tolerance)
        if not (low | high | rising | falling).any():
            return Face(full, inside, np.zeros(0, dtype=np.intp))
        if np.count_nonzero(rising) > _JOIN:
            rising &= pull >= np.partition(np.where(rising, pull, 0.0), -_JOIN)[-_JOIN]
        free = (free & ~low & ~high) | rising | falling
        full = (full & ~falling) | high
    return None


def _stationary(
    gram: Floats, slopes: Floats, shares: Floats, capped: Floats, inside: Indices
) -> tuple[Floats, float, float]:
    """Return the stationary mix, its length and the price of the shares' sum.

    In units of risk, x = risk * share * length: the members F inside their limits solve G x_F = q_F - s G k - v a, with
    k the capped members' x for a length of 1, s the length, v the price and a = 1 / risk. Two conditions give s and v:
    the shares add up to the length, and moving all capped members together gains nothing.
    """
    pushed = gram @ capped
    right = np.array((slopes[inside], pushed[inside], shares[inside])).T
    solved = np.linalg.solve(gram[inside[:, None], inside], right)
    sums, pulls = shares[inside] @ solved, pushed[inside] @ solved
    length, price = float(sums[0]), 0.0
    if capped.any():
        room = 1.0 - float(shares @ capped)
        system = np.array(((room + sums[1], sums[2]), (capped @ pushed - pulls[1], -room - pulls[2])))
        length, price = np.linalg.solve(system, np.array((sums[0], capped @ slopes - pulls[0]))).tolist()
    mix = length * capped
    mix[inside] = solved @ np.array((1.0, -length, -price))
    return mix, length, price
