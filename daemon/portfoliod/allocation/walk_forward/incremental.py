"""The best slope/std portfolio of one window after another, each from the one before.

Between two days a window loses a row and gains one, and the best portfolio mostly keeps its strategies. So the products
of all pairs of strategies are kept up to date by two rows, the slopes of all windows come from one banded product, and
what held yesterday is solved again and checked: it is the optimum exactly where every held strategy comes out positive
and no other one would improve the mix (the KKT conditions of `nonnegative`). Where a few strategies join or leave, the
search goes on from there; its end is checked in the same way.

Strategies that are the same on all days are one, which shares its weight. Whatever else is not plain is left to the
solver from scratch: ties, strategies that almost depend on each other, slopes of almost zero, and returns so uneven
that their products would be rounding.
"""

from __future__ import annotations

import msgspec
import numpy as np
from scipy.linalg.blas import dgemm, dger
from scipy.linalg.lapack import dposv

from portfoliod.allocation.arrays import Bools, Floats, Indices
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.standardise import slope_weights
from portfoliod.allocation.walk_forward.banded import windowed
from portfoliod.allocation.walk_forward.decisions import Solve, require_some
from portfoliod.allocation.walk_forward.timeline import Timeline

LARGEST = 2000
"""With more strategies than this the products of all pairs cost more than a fresh solve."""

_REFRESH = 250
"""Days after which rounding is taken out of the products of all pairs."""

_UNEVEN = 100.0
"""How much larger than a strategy's variance the products that it is a difference of may be."""

_TINY = 1e-200
"""Products below it have lost digits."""

_INDEPENDENT = 1e-3
"""The least share of a strategy's variance that the others of a mix must leave unexplained."""

_TIE = 1e-9
"""A gradient below this share of the largest slope is no difference."""

_ROUNDS = 12
_JOIN = 8


_WEIGHTLESS = (
    "target_vol",
    "lookback_days",
    "periods_per_year",
    "max_leverage",
    "vol_floor",
    "min_history_days",
    "stale_after_days",
    "when_no_edge",
    "vol_lookback_days",
    "vol_halflife_days",
)
"""The rules under which the best slope/std of a window is the same portfolio, whatever they say."""


def is_plain(rules: Rules) -> bool:
    """Return whether the weights of a window are its best slope/std without any constraint."""
    neutral = {name: getattr(rules, name) for name in _WEIGHTLESS}
    return rules == msgspec.structs.replace(Rules(), **neutral)


