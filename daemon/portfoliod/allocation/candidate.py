"""What the searches for the best slope/std ratio share."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple, TypeAlias

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.nonnegative import RISKLESS, Mix, Solution
from portfoliod.allocation.unit_rows import UnitRows
from portfoliod.errors import AllocationError

ENOUGH = 1e-9
"""A larger certified gap is tried again by scipy."""

EDGE = 1e-12
"""A slope below this share of its risk is rounding, not an edge."""

_CANCELS = 0.03
"""Where a mix has less risk than this share of its parts', the rounding of its values is looked at."""

Solver: TypeAlias = Callable[[UnitRows, Floats, Mix], Solution]
"""(k rows, k slopes, a mix to start from) -> the optimal mix of the rows, and its path."""


class Candidate(NamedTuple):
    """A mix of the strategies, not yet scaled to a sum."""

    mix: Mix
    ratio: float
    """Slope over the norm of the centred path."""
    gap: float
    """Upper bound on (best ratio - ratio) / ratio."""


class Riskless(AllocationError):
    """A mix of strategies has a positive slope and no risk: no ratio is the best. `columns` are its strategies."""

    def __init__(self, columns: list[int]) -> None:
        super().__init__(
            "a mix of strategies has no risk in the window, so its slope/std has no bound",
            found=f"{len(columns)} strategies that cancel each other's risk",
            mend="raise lookback_days, leave out strategies that mirror others, or choose another allocator",
        )
        self.columns = columns


def ratio_of(paths: UnitRows, slopes: Floats, mix: Mix, path: Floats | None = None) -> float:
    """Return the slope of the mix over the norm of its path.

    Args:
        paths: N rows.
        slopes: N.
        mix: of some of the rows.
        path: the mix's, to within the rounding of its values; None: not known.

    Raises:
        Riskless: that norm is rounding.
    """
    parts = float(mix.values.sum())
    norm = 0.0 if path is None else sqrt(path @ path)
    if norm < _CANCELS * parts:
        path = paths.mixed(mix.values, mix.support)
        norm = sqrt(path @ path)
    if norm <= RISKLESS * parts:
        raise Riskless(mix.support.tolist())
    return float(mix.values @ slopes[mix.support]) / norm
