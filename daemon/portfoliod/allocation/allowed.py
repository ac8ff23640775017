"""The set of allowed mixes: shares of at least 0 with sum 1, each under its cap, and groups of them under theirs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Floats, Indices
from portfoliod.allocation.candidate import Solver
from portfoliod.allocation.unit_rows import UnitRows
from portfoliod.errors import AllocationError

_DUST = 1e-12
_SLACK = 1e-9
"""A group this close to its ceiling is at it."""


class Allowed(NamedTuple):
    """Every x >= 0 with sum 1, x <= caps, members @ x <= ceilings; not empty."""

    caps: Floats
    """M, positive."""
    members: Floats
    """K x M."""
    ceilings: Floats
    """K."""

    def corner(self, gains: Floats) -> Floats:
        """Return the allowed mix that gains the most; ties go to the first.

        With groups it is as exact as a linear program's tolerance: good enough as a direction, not as a bound.
        """
        return self.priced_corner(gains)[0] if self.ceilings.size else fill(gains, self.caps)

    def keeps(self, mix: Floats) -> bool:
        """Return whether a mix is allowed, to within rounding."""
        inside = abs(float(mix.sum()) - 1.0) <= _SLACK and bool(((mix >= -_SLACK) & (mix <= self.caps + _SLACK)).all())
        return inside and bool((self.members @ mix <= self.ceilings + _SLACK).all())

    def tight(self, mix: Floats) -> Indices:
        """Return the numbers of the groups that are at their ceiling."""
        if not self.ceilings.size:
            return np.zeros(0, dtype=np.intp)
        return np.flatnonzero(self.members @ mix >= self.ceilings - _SLACK)

    def priced_corner(self, gains: Floats) -> tuple[Floats, Floats]:
        """Return the allowed mix that gains the most, and what each ceiling costs it (K prices, >= 0)."""
        from scipy.optimize import linprog  # here, so that only a daemon with groups pays for it

        scale = float(np.abs(gains).max()) or 1.0
        found = linprog(
            -gains / scale,
            A_ub=self.members,
            b_ub=self.ceilings,
            A_eq=np.ones((1, gains.size)),
            b_eq=np.ones(1),
            bounds=[(0.0, cap) for cap in self.caps.tolist()],
            method="highs-ds",
        )
        if found.x is None:
            raise AllocationError(
                "the limits on weights cannot all be kept",
                where="optimizer.groups",
                found=str(found.message),
                mend="widen optimizer.bounds or optimizer.groups",
            )
        mix: Floats = np.clip(found.x, 0.0, self.caps)
        mix[mix < _DUST] = 0.0
        mix /= mix.sum()
        return mix, np.maximum(-scale * found.ineqlin.marginals, 0.0)


class Problem(NamedTuple):
    """M members, what is allowed, and the solver for the best mix of given rows."""

    paths: UnitRows
    """M rows."""
    gains: Floats
    """M: what a share of 1 adds to the numerator."""
    risk: Floats
    """M: what turns a share into a multiple of its row."""
    allowed: Allowed
    solver: Solver

    def rows(self, members: Indices) -> Floats:
        """Return the centred returns of a share of 1 in each of k members, k x T."""
        rows = self.paths.chosen(members).dense()
        rows *= self.risk[members][:, None]
        return rows


def fill(gains: Floats, caps: Floats) -> Floats:
    """Return the mix under the caps with sum 1 that gains the most; ties go to the first."""
    order = np.argsort(-gains, kind="stable")
    sorted_caps = caps[order]
    left = 1.0 - (sorted_caps.cumsum() - sorted_caps)
    mix = np.zeros(gains.size)
    mix[order] = np.minimum(np.where(left > _DUST, left, 0.0), sorted_caps)
    return mix
