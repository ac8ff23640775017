"""Non-negative least squares on a small Gram matrix: a primal active set after Lawson and Hanson.

The problem is  minimise  x'Gx / 2 - q'x  over x >= 0,  G = Z Z' of unit rows. Its optimum has the direction that
maximises q'x / norm(x'Z), which is what the allocators are after. (Lawson and Hanson, Solving Least Squares Problems,
chapter 23.)

Rows that depend on each other make G singular: copies, mirror images, a long-short beside its two legs. Their
differences have no risk, and a slope that is mostly rounding, so that 0/0 could win. `RIDGE` grants every mix a risk
of at least RISKLESS of its parts', which decides all such cases and is too small to be seen in any other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices

RISKLESS = 1e-7
"""A mix whose risk is below this share of its parts' is a difference of equals: its ratio is rounding."""

RIDGE = RISKLESS**2

_TOLERANCE = 1e-14
"""A gradient below this share of the largest slope counts as zero."""


class Mix(NamedTuple):
    """A non-negative combination: `values` (all > 0) of the rows `support`."""

    support: Indices
    values: Floats


NOTHING = Mix(np.zeros(0, dtype=np.intp), np.zeros(0))


def gram_matrix(paths: Floats) -> Floats:
    """Return the products of the rows of `paths` (k x T), with the ridge on the diagonal."""
    gram: Floats = paths @ paths.T
    gram.flat[:: gram.shape[0] + 1] += RIDGE
    return gram


def nonnegative(gram: Floats, slopes: Floats, start: Mix = NOTHING) -> Mix:
    """Return the optimal mix, or the best one found when rounding stops the search: its user certifies it.

    Args:
        gram: k x k, positive definite.
        slopes: k.
        start: a mix that is optimal on its support.
    """
    mix = start
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
        values = solve(gram[support[:, None], support], slopes[support])
        positive = values > 0.0
        if positive.all():
            return Mix(support, values)
        support = support[positive]
    return NOTHING


def _settle(gram: Floats, slopes: Floats, mix: Mix) -> Mix:
    """Return the optimum on the rows that stay positive on the straight way to it."""
    support, values = mix
    while support.size:
        goal = solve(gram[support[:, None], support], slopes[support])
        falling = goal <= 0.0
        if not falling.any():
            return Mix(support, goal)
        shares = values[falling] / (values[falling] - goal[falling])
        values = values + float(shares.min()) * (goal - values)
        values[np.flatnonzero(falling)[shares.argmin()]] = 0.0
        alive = values > 0.0
        support, values = support[alive], values[alive]
    return NOTHING


def solve(gram: Floats, right: Floats) -> Floats:
    """Return the x with gram @ x = right."""
    return np.linalg.solve(gram, right).astype(np.float64, copy=False)


def nonnegative_by_scipy(paths: Floats, slopes: Floats) -> Mix:
    """Return the optimal mix of the rows of `paths` (k x T) from one orthogonal factorisation, never a Gram matrix.

    Slower, and scipy.optimize takes 49 MB, but exact where rows almost depend on each other: the problem is posed as
    min norm([Z'; m q'; ridge] x - [0; 1; 0]).
    """
    from scipy.optimize import nnls

    balance = 1.0 / float(np.abs(slopes).max())
    system = np.vstack((paths.T, balance * slopes, np.diag(np.full(slopes.size, RISKLESS))))
    goal = np.zeros(system.shape[0])
    goal[paths.shape[1]] = 1.0
    try:
        values, _ = nnls(system, goal)
    except RuntimeError:
        return NOTHING
    support = np.flatnonzero(values > 0.0)
    return Mix(support, values[support])