class Incremental:
    """The solver of one window after another, uncapped; `fresh` counts those that were left to the solver given."""

    def __init__(self, line: Timeline, rules: Rules, from_scratch: Solve) -> None:
        self.fresh = 0
        self._from_scratch = from_scratch
        self._ends = line.ends
        self._length = rules.lookback_days
        # A power of two changes no digit, and makes strategies of any scale alike.
        largest = np.abs(line.returns).max(axis=0)
        self._scale: Floats = np.exp2(np.ceil(np.log2(np.where(largest > 0.0, largest, 1.0))))
        self._returns: Floats = line.returns / self._scale
        weights = np.vstack((slope_weights(self._length), np.ones(self._length)))
        self._slopes, self._sums = windowed(self._returns, line.ends, weights)
        self._constant = _constant(line.returns, line.ends, self._length)
        self._first = _first_alike(self._returns)
        self._alike = bool((self._first != np.arange(self._first.size)).any())
        self._held: Bools = np.zeros(len(line.names), dtype=bool)
        self._end = -1
        self._updates = 0
        self._gram: Floats
        self._peak: Floats

    def __call__(self, index: int, included: Indices, in_force: Floats | None) -> Floats:
        """Return the weights of the included strategies in the window of an evaluated day; days come in order.

        Raises:
            AllocationError: what the solver from scratch raises.
        """
        self._advance(int(self._ends[index]))
        everybody = alive = included[~self._constant[index, included]]
        require_some(alive)
        if self._alike:
            alive = alive[np.unique(self._first[alive], return_index=True)[1]]
        sums = self._sums[index, alive]
        variance = self._variance(alive, sums)
        if variance is None:
            self._refresh(self._end)
            variance = self._variance(alive, sums)
        if variance is not None:
            risk: Floats = np.sqrt(variance)
            slopes: Floats = self._slopes[index, alive] / risk
            steepest = float(slopes.max())
            if steepest < -_TIE:
                return np.zeros(included.size)
            found = self._search(alive, slopes, sums, risk, _TIE * steepest) if steepest > _TIE else None
            if found is not None:
                self._held[:] = False
                self._held[found[0]] = True
                weights = np.zeros(self._held.size)
                weights[found[0]] = found[1] / found[1].sum()
                if self._alike:
                    self._share(weights, everybody)
                return weights[included]
        self.fresh += 1
        weights = self._from_scratch(index, included, in_force)
        if weights.any():
            self._held[:] = False
            self._held[included[weights > 0.0]] = True
        return weights

    def _share(self, weights: Floats, alive: Indices) -> None:
        """Let strategies that are the same share what one of them got."""
        first = self._first[alive]
        total = np.bincount(first, weights[alive], minlength=weights.size)
        weights[alive] = total[first] / np.bincount(first, minlength=weights.size)[first]

    def _advance(self, end: int) -> None:
        """Bring the products of all pairs to the window that ends in row `end`."""
        days = end - self._end
        self._updates += days
        if self._end < 0 or self._updates > _REFRESH or 2 * days > self._length:
            self._refresh(end)
            return
        if days:
            gained = self._returns[self._end + 1 : end + 1]
            lost = self._returns[self._end - self._length + 1 : end - self._length + 1]
            left, right = np.concatenate((gained, lost)), np.concatenate((gained, -lost))
            self._gram = dgemm(1.0, left.T, right.T, beta=1.0, c=self._gram, trans_b=True, overwrite_c=True)
            np.maximum(self._peak, self._gram.diagonal(), out=self._peak)
            self._end = end

    def _refresh(self, end: int) -> None:
        window = self._returns[end - self._length + 1 : end + 1]
        self._gram = np.asfortranarray(window.T @ window)
        self._peak = self._gram.diagonal().copy()
        self._end, self._updates = end, 0

    def _variance(self, alive: Indices, sums: Floats) -> Floats | None:
        """Return the squared norms of the centred returns, None where rounding would be seen in one."""
        variance: Floats = self._gram.diagonal()[alive] - sums * sums / self._length
        return None if (_UNEVEN * variance <= np.maximum(self._peak[alive], _TINY)).any() else variance

    def _search(
        self, alive: Indices, slopes: Floats, sums: Floats, risk: Floats, tie: float
    ) -> tuple[Indices, Floats] | None:
        """Return the columns of the optimum and their shares, None where it is not plain."""
        support = self._held[alive].nonzero()[0]
        if not support.size:
            support = np.array([slopes.argmax()])
        for _ in range(_ROUNDS):
            columns, own_sums, own_risk = alive[support], sums[support], risk[support]
            rows = self._gram.T[columns]
            covariance = dger(-1.0 / self._length, own_sums, own_sums, a=rows[:, columns].T, overwrite_a=True)
            factor, amounts, failed = dposv(covariance, slopes[support] * own_risk, overwrite_a=True)
            if failed or (factor.diagonal() / own_risk).min() ** 2 < _INDEPENDENT:
                return None
            products: Floats = (amounts @ rows)[alive] - float(amounts @ own_sums) / self._length * sums
            pull = slopes - products / risk
            pull[support] = -np.inf
            joining = (pull > tie).nonzero()[0]
            if joining.size > _JOIN:
                joining = joining[np.argsort(-pull[joining], kind="stable")[:_JOIN]]
            staying = amounts > 0.0
            if not joining.size and staying.all():
                return None if pull.max() >= -tie else (columns, amounts / self._scale[columns])
            support = np.concatenate((support[staying], joining))
            if not support.size:
                return None
        return None


def _first_alike(returns: Floats) -> Indices:
    """Return for each strategy the first one that has the same returns on all days."""
    firsts: dict[bytes, int] = {}
    columns = np.ascontiguousarray(returns.T) + 0.0  # turns -0.0, which equals 0.0, into it
    return np.array([firsts.setdefault(column.tobytes(), number) for number, column in enumerate(columns)])


def _constant(returns: Floats, ends: Indices, length: int) -> Bools:
    """Return E x N: in which windows a strategy has the same return every day, so that it has no risk."""
    changed = np.vstack((np.zeros((1, returns.shape[1]), dtype=bool), returns[1:] != returns[:-1]))
    newest = np.maximum.accumulate(np.where(changed, np.arange(returns.shape[0])[:, None], 0), axis=0)[ends]
    constant: Bools = newest <= (ends - length + 1)[:, None]
    return constant
