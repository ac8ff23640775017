"""The weights of each day, decided from the days before it and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from portfoliod.allocation.allocators import Allocator
from portfoliod.allocation.arrays import Bools, Floats, Indices
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.standardise import standardise
from portfoliod.allocation.walk_forward.timeline import Timeline
from portfoliod.allocation.weighing import weigh
from portfoliod.allocation.window import Window
from portfoliod.errors import AllocationError

Values = TypeVar("Values", Floats, Bools)

Solve: TypeAlias = Callable[[int, Indices, Floats | None], Floats]
"""(number of an evaluated day, its K included columns, the N weights in force, if there are any) -> K weights.

All zero: nothing is worth holding. It raises AllocationError where there are no trustworthy weights."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many days are done, and of how many."""


def unseen(_done: int, _days: int) -> None:
    """Show no progress."""


_CALM = 1e-9
"""Returns that vary less than this share of the largest may have no risk at all."""


def require_some(alive: Indices) -> None:
    """Raise AllocationError, as an optimization does, where no strategy with risk is left."""
    if not alive.size:
        raise AllocationError(
            "no strategy can be included in the allocation",
            mend="change min_history_days, stale_after_days or lookback_days, or let the strategies backtest more days",
        )


class Decisions(NamedTuple):
    """What is held on each of E evaluated days."""

    decided: Indices
    """The numbers of the evaluated days on which weights were asked for, the first one included."""
    fresh: Bools
    """len(decided): whether what was found is in force from then on; else what was before it stays."""
    weights: Floats
    """len(decided) x N."""
    refused: dict[str, int]
    """Why weights in force stayed, and on how many days."""
    first_refusal: AllocationError | None

    @property
    def possible(self) -> bool:
        """Whether any window was not refused."""
        return sum(self.refused.values()) < self.decided.size

    def on_each_day(self, values: Values, days: int) -> Values:
        """Return a value (or a row) of each decision as it is in force on each of the evaluated days."""
        return values[np.searchsorted(self.decided, np.arange(days), side="right") - 1]


def decide(line: Timeline, rules: Rules, every: int, solve: Solve, progress: Progress) -> Decisions:
    """Return the weights of every `every`-th evaluated day; they stay in force until the next.

    Days without a strategy to include, and days on which no trustworthy weights exist, keep what is in force, as the
    daemon does; so do days without an edge where `rules.when_no_edge` says keep.
    """
    decided = np.arange(0, line.rows.size, every)
    weights = np.zeros((decided.size, len(line.names)))
    fresh = np.zeros(decided.size, dtype=bool)
    in_force: Floats | None = None
    refused: dict[str, int] = {}
    first: AllocationError | None = None
    for row, index in enumerate(decided.tolist()):
        included = line.included[index].nonzero()[0]
        try:
            found = solve(index, included, in_force)
        except AllocationError as error:
            refused[error.what] = refused.get(error.what, 0) + 1
            first = first or error
        else:
            if found.any() or rules.when_no_edge == "cash":
                in_force = np.zeros(len(line.names))
                in_force[included] = found
                fresh[row] = True
        if in_force is not None:
            weights[row] = in_force
        progress(min(index + every, line.rows.size), line.rows.size)
    return Decisions(decided, fresh, weights, refused, first)


def from_scratch(line: Timeline, rules: Rules, brought: Allocator | None) -> Solve:
    """Return the solver that weighs each window as an optimization does, whatever came before.

    Args:
        line: the calendar.
        rules: the settings of each optimization.
        brought: an allocator that an installed package brings.
    """

    def solve(index: int, included: Indices, in_force: Floats | None) -> Floats:
        names = tuple(line.names[column] for column in included.tolist())
        require_some(included)
        # One strategy's returns lie side by side in memory, as in an optimization's window: the same bits come out.
        returns = np.ascontiguousarray(line.window(index, rules.lookback_days).T[included]).T
        if np.ptp(returns, axis=0).max() <= _CALM * np.abs(returns).max():
            require_some(standardise(returns).risk.nonzero()[0])
        previous = None
        if in_force is not None and in_force.any():
            previous = dict(zip(line.names, in_force.tolist(), strict=True))
        return weigh(Window(names, line.day(int(line.ends[index])), returns, {}), rules, previous, brought).weights

    return solve
