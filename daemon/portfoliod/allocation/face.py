"""The best mix among those that have the same members at their caps, the same at zero, and the same groups full."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from portfoliod.allocation.allowed import Problem
from portfoliod.allocation.arrays import Floats, Indices
from portfoliod.allocation.candidate import EDGE
from portfoliod.allocation.nonnegative import NOTHING, RIDGE, RISKLESS
from portfoliod.allocation.unit_rows import unit_rows

_REFITS = 8
_REFITS_IN_GROUPS = 40
_REFINEMENTS = 3


class Face(NamedTuple):
    """A guess at which limits bind."""

    capped: NDArray[np.bool_]
    """M truth values: at the cap."""
    free: Indices
    """Between zero and the cap; all others are at zero."""
    tight: Indices
    """The groups at their ceilings."""


def best_on_face(problem: Problem, face: Face) -> tuple[Floats, Floats] | None:
    """Return the best mix on the face, corrected where it leaves the limits, and its path; None when it is no mix."""
    return _in_groups(problem, face) if problem.allowed.ceilings.size else _under_caps(problem, face)


def _under_caps(problem: Problem, face: Face) -> tuple[Floats, Floats] | None:
    """With U at the cap and the others free, each mix is one of the portfolios "one free member and U".

    So the caps disappear; members that then come out above theirs join U.
    """
    _, gains, risk, (caps, _, _), solver = problem
    capped, free = face.capped, face.free
    for _ in range(_REFITS):
        full = np.flatnonzero(capped)
        room = 1.0 - float(caps[full].sum())
        if room <= 1e-9 or not free.size:
            return None
        shares = caps[full] / room
        multiples = risk[full] * shares
        rows = problem.rows(free) + problem.paths.mixed(multiples, full)
        lengths = np.sqrt(np.vecdot(rows, rows))
        if (lengths <= RISKLESS * (risk[free] + multiples.sum())).any():
            return None
        mix, path = solver(unit_rows(rows, lengths), (gains[free] + shares @ gains[full]) / lengths, NOTHING)
        if not mix.support.size:
            return None
        chosen = free[mix.support]
        amounts = mix.values / lengths[mix.support]
        amounts *= room / amounts.sum()
        above = chosen[amounts > caps[chosen]]
        if not above.size:
            found = np.where(capped, caps, 0.0)
            found[chosen] = amounts
            return found, path
        capped = capped.copy()
        capped[above] = True
        free = np.setdiff1d(free, above)
    return None


def _in_groups(problem: Problem, face: Face) -> tuple[Floats, Floats] | None:
    """Move members and groups that leave their limits, or want to, onto and off them, one kind at a time."""
    allowed = problem.allowed
    capped, free, tight = face
    for _ in range(_REFITS_IN_GROUPS):
        solved = stationary(problem, Face(capped, free, tight))
        if solved is None:
            return None
        mix, path, prices = solved
        low, high = mix[free] < 0.0, mix[free] > allowed.caps[free]
        if low.any() or high.any():
            capped = capped.copy()
            capped[free[high]] = True
            free = free[~(low | high)]
        elif (broken := np.setdiff1d(np.flatnonzero(allowed.members @ mix > allowed.ceilings + 1e-12), tight)).size:
            tight = np.union1d(tight, broken)
        elif prices.size and prices.min() < 0.0:
            tight = np.delete(tight, prices.argmin())
        else:
            return (mix, path) if allowed.keeps(mix) else None
    return None


def stationary(problem: Problem, face: Face) -> tuple[Floats, Floats, Floats] | None:
    """Return the mix at which the ratio is stationary on the face, its path, and the prices of the tight groups.

    The unknowns are the length t of the mix and the free members' y; the linear conditions of the face are
    homogeneous in (t, y), so that the KKT conditions of min |path|^2 / 2 - gain are one linear system.
    """
    paths, gains, risk, allowed, _ = problem
    capped, free, tight = face
    base = np.where(capped, allowed.caps, 0.0)
    members = allowed.members[tight]
    full = np.flatnonzero(base)
    rows = np.vstack((paths.mixed(base[full] * risk[full], full), problem.rows(free)))
    lengths = np.sqrt(np.vecdot(rows, rows))
    lengths[lengths == 0.0] = 1.0
    rows /= lengths[:, None]
    slopes = np.concatenate(([base @ gains], gains[free])) / lengths
    conditions = (
        np.vstack(
            (
                np.concatenate(([base.sum() - 1.0], np.ones(free.size))),
                np.column_stack((members @ base - allowed.ceilings[tight], members[:, free])),
            )
        )
        / lengths
    )
    count, extra = slopes.size, conditions.shape[0]
    system = np.zeros((count + extra, count + extra))
    system[:count, :count] = rows @ rows.T
    system.flat[: count * (count + extra + 1) : count + extra + 1] += RIDGE
    system[:count, count:] = conditions.T
    system[count:, :count] = conditions
    # Two groups that say the same on this face, a maximum and a minimum of the rest, share one price.
    dependent = extra > 1 and np.linalg.matrix_rank(conditions) < extra
    solution = np.zeros(count + extra)
    for _ in range(_REFINEMENTS):
        amounts, multipliers = solution[:count], solution[count:]
        left = slopes - rows @ (amounts @ rows) - multipliers @ conditions
        right = np.concatenate((left, -(conditions @ amounts)))
        try:
            solution = solution + (np.linalg.lstsq(system, right)[0] if dependent else np.linalg.solve(system, right))
        except np.linalg.LinAlgError:
            return None
    amounts = solution[:count] / lengths
    path = solution[:count] @ rows
    # Conditions that only t = y = 0 keeps leave rounding.
    if not np.isfinite(solution).all() or amounts[0] <= 0.0 or path @ path <= EDGE**2:
        return None
    mix = base.copy()
    mix[free] = amounts[1:] / amounts[0]
    return mix, path, solution[count + 1 :]
