"""What the searches for the best slope/std ratio share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from portfoliod.allocation.arrays import Floats, Indices
from portfoliod.allocation.nonnegative import Mix, gram_matrix, nonnegative, nonnegative_by_scipy
from portfoliod.errors import AllocationError

Solver: TypeAlias = Callable[[Floats, Floats, Mix], Mix]
"""(k x T unit rows, k slopes, a mix to start from) -> the optimal mix of the rows."""


class Candidate(NamedTuple):
    """A mix of the strategies, not yet scaled to a sum."""

    support: Indices
    values: Floats
    """Multiples of the support's unit rows."""
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


def by_gram(paths: Floats, slopes: Floats, start: Mix) -> Mix:
    """Solve on the Gram matrix of the rows."""
    return nonnegative(gram_matrix(paths), slopes, start)


def by_scipy(paths: Floats, slopes: Floats, _start: Mix) -> Mix:
    """Solve on the rows themselves."""
    return nonnegative_by_scipy(paths, slopes)
