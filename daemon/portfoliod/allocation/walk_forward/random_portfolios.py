"""Portfolios that nobody thought about, on the same days and with the same strategies as those that somebody did."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from portfoliod.allocation.arrays import Bools, Floats, Indices
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.walk_forward.banded import windowed
from portfoliod.allocation.walk_forward.paths import Paths, deviation, leverage_of, volatility_weights
from portfoliod.allocation.walk_forward.timeline import Timeline


def dirichlet(strategies: int, count: int, seed: int) -> Floats:
    """Return N x count proportions, uniform over all that are >= 0 and sum to 1: Dirichlet(1, ..., 1)."""
    proportions: Floats = np.random.default_rng(seed).dirichlet(np.ones(strategies), count).T
    return proportions


def static_portfolios(line: Timeline, rules: Rules, decided: Indices, proportions: Floats) -> Paths:
    """Return what fixed proportions (N x P) would have done.

    Of the proportions those of the strategies that are included on a day of decision count, scaled to sum 1: no
    portfolio holds what the others could not. Leverage is decided on the same days, from the same windows.
    """
    days, count = line.rows.size, proportions.shape[1]
    paths = Paths(*(np.zeros((days, count)) for _ in Paths._fields))
    before, levered_before = np.zeros_like(proportions), np.zeros_like(proportions)
    for first, last in _runs(line.included[decided]):
        members = line.included[decided[first]].nonzero()[0]
        weights = np.zeros_like(proportions)
        if members.size:
            weights[members] = proportions[members] / proportions[members].sum(axis=0)
        start = int(decided[first])
        stop = int(decided[last]) if last < decided.size else days
        paths.gross[start:stop] = line.returns[line.rows[start:stop]] @ weights
        paths.traded[start] = np.abs(weights - before).sum(axis=0)
        found = _leverage(line, rules, weights, line.ends[decided[first:last]])
        held = np.searchsorted(decided[first:last], np.arange(start, stop), side="right") - 1
        paths.leverage[start:stop] = found[held]
        paths.levered_traded[start] = np.abs(found[0] * weights - levered_before).sum(axis=0)
        paths.levered_traded[start + 1 : stop] = np.abs(np.diff(found[held], axis=0)) * weights.sum(axis=0)
        before, levered_before = weights, found[-1] * weights
    return paths


def _runs(included: Bools) -> Iterator[tuple[int, int]]:
    """Yield the first and the last (exclusive) of each run of decisions about the same strategies."""
    changes = (included[1:] != included[:-1]).any(axis=1).nonzero()[0] + 1
    yield from pairwise([0, *changes.tolist(), included.shape[0]])


def _leverage(line: Timeline, rules: Rules, weights: Floats, ends: Indices) -> Floats:
    """Return len(ends) x P: SPEC's leverage of fixed weights, from the windows that end in those rows."""
    counts = volatility_weights(rules)
    first = int(ends[0]) - counts.size + 1
    portfolios = line.returns[first : int(ends[-1]) + 1] @ weights
    portfolios -= portfolios.mean(axis=0)  # so that the sums below stay small beside what they are a difference of
    (mean,), (square,) = (windowed(values, ends - first, counts[None]) for values in (portfolios, portfolios**2))
    return leverage_of(deviation(square - mean**2, counts), rules) * weights.any(axis=0)
