"""The best ratio under limits on weights, with a cost of turnover: brought to the form that `capped` solves.

A portfolio that keeps the minimums is them and a mix of what is left: a mix of "cells", each the minimums and the whole
rest in one strategy. With a cost of turnover a strategy has two cells: up to its weight in force, where each share
saves its cost, and above, where it pays it. The first is filled first, because it gains more, so that two cells with
caps are exact. What is constant in the numerator is added to each cell's gain, because shares add up to 1.
"""

from __future__ import annotations

from contextlib import suppress
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.allowed import Allowed, Problem
from portfoliod.allocation.arrays import Floats, Indices
from portfoliod.allocation.candidate import EDGE, ENOUGH, Riskless, Solver
from portfoliod.allocation.capped import best_allowed_mix, has_edge
from portfoliod.allocation.limits import Limits
from portfoliod.allocation.nonnegative import RISKLESS, nonnegative, nonnegative_by_scipy
from portfoliod.allocation.standardise import Standardised
from portfoliod.allocation.uncapped import best_mix
from portfoliod.allocation.unit_rows import unit_rows
from portfoliod.errors import AllocationError

_EXTREME = 1e50
_HIDDEN = 1e-7

UNPROVEN = 1.0
"""With a larger gap nothing is known of the weights."""


class Ratio(NamedTuple):
    """(gains'w + constant - cost sum |w - held|) / std(w), to be maximised."""

    standard: Standardised
    """Its slopes are not read."""
    gains: Floats
    """N."""
    constant: float = 0.0
    held: Floats | None = None
    """N weights in force; None: changes cost nothing."""
    cost: float = 0.0


class Best(NamedTuple):
    """The best portfolio under the limits, and the proof of how good it is."""

    weights: Floats
    """N, sum 1; all zero: none has a positive numerator."""
    ratio: float
    """Numerator over norm of the centred path."""
    gap: float
    """Upper bound on (best ratio - ratio) / ratio."""


class _Cells(NamedTuple):
    """What a share of 1 of each cell is: the minimums, and `room` in `strategy`."""

    lower: Floats
    room: float
    strategy: Indices

    def weights(self, shares: Floats) -> Floats:
        return self.lower + self.room * np.bincount(self.strategy, shares, minlength=self.lower.size)


def best_under(ratio: Ratio, limits: Limits) -> Best:
    """Return the portfolio within the limits with the best ratio.

    Raises:
        Riskless: the ratio has no bound.
        AllocationError: rounding hides the best.
    """
    best = search(ratio, limits)
    if best.gap > ENOUGH:
        with suppress(Riskless):
            best = min(best, search(ratio, limits, nonnegative_by_scipy), key=attrgetter("gap"))
    if best.gap > UNPROVEN or not _kept(best.weights, limits):
        raise AllocationError(
            "the best weights cannot be computed",
            found=f"a miss of up to {best.gap:.1e}, weights with a sum of {best.weights.sum():.9g}: returns differ "
            "too much in scale, or almost cancel each other",
            mend="correct stats.json of strategies with tiny or huge returns, or choose another allocator",
        )
    return best


def _kept(weights: Floats, limits: Limits) -> bool:
    """Return whether the weights are all zero or keep the limits, to within what rounding to six places hides."""
    if limits.plain or not weights.any():
        return True
    within = bool(((weights >= limits.lower - _HIDDEN) & (weights <= limits.upper + _HIDDEN)).all())
    grouped = bool((limits.members @ weights <= limits.ceilings + _HIDDEN).all())
    return within and grouped and abs(float(weights.sum()) - 1.0) <= _HIDDEN


def any_edge(ratio: Ratio, limits: Limits) -> bool:
    """Return whether any portfolio within the limits has a positive numerator."""
    if limits.plain and ratio.held is None:
        return bool(((ratio.gains + ratio.constant) / ratio.standard.risk).max() > EDGE)
    problem, cells = _problem(ratio, limits, nonnegative)
    return _fixed_has_edge(ratio, cells) if problem is None else has_edge(problem, EDGE)


def nearest(weights: Floats, limits: Limits) -> Floats:
    """Return the portfolio within the limits that is nearest to `weights` (N, sum 1), by the sum of squares."""
    count = weights.size
    outside = np.concatenate(
        (limits.lower - weights, weights - limits.upper, limits.members @ weights - limits.ceilings)
    )
    if outside.max() <= EDGE:
        return weights
    moves = np.eye(count) - weights
    lengths = np.maximum(np.sqrt(np.einsum("ij,ij->i", moves, moves)), EDGE)  # all in one strategy: no move
    away = Standardised(unit_rows(moves, lengths), np.zeros(count), lengths)
    try:
        return best_under(Ratio(away, np.ones(count)), limits).weights
    except Riskless:  # less than RISKLESS away
        return np.clip(weights, limits.lower, limits.upper)


