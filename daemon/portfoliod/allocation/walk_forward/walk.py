"""The walk-forward as a whole: decisions, what they earn, and what others earn on the same days."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import NamedTuple

import msgspec
import numpy as np

from portfoliod.allocation.allocators import Allocator, allocator
from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.slope_std import slope_std
from portfoliod.allocation.walk_forward.decisions import Decisions, Progress, decide, from_scratch, unseen
from portfoliod.allocation.walk_forward.incremental import LARGEST, Incremental, is_plain
from portfoliod.allocation.walk_forward.paths import (
    Moments,
    Paths,
    decided_paths,
    flat,
    volatility_weights,
    window_moments,
)
from portfoliod.allocation.walk_forward.random_portfolios import dirichlet, static_portfolios
from portfoliod.allocation.walk_forward.timeline import Timeline, timeline
from portfoliod.model import History


class Walk(msgspec.Struct, frozen=True, kw_only=True):
    """How a walk-forward is done."""

    every: int = 1
    """Weights are decided every so many evaluated days."""
    cost_bps: float = 0.0
    """What trading costs, in basis points of what is traded."""
    random: int = 1000
    """How many random portfolios it is compared with."""
    seed: int = 1
    """Of the random portfolios."""


class WalkForward(NamedTuple):
    """What a walk-forward found."""

    line: Timeline
    decisions: Decisions
    moments: Moments
    optimum: Paths
    """P = 1: the allocation that was walked forward."""
    equal: Paths
    """P = 1: the same weight for every strategy that is included."""
    random: Paths
    """P = walk.random."""

    def weights(self) -> Floats:
        """Return what was held on each evaluated day, before leverage: E x N."""
        return self.decisions.on_each_day(self.decisions.weights, self.line.rows.size)

    def in_sample_sharpe(self, periods_per_year: float) -> float | None:
        """Return the mean annual Sharpe ratio of the decided portfolios in their own windows, None without any."""
        known = self.moments.std > 0.0
        if not known.any():
            return None
        ratios = self.moments.mean[known] / self.moments.std[known]
        return float(ratios.mean()) * sqrt(periods_per_year)


def walk_forward(
    histories: Mapping[str, History],
    rules: Rules,
    walk: Walk,
    brought: Allocator | None = None,
    progress: Progress = unseen,
) -> WalkForward:
    """Return what the allocation would have done on each day, decided from the days before it.

    Args:
        histories: daily returns by strategy; their order does not matter.
        rules: the settings of each optimization.
        walk: how often, at what cost, and beside what.
        brought: an allocator that an installed package brings; without it the built-in that `rules.allocator` names.
        progress: called after each decision.

    Raises:
        AllocationError: fewer than two strategies, too few days, no such allocator, or no window that it can weigh.
    """
    brought = brought or allocator(rules.allocator)
    line = timeline(histories, rules)
    solve = from_scratch(line, rules, brought)
    if brought is slope_std and is_plain(rules) and len(line.names) <= LARGEST:
        solve = Incremental(line, rules, solve)
    decisions = decide(line, rules, walk.every, solve, progress)
    if decisions.first_refusal is not None and not decisions.possible:
        raise decisions.first_refusal
    moments = window_moments(line, decisions, flat(rules.lookback_days))
    estimated = moments
    if rules.vol_lookback_days is not None or rules.vol_halflife_days is not None:
        estimated = window_moments(line, decisions, volatility_weights(rules))
    strategies = len(line.names)
    proportions = np.hstack((np.ones((strategies, 1)), dirichlet(strategies, walk.random, walk.seed)))
    others = static_portfolios(line, rules, decisions.decided, proportions)
    return WalkForward(
        line,
        decisions,
        moments,
        decided_paths(line, rules, decisions, estimated.std),
        _columns(others, slice(0, 1)),
        _columns(others, slice(1, None)),
    )


def _columns(paths: Paths, chosen: slice) -> Paths:
    parts: list[Floats] = [part[:, chosen] for part in paths]
    return Paths(*parts)
