"""From a window of returns to weights under all rules: what each re-optimization repeats, live and in a backtest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.allocators import ALLOCATORS, SUM_TOLERANCE, Allocator, allocator, checked
from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.candidate import Riskless
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.slope_std import ENOUGH, has_edge, optimum, slope_std
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
    standard = standardise(frame.returns)
    alive = standard.risk > 0.0
    if not alive.all():
        names = tuple(name for name, lives in zip(frame.names, alive.tolist(), strict=True) if lives)
        living = weigh(Window(names, frame.last_day, frame.returns.T[alive].T, {}), rules, previous, chosen)
        weights = np.zeros(alive.size)
        weights[alive] = living.weights
        return living._replace(weights=weights)
    if not alive.size or not has_edge(standard, rules.max_weight):
        return Weighed(np.zeros(alive.size), 0.0, ())
    weights, gap = _weigh(frame, rules, chosen)
    return Weighed(weights, gap, (*_cap_notes(frame.names, weights, rules.max_weight), *_gap_notes(gap)))


def _weigh(frame: Window, rules: Rules, solve: Allocator) -> tuple[Floats, float]:
    """Return the exact weights under the cap, and what is proven of them."""
    if solve is slope_std:
        try:
            best = optimum(frame.returns, rules.max_weight)
        except Riskless as error:
            raise AllocationError(error.what, found=_cancelling(frame.names, error), mend=error.mend) from error
        return best.weights, best.gap
    ours = solve in ALLOCATORS.values()
    weights = solve(frame.returns, rules) if ours else checked(solve, frame.returns, rules)
    return water_fill(weights, rules.max_weight) if weights.any() else weights, 0.0


def _cancelling(names: tuple[str, ...], error: Riskless) -> str:
    shown = [names[column] for column in sorted(error.columns)]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return f"{', '.join(shown[:_SHOWN])}{more} cancel each other's risk"


def _cap_notes(names: tuple[str, ...], weights: Floats, max_weight: float) -> list[str]:
    if max_weight >= 1.0:
        return []
    total = float(weights.sum())
    if len(names) * max_weight < 1.0 - SUM_TOLERANCE:
        return [
            f"max_weight {max_weight:g} leaves {1.0 - total:.2%} of the portfolio in cash: "
            f"{len(names)} strategies at that cap do not fill it"
        ]
    capped = [name for name, weight in zip(names, weights.tolist(), strict=True) if weight >= max_weight - 1e-6]
    return [f"max_weight {max_weight:g} bites: {', '.join(capped)}"] if capped else []


def _gap_notes(gap: float) -> list[str]:
    if gap <= ENOUGH:
        return []
    return [f"the score is proven only to within {gap:.2e} of the best: some strategies almost cancel each other"]
