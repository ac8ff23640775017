"""Non-negative least squares on a small Gram matrix: a primal active set after Lawson and Hanson.

The problem is  minimise  x'Gx / 2 - q'x  over x >= 0,  G = Z Z' of unit rows. Its optimum has the direction that
maximises q'x / norm(x'Z), which is what the allocators are after. (Lawson and Hanson, Solving Least Squares Problems,
chapter 23.)

Rows that depend on each other make G singular: copies, mirror images, a long-short beside its two legs. Their
differences have no risk, and a slope that is mostly rounding, so that 0/0 could win. `RIDGE` grants every mix a risk
of at least RISKLESS of its parts', which decides all such cases and is too small to be seen in any other.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices

RISKLESS = 1e-7
"""A mix whose risk is below this share of its parts' is a difference of equals: its ratio is rounding."""

RIDGE = RISKLESS**2

_TOLERANCE = 1e-14
"""A gradient below this share of the largest slope counts as zero."""

_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)
_REFINEMENTS = 4


class Mix(NamedTuple):
    """A non-negative combination: `values` (all > 0) of the rows `support`."""

    support: Indices
    values: Floats


class Solution(NamedTuple):
    """The optimal mix of k rows of T days."""

    mix: Mix
    path: Floats
    """T: the path of the mix; its products with the rows of the support are their slopes, better than rounding the
    values allows where rows almost cancel."""


NOTHING = Mix(np.zeros(0, dtype=np.intp), np.zeros(0))


def rounding(norm: float, days: int) -> float:
    """Return how far the product of a unit row and a path of this norm may be off by rounding."""
    return _ROUNDING * sqrt(days) * norm


def nonnegative(paths: Floats, slopes: Floats, start: Mix = NOTHING) -> Solution:
    """Return the optimal mix, or the best one found when rounding stops the search: its user certifies it.

    The ridge and the rounding of the Gram matrix are taken out again by solving for what the path itself leaves
    unsolved (the proximal point method, as iterative refinement).

    Args:
        paths: k x T rows of unit norm.
        slopes: k.
        start: a mix to start from.
    """
    gram: Floats = paths @ paths.T
    gram.flat[:: slopes.size + 1] += RIDGE
    mix = _active_set(gram, slopes, start)
    path = mix.values @ paths[mix.support]
    for _ in range(_REFINEMENTS):
        unsolved = slopes - paths @ path
        wrong = max(float(unsolved.max(initial=0.0)), -float(unsolved[mix.support].min(initial=0.0)))
        if wrong <= rounding(sqrt(path @ path), path.size) / 4.0:
            break
        before, mix = mix, _active_set(gram, unsolved + mix.values @ gram[mix.support], mix)
        change = np.zeros(slopes.size)
        change[mix.support] = mix.values
        change[before.support] -= before.values
        path = path + change @ paths
    return Solution(mix, path)


def _active_set(gram: Floats, slopes: Floats, start: Mix) -> Mix:
    mix = _settle(gram, slopes, start)
    tolerance = _TOLERANCE * float(np.abs(slopes).max(initial=0.0))
    for _ in range(3 * slopes.size + 10):
        gradient = slopes - mix.values @ gram[mix.support]
        gradient[mix.support] = 0.0
        rising = np.flatnonzero(gradient > tolerance)
        if not rising.size:
            break
        guess = _shrink(gram, slopes, np.concatenate((mix.support, rising))) if rising.size > 1 else NOTHING
        if guess.values @ slopes[guess.support] > mix.values @ slopes[mix.support]:
            mix = guess
        else:
            entering = int(gradient.argmax())
            grown = Mix(np.append(mix.support, entering), np.append(mix.values, 0.0))
            mix = _settle(gram, slopes, grown)
    return mix


def _shrink(gram: Floats, slopes: Floats, support: Indices) -> Mix:
    """Return a mix that is optimal on a part of `support`: without the rows that come out negative, again and again.

    The optimum usually has about that support, in far fewer steps than one row at a time takes.
    """
    while support.size:
        values = _solve(gram[support[:, None], support], slopes[support])
        positive = values > 0.0
        if positive.all():
            return Mix(support, values)
        support = support[positive]
    return NOTHING


def _settle(gram: Floats, slopes: Floats, mix: Mix) -> Mix:
    """Return the optimum on the rows that stay positive on the straight way to it."""
    support, values = mix
    while support.size:
        goal = _solve(gram[support[:, None], support], slopes[support])
        falling = goal <= 0.0
        if not falling.any():
            return Mix(support, goal)
        shares = values[falling] / (values[falling] - goal[falling])
        values = values + float(shares.min()) * (goal - values)
        values[np.flatnonzero(falling)[shares.argmin()]] = 0.0
        alive = values > 0.0
        support, values = support[alive], values[alive]
    return NOTHING


def _solve(gram: Floats, right: Floats) -> Floats:
    return np.linalg.solve(gram, right).astype(np.float64, copy=False)


def nonnegative_by_scipy(paths: Floats, slopes: Floats, _start: Mix = NOTHING) -> Solution:
    """Return the optimal mix from scipy's search, which works on an orthogonal factorisation, never on a Gram matrix.

    The problem is posed as min norm([Z'; m q'] x - [0; 1]). It is slower, and scipy.optimize takes 49 MB, but its
    search finds its way where rows almost depend on each other.
    """
    from scipy.optimize import nnls

    balance = 1.0 / float(np.abs(slopes).max())
    system = np.vstack((paths.T, balance * slopes))
    goal = np.zeros(system.shape[0])
    goal[-1] = 1.0
    try:
        values, _ = nnls(system, goal)
    except RuntimeError:
        return nonnegative(paths, slopes)
    path = values @ paths
    norm = max(sqrt(path @ path), RISKLESS * float(values.sum()))
    support = np.flatnonzero(values > 0.0)
    return nonnegative(paths, slopes, Mix(support, values[support] * float(values @ slopes) / norm**2))
