"""Non-negative least squares on a small Gram matrix: a primal active set after Lawson and Hanson.

The problem is  minimise  x'Gx / 2 - q'x  over x >= 0,  G = Z Z' of unit rows. Its optimum has the direction that
maximises q'x / norm(x'Z), which is what the allocators are after. (Lawson, Hanson: Solving Least Squares Problems, ch. 23.)

Strategies that depend on each other linearly make G singular: copies, a long-short beside its two legs. Such a
direction costs no risk, so it is followed until a weight reaches zero, and only an endless one is left as riskless.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices

DEPENDENT = 1e-13
"""Squared distance to the span of the others below which a unit row counts as dependent: the Gram matrix's rounding."""

TOLERANCE = 1e-14
"""Gradient, relative to the largest slope, that counts as zero."""


class Mix(NamedTuple):
    """A non-negative combination: `values` (all > 0) of the rows `support`."""

    support: Indices
    values: Floats
    riskless: bool = False
    """The combination has a positive slope and no risk, so the problem has no optimum."""


NOTHING = Mix(np.zeros(0, dtype=np.intp), np.zeros(0))


def nonnegative(gram: Floats, slopes: Floats, start: Mix = NOTHING) -> Mix:
    """Return the optimal mix, or the best one found when rounding stops the search: its user certifies it.

    Args:
        gram: k x k, unit diagonal, positive semidefinite.
        slopes: k.
        start: a mix that is optimal on its support.
    """
    mix = start
    tolerance = TOLERANCE * float(np.abs(slopes).max(initial=0.0))
    for _ in range(3 * slopes.size + 10):
        gradient = slopes - mix.values @ gram[mix.support]
        gradient[mix.support] = 0.0
        rising = np.flatnonzero(gradient > tolerance)
        if not rising.size:
            break
        guess = _shrink(gram, slopes, np.concatenate((mix.support, rising))) if rising.size > 1 else NOTHING
        if guess.values @ slopes[guess.support] > mix.values @ slopes[mix.support]:
            mix = guess
            continue
        entering = int(gradient.argmax())
        mix = _enter(gram, slopes, mix, entering, float(gradient[entering]))
        if mix.riskless:
            break
    return mix


def _shrink(gram: Floats, slopes: Floats, support: Indices) -> Mix:
    """Return a mix that is optimal on a part of `support`: without the rows that come out negative, again and again.

    The optimum usually has about that support, in far fewer steps than one row at a time takes.
    """
    while support.size:
        block = gram[support[:, None], support]
        try:
            values = np.linalg.solve(block, slopes[support])
        except np.linalg.LinAlgError:
            return NOTHING
        positive = values > 0.0
        if positive.all():
            return Mix(support, values) if _independent(block) else NOTHING
        support = support[positive]
    return NOTHING


def _independent(block: Floats) -> bool:
    try:
        pivots = np.linalg.cholesky(block).diagonal()
    except np.linalg.LinAlgError:
        return False
    return bool(pivots.min() ** 2 > DEPENDENT)


def _enter(gram: Floats, slopes: Floats, mix: Mix, entering: int, gradient: float) -> Mix:
    """Return the optimal mix on the support with the row `entering`, less the rows that it drives to zero."""
    support, values, _ = mix
    # Along this direction the slope equations of the support stay solved while the entering row grows.
    column = gram[support, entering]
    pull = np.linalg.solve(gram[support[:, None], support], column) if support.size else column
    curvature = float(gram[entering, entering] - column @ pull)
    step = gradient / curvature if curvature > DEPENDENT else np.inf
    blocking = pull > 0.0
    room = float((values[blocking] / pull[blocking]).min(initial=np.inf))
    if step == np.inf and room == np.inf:
        return Mix(np.append(support, entering), np.append(-pull, 1.0), riskless=True)
    grown = np.append(values - min(step, room) * pull, min(step, room))
    support = np.append(support, entering)
    if step < room:
        return Mix(support, grown)
    grown[:-1][blocking & (values <= room * pull)] = 0.0
    return _settle(gram, slopes, support, grown)


def _settle(gram: Floats, slopes: Floats, support: Indices, values: Floats) -> Mix:
    """Return the optimum on the rows of `support` that stay positive on the way to it."""
    while True:
        alive = values > 0.0
        support, values = support[alive], values[alive]
        if not support.size:
            return NOTHING
        goal = np.linalg.solve(gram[support[:, None], support], slopes[support])
        falling = goal <= 0.0
        if not falling.any():
            return Mix(support, goal)
        shares = values[falling] / (values[falling] - goal[falling])
        values = values + float(shares.min()) * (goal - values)
        values[np.flatnonzero(falling)[shares.argmin()]] = 0.0
        values[values < 0.0] = 0.0


def nonnegative_by_scipy(paths: Floats, slopes: Floats) -> Mix:
    """Return the optimal mix of the rows of `paths` (k x T) from one orthogonal factorisation, never a Gram matrix.

    Slower, and scipy.optimize takes 49 MB, but exact where rows depend on each other almost: the problem is posed as
    min norm([Z'; m q'] x - [0; 1]), which is bounded also when a mix is riskless.
    """
    from scipy.optimize import nnls

    balance = 1.0 / float(np.abs(slopes).max())
    system = np.vstack((paths.T, balance * slopes))
    goal = np.zeros(system.shape[0])
    goal[-1] = 1.0
    try:
        values, _ = nnls(system, goal)
    except RuntimeError:
        return NOTHING
    support = np.flatnonzero(values > 0.0)
    return Mix(support, values[support])
