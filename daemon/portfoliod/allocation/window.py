"""Which strategies take part in an allocation, and their returns on one common calendar."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from datetime import date

import msgspec
import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.errors import AllocationError
from portfoliod.model import History


class Window(msgspec.Struct, frozen=True):
    """The last `lookback_days` calendar days of every included strategy."""

    names: tuple[str, ...]
    """The included strategies, sorted: the columns of `returns`."""
    last_day: int
    """The newest last day of all strategies, as a proleptic Gregorian ordinal: the last row of `returns`."""
    returns: Floats
    """Simple daily returns, days x strategies; a day without a value is 0."""
    excluded: dict[str, str]
    """Why each of the other strategies is left out, one sentence each."""


def window(
    histories: Mapping[str, History], *, lookback_days: int, min_history_days: int, stale_after_days: int
) -> Window:
    """Return the window that ends at the newest last day of all strategies, also of those that it excludes.

    A strategy is included when it has at least `min_history_days` values inside the window and its last day is at
    most `stale_after_days` behind the window's.

    Raises:
        AllocationError: no strategy has a single daily return.
    """
    last_day = max((history.days[-1] for history in histories.values() if history.days), default=None)
    if last_day is None:
        raise AllocationError(
            "no strategy has daily returns",
            found=", ".join(sorted(histories)) or "no strategies",
            mend="let a strategy write strategies/NAME/stats.json with daily_dates and daily_returns",
        )
    first_day = last_day - lookback_days + 1
    included: dict[str, History] = {}
    excluded: dict[str, str] = {}
    for name in sorted(histories):
        days = histories[name].days
        observed = len(days) - bisect_left(days, first_day)
        behind = last_day - days[-1] if days else 0
        if not days:
            excluded[name] = "no daily returns"
        elif behind > stale_after_days:
            excluded[name] = (
                f"stale: its last day {date.fromordinal(days[-1])} is {behind} days behind the newest one, "
                f"{date.fromordinal(last_day)}; at most {stale_after_days} are allowed"
            )
        elif observed < min_history_days:
            excluded[name] = (
                f"too young: {observed} daily returns in the last {lookback_days} days, {min_history_days} are needed"
            )
        else:
            included[name] = histories[name]
    return Window(tuple(included), last_day, on_calendar(included, last_day, lookback_days), excluded)


def on_calendar(histories: Mapping[str, History], last_day: int, length: int) -> Floats:
    """Return the returns of `length` calendar days up to `last_day`, days x strategies; a day without a value is 0."""
    # One strategy's returns lie side by side in memory, as the solver reads them; the caller sees days x strategies.
    first_day = last_day - length + 1
    rows = np.zeros((len(histories), length))
    for row, history in zip(rows, histories.values(), strict=True):
        start = bisect_left(history.days, first_day)
        row[np.array(history.days[start:], dtype=np.intp) - first_day] = history.returns[start:]
    return rows.T
