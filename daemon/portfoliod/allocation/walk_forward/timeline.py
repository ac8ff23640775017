"""All returns on one calendar, the days that a walk-forward evaluates, and who could be included on each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

import numpy as np

from portfoliod.allocation.arrays import Bools, Floats, Indices
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.standardise import MIN_DAYS
from portfoliod.errors import AllocationError
from portfoliod.model import History

AT_LEAST = 2
"""With fewer strategies on a day there is nothing to allocate."""


class Span(NamedTuple):
    """Which days a strategy has: ordinals, and how many of them have a value."""

    first_day: int
    last_day: int
    days: int


class Timeline(NamedTuple):
    """D calendar days of N strategies, and the E days of them that are evaluated."""

    names: tuple[str, ...]
    """Sorted: the columns of `returns`."""
    first_day: int
    """A proleptic Gregorian ordinal: row 0 of `returns`."""
    returns: Floats
    """D x N simple daily returns; a day without a value is 0."""
    observed: Bools
    """D x N: which of them are values."""
    rows: Indices
    """E: the rows of the evaluated days."""
    ends: Indices
    """E: the row in which the window of each evaluated day ends, the newest day before it that has any value."""
    included: Bools
    """E x N: who satisfies the rules of `window` in that window."""
    spans: tuple[Span, ...]
    """N."""
    excluded_days: int
    """How many days after the first `lookback_days` are not evaluated: fewer than two strategies had a value."""

    def day(self, row: int) -> int:
        """Return the ordinal of a row."""
        return self.first_day + row

    def window(self, index: int, days: int) -> Floats:
        """Return the newest returns (days x N) that are known before evaluated day number `index`."""
        end = int(self.ends[index]) + 1
        return self.returns[end - days : end]


def timeline(histories: Mapping[str, History], rules: Rules) -> Timeline:
    """Return the calendar on which `rules` are walked forward.

    A day is evaluated when it lies at least `lookback_days` after the first day of all, and at least two strategies
    have a value on it. Inclusion looks at nothing but the window before the day.

    Raises:
        AllocationError: fewer than two strategies have returns, or no day can be evaluated.
    """
    lookback = rules.lookback_days
    if lookback < MIN_DAYS:
        raise AllocationError(
            "the window is too short for a slope and a volatility",
            where="optimizer.lookback_days",
            found=f"{lookback} days",
            mend=f"set lookback_days to at least {MIN_DAYS}",
        )
    names = tuple(sorted(name for name, history in histories.items() if history.days))
    _require_two(names, len(histories))
    calendars = [np.array(histories[name].days, dtype=np.intp) for name in names]
    days, count = np.unique(np.concatenate(calendars), return_counts=True)
    start, last_day = int(days[0]) + lookback, int(days[-1])
    evaluated = days[(days >= start) & (count >= AT_LEAST)]
    if not evaluated.size:
        raise _too_short(days, count, rules)
    ends = days[np.searchsorted(days, evaluated) - 1]
    first_day = int(ends[0]) - max(lookback, rules.vol_lookback_days or 0) + 1
    shape = (last_day - first_day + 1, len(names))
    returns, observed = np.zeros(shape), np.zeros(shape, dtype=bool)
    for column, (name, calendar) in enumerate(zip(names, calendars, strict=True)):
        known = calendar >= first_day
        returns[calendar[known] - first_day, column] = np.array(histories[name].returns)[known]
        observed[calendar[known] - first_day, column] = True
    return Timeline(
        names,
        first_day,
        returns,
        observed,
        evaluated - first_day,
        ends - first_day,
        _included(observed, ends - first_day, rules),
        tuple(Span(int(calendar[0]), int(calendar[-1]), calendar.size) for calendar in calendars),
        last_day - start + 1 - evaluated.size,
    )


def _included(observed: Bools, ends: Indices, rules: Rules) -> Bools:
    """Return for each window that ends in a row of `ends` who has enough values in it and a recent one."""
    counts = np.vstack((np.zeros((1, observed.shape[1]), dtype=np.intp), observed.cumsum(axis=0)))
    inside = counts[ends + 1] - counts[ends + 1 - rules.lookback_days]
    newest = np.maximum.accumulate(np.where(observed, np.arange(observed.shape[0])[:, None], -1), axis=0)[ends]
    recent = (newest >= 0) & (ends[:, None] - newest <= rules.stale_after_days)
    included: Bools = recent & (inside >= rules.min_history_days)
    return included


def _require_two(names: tuple[str, ...], strategies: int) -> None:
    if len(names) >= AT_LEAST:
        return
    raise AllocationError(
        "a walk-forward needs at least two strategies with daily returns",
        found=f"{', '.join(names) or 'none'}, of {strategies} known",
        mend="let another strategy write stats.json; portfoliod new NAME makes one that does",
    )


def _too_short(days: Indices, count: Indices, rules: Rules) -> AllocationError:
    together = days[count >= AT_LEAST]
    if not together.size:
        return AllocationError(
            "no day has the returns of two strategies",
            found=f"{days.size} days from {date.fromordinal(int(days[0]))} to {date.fromordinal(int(days[-1]))}",
            mend="let the strategies backtest the same period",
        )
    first, last = int(days[0]), int(together[-1])
    shorter = max((last - first) // 2, rules.min_history_days, MIN_DAYS)
    more = "let the strategies backtest more days"
    return AllocationError(
        "the returns are too short for a walk-forward",
        found=f"{last - first + 1} days, from {date.fromordinal(first)} to {date.fromordinal(last)}, and the first "
        f"{rules.lookback_days} are the first window",
        mend=f"{more}, or: portfoliod backtest --lookback {shorter}" if first + shorter <= last else more,
    )
