"""From a window of returns to weights under all rules: what each re-optimization repeats, live and in a backtest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.allocators import ALLOCATORS, Allocator, allocator, checked
from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import ENOUGH, Riskless
from portfoliod.allocation.constrained import any_edge, nearest
from portfoliod.allocation.limits import Limits, caps, limits
from portfoliod.allocation.limits import notes as limit_notes
from portfoliod.allocation.optimal import best_slope, least_variance, min_variance
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.slope_std import slope_ratio, slope_std
from portfoliod.allocation.standardise import standardise
from portfoliod.allocation.weights import water_fill
from portfoliod.allocation.window import Window
from portfoliod.errors import AllocationError

_SHOWN = 8


class Weighed(NamedTuple):
    """The weights of one window."""

    weights: Floats
    """One for each name of the window, exact, >= 0, sum 1 (less where `max_weight` says so); all zero: no edge."""
    gap: float
    """Upper bound on the relative miss of what is maximised; 0.0 for allocators that maximise nothing."""
    notes: tuple[str, ...]
    """Sentences for a person: what was cut, and by which setting."""


def weigh(
    frame: Window, rules: Rules, previous: Mapping[str, float] | None = None, solve: Allocator | None = None
) -> Weighed:
    """Return the weights of a window under the rules.

    No edge means that no allocation under the rules has a positive score, whichever allocator is chosen: then holding
    cash beats all of them. Strategies without risk in the window get nothing.

    Args:
        frame: the returns of the included strategies.
        rules: the settings.
        previous: the weights in force by name, which a change costs turnover against; None: there are none.
        solve: an allocator that an installed package brings; without it the built-in that `rules.allocator` names.

    Raises:
        AllocationError: a return is not finite, the ratio has no bound, or `solve` returns what are no weights.
    """
    chosen = solve or allocator(rules.allocator)
    standard = standardise(frame.returns) if frame.names else None
    alive = np.zeros(0, dtype=bool) if standard is None else standard.risk > 0.0
    if standard is None or not alive.any():
        return Weighed(np.zeros(alive.size), 0.0, ("no strategy has any risk in the window",))
    if not alive.all():
        names = tuple(name for name, lives in zip(frame.names, alive.tolist(), strict=True) if lives)
        living = weigh(Window(names, frame.last_day, frame.returns.T[alive].T, {}), rules, previous, chosen)
        weights = np.zeros(alive.size)
        weights[alive] = living.weights
        return living._replace(weights=weights)
    count = alive.size
    underfilled = count * rules.max_weight <= 1.0 and not rules.bounds and not rules.groups
    allowed = caps(count, rules.max_weight) if underfilled else limits(frame.names, rules)
    if not any_edge(slope_ratio(standard), allowed):
        return Weighed(np.zeros(count), 0.0, ("no allocation has a positive score",))
    if underfilled and (chosen is slope_std or chosen is min_variance):
        weights, gap = np.full(count, rules.max_weight), 0.0
    else:
        weights, gap = _weigh(frame, rules, allowed, previous, chosen)
    if not weights.any():
        reason = "no allocation has a positive score" + (
            " after turnover_cost" if chosen is slope_std and rules.turnover_cost > 0.0 else ""
        )
        return Weighed(weights, 0.0, (reason,))
    return Weighed(weights, gap, (*limit_notes(frame.names, weights, rules), *_notes(gap, rules, chosen)))


def _weigh(
    frame: Window, rules: Rules, allowed: Limits, previous: Mapping[str, float] | None, solve: Allocator
) -> tuple[Floats, float]:
    """Return the exact weights within the limits, and what is proven of them."""
    try:
        if solve is slope_std:
            best = best_slope(frame.returns, frame.names, rules, allowed, previous)
            return best.weights, best.gap
        if solve is min_variance:
            best = least_variance(frame.returns, rules, allowed)
            return best.weights, best.gap
    except Riskless as error:
        raise AllocationError(error.what, found=_cancelling(frame.names, error), mend=error.mend) from error
    ours = solve in ALLOCATORS.values()
    weights = solve(frame.returns, rules) if ours else checked(solve, frame.returns, rules)
    if not weights.any():
        return weights, 0.0
    plain = not rules.bounds and not rules.groups
    return water_fill(weights, rules.max_weight) if plain else nearest(weights, allowed), 0.0


def _cancelling(names: tuple[str, ...], error: Riskless) -> str:
    shown = [names[column] for column in sorted(error.columns)]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return f"{', '.join(shown[:_SHOWN])}{more} cancel each other's risk"


def _notes(gap: float, rules: Rules, solve: Allocator) -> list[str]:
    said = []
    if gap > ENOUGH:
        said.append(
            f"the score is proven only to within {gap:.2e} of the best: some strategies almost cancel each other"
        )
    if solve is not slope_std and (rules.turnover_cost > 0.0 or rules.objective != "cumsum"):
        said.append(f'"{rules.allocator}" does not read turnover_cost and objective')
    return said
