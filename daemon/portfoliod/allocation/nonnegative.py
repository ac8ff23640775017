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
from portfoliod.allocation.unit_rows import UnitRows

RISKLESS = 1e-7
"""A mix whose risk is below this share of its parts' is a difference of equals: its ratio is rounding."""

RIDGE = RISKLESS**2

_TOLERANCE = 1e-14
"""A gradient below this share of the largest slope counts as zero."""

_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)
_REFINEMENTS = 6


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


_ZERO = np.zeros(1)
NOTHING = Mix(np.zeros(0, dtype=np.intp), np.zeros(0))


def product_rounding(path: Floats, values: Floats) -> float:
    """Return how far the product of a unit row and the path of T days may be off by rounding.

    There is one rounding a day, and those of the rows of which the path consists, in these multiples, which may be much
    larger than what they leave of each other.
    """
    return _ROUNDING * (sqrt(path.size * (path @ path)) + sqrt(values @ values))


def slope_rounding(days: int) -> float:
    """Return how far the slope of a unit row may be off by rounding.

    It is a product with the slope's weights, whose squares add up to 1.2 (T^2 + 1) / (T (T^2 - 1)) (see `standardise`).
    """
    return _ROUNDING * sqrt(1.2 / days)


def nonnegative(paths: UnitRows, slopes: Floats, start: Mix = NOTHING) -> Solution:
    """Return the optimal mix, or the best one found when rounding stops the search: its user certifies it.

    The ridge and the rounding of the Gram matrix are taken out again by solving for what the path itself leaves
    unsolved (the proximal point method, as iterative refinement).

    Args:
        paths: k rows.
        slopes: k.
        start: a mix to start from, optimal among those of its own rows.
    """
    gram = paths.gram()
    gram.flat[:: slopes.size + 1] += RIDGE
    mix = _grow(gram, slopes, start) if start.support.size else active_set(gram, slopes, start)
    path = paths.mixed(mix.values, mix.support)
    for _ in range(_REFINEMENTS):
        support, values = mix
        unsolved = slopes - paths.products(path)
        open_slopes = unsolved[support]
        norm = sqrt(path @ path)
        enough = (product_rounding(path, values) + slope_rounding(path.size)) / 2.0
        if unsolved.max() <= enough and open_slopes.min(initial=0.0) >= -enough:
            break
        if norm <= RISKLESS * float(values.sum()):
            break
        unsolved[support] = 0.0
        if unsolved.max() <= enough:
            change = _solve(gram.take(support, 0).take(support, 1), open_slopes)
            if (values + change).min() > 0.0:
                mix, path = Mix(support, values + change), path + paths.mixed(change, support)
                continue
        unsolved[support] = open_slopes
        mix = active_set(gram, unsolved + values @ gram[support], mix)
        path = paths.mixed(mix.values, mix.support)
    return Solution(mix, path)


def active_set(gram: Floats, slopes: Floats, start: Mix) -> Mix:
    """Return the optimal mix to within the rounding of the Gram matrix (k x k)."""
    if start.support.size:
        return _grow(gram, slopes, _settle(gram, slopes, start))
    return _grow(gram, slopes, _shrink(gram, slopes, (slopes > 0.0).nonzero()[0]))


def _grow(gram: Floats, slopes: Floats, mix: Mix) -> Mix:
    """Return the optimal mix, from one that is optimal among those of its own rows."""
    tolerance = _TOLERANCE * float(np.abs(slopes).max(initial=0.0))
    for _ in range(3 * slopes.size + 10):
        gradient = slopes - mix.values @ gram[mix.support]
        gradient[mix.support] = 0.0
        rising = (gradient > tolerance).nonzero()[0]
        if not rising.size:
            break
        if rising.size > 1:
            guess = _shrink(gram, slopes, np.concatenate((mix.support, rising)))
            if guess.values @ slopes[guess.support] > mix.values @ slopes[mix.support]:
                mix = guess
                continue
            rising = rising[[gradient[rising].argmax()]]
        grown = Mix(np.concatenate((mix.support, rising)), np.concatenate((mix.values, _ZERO)))
        mix = _settle(gram, slopes, grown)
    return mix


def _shrink(gram: Floats, slopes: Floats, support: Indices) -> Mix:
    """Return a mix that is optimal on a part of `support`: without the rows that come out negative, again and again.

    The optimum usually has about that support, in far fewer steps than one row at a time takes.
    """
    while support.size:
        values = _solve(gram.take(support, 0).take(support, 1), slopes[support])
        positive = values > 0.0
        if positive.all():
            return Mix(support, values)
        support = support[positive]
    return NOTHING


def _settle(gram: Floats, slopes: Floats, mix: Mix) -> Mix:
    """Return the optimum on the rows that stay positive on the straight way to it."""
    support, values = mix
    while support.size:
        goal = _solve(gram.take(support, 0).take(support, 1), slopes[support])
        falling = goal <= 0.0
        if not falling.any():
            return Mix(support, goal)
        shares = values[falling] / np.maximum(values[falling] - goal[falling], np.finfo(np.float64).tiny)
        values = values + float(shares.min()) * (goal - values)
        values[np.flatnonzero(falling)[shares.argmin()]] = 0.0
        alive = values > 0.0
        support, values = support[alive], values[alive]
    return NOTHING


def _solve(gram: Floats, right: Floats) -> Floats:
    try:
        values = np.linalg.solve(gram, right)
    except np.linalg.LinAlgError:  # rounding ate the ridge
        values = np.linalg.lstsq(gram, right)[0]
    return values.astype(np.float64, copy=False)


def nonnegative_by_scipy(paths: UnitRows, slopes: Floats, _start: Mix = NOTHING) -> Solution:
    """Return the optimal mix from scipy's search, which works on an orthogonal factorisation, never on a Gram matrix.

    The problem is posed as min norm([Z'; m q'] x - [0; 1]). It is slower, and scipy.optimize takes 49 MB, but its
    search finds its way where rows almost depend on each other.
    """
    from scipy.optimize import nnls  # here, so that only a daemon that meets such data pays for it

    balance = 1.0 / float(np.abs(slopes).max())
    system = np.vstack((paths.dense().T, balance * slopes))
    goal = np.zeros(system.shape[0])
    goal[-1] = 1.0
    try:
        values, _ = nnls(system, goal)
    except RuntimeError:
        return nonnegative(paths, slopes)
    support = np.flatnonzero(values > 0.0)
    path = paths.mixed(values[support], support)
    norm = max(sqrt(path @ path), RISKLESS * float(values.sum()))
    return nonnegative(paths, slopes, Mix(support, values[support] * float(values @ slopes) / norm**2))