def search(ratio: Ratio, limits: Limits, solver: Solver = nonnegative) -> Best:
    """Return the best portfolio that one search finds: enough for a step on the way to another problem's optimum."""
    if limits.plain and ratio.held is None:
        return _unlimited(ratio, solver)
    problem, cells = _problem(ratio, limits, solver)
    if problem is None:
        return Best(cells.lower if _fixed_has_edge(ratio, cells) else np.zeros(cells.lower.size), 0.0, 0.0)
    if not has_edge(problem, EDGE):
        return Best(np.zeros(cells.lower.size), 0.0, 0.0)
    steepest = float(np.abs(problem.gains / problem.risk).max())
    scale = steepest if steepest > _EXTREME else 1.0  # squares must fit
    try:
        found = best_allowed_mix(problem._replace(gains=problem.gains / scale))
    except Riskless as error:
        raise Riskless(np.unique(cells.strategy[error.columns]).tolist()) from error
    shares = np.zeros(problem.gains.size)
    shares[found.mix.support] = found.mix.values / problem.risk[found.mix.support]
    weights = np.clip(cells.weights(shares / shares.sum()), limits.lower, limits.upper)
    return Best(weights, found.ratio * scale, found.gap)


def _fixed_has_edge(ratio: Ratio, cells: _Cells) -> bool:
    """Return whether the minimums, which are all of the portfolio, have a positive numerator."""
    return bool(cells.lower @ ratio.gains + ratio.constant > EDGE * (cells.lower @ ratio.standard.risk))


def _unlimited(ratio: Ratio, solver: Solver) -> Best:
    risk = ratio.standard.risk
    slopes = (ratio.gains + ratio.constant) / risk
    weights = np.zeros(risk.size)
    if slopes.max() <= EDGE:
        return Best(weights, 0.0, 0.0)
    (support, values), best, gap = best_mix(ratio.standard.paths, slopes, solver)
    shares = values * (risk[support].min() / risk[support])
    weights[support] = shares / shares.sum()
    return Best(weights, best, gap)


def _problem(ratio: Ratio, limits: Limits, solver: Solver) -> tuple[Problem | None, _Cells]:
    """Return the problem of shares in cells; None when the minimums leave nothing to choose."""
    standard = ratio.standard
    largest = float(standard.risk.max())
    strategies = np.arange(standard.risk.size)
    gains, constant = ratio.gains, ratio.constant
    lower = limits.lower
    room = 1.0 - float(lower.sum())
    caps = limits.upper - lower
    if ratio.held is not None:
        kept = np.clip(ratio.held, lower, limits.upper) - lower
        constant -= ratio.cost * float(np.abs(lower - ratio.held).sum())
        strategies = np.concatenate((strategies, strategies))
        gains = np.concatenate((gains + ratio.cost, gains - ratio.cost))
        caps = np.concatenate((kept, caps - kept))
    open_cells = np.flatnonzero(caps > EDGE)
    strategies, gains, caps = strategies[open_cells], gains[open_cells], caps[open_cells]
    cells = _Cells(lower, room, strategies)
    if room <= EDGE:
        return None, cells
    members = limits.members[:, strategies]
    allowed = Allowed(np.minimum(caps / room, 1.0), members, (limits.ceilings - limits.members @ lower) / room)
    risk = standard.risk / largest
    gains = (constant + float(ratio.gains @ lower) + room * gains) / largest
    paths = standard.paths
    if strategies.size != lower.size or ratio.held is not None:
        paths = paths.chosen(strategies)
    if not lower.any():
        return Problem(paths, gains, risk[strategies], allowed, solver), cells
    fixed = np.flatnonzero(lower)
    rows = standard.paths.mixed(lower[fixed] * risk[fixed], fixed) + (room * risk[strategies])[:, None] * paths.dense()
    lengths = np.sqrt(np.vecdot(rows, rows))
    if (lengths <= RISKLESS * (lower @ risk + room * risk[strategies])).any():
        raise Riskless(np.flatnonzero(lower).tolist())
    return Problem(unit_rows(rows, lengths), gains, lengths, allowed, solver), cells
