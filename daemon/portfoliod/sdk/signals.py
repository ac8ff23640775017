"""The few operations that most signals are made of. None of them looks ahead."""

from __future__ import annotations

import numpy as np

from portfoliod.prices.candles import Candles, Floats

_DAY = 86_400


def lagged(values: Floats, count: int) -> Floats:
    """Return the values of `count` candles ago, NaN where there are none."""
    padding = np.full(min(count, len(values)), np.nan)
    return np.concatenate([padding, values[: max(0, len(values) - count)]])


def windows(values: Floats, length: int) -> Floats:
    """Return an array of shape (len(values), length): row k holds the last `length` values, the one of candle k last.

    Rows without enough history hold NaN, so that their mean, maximum and so on are NaN too, and comparisons with them
    are false. The result is a view of overlapping rows: reduce it along axis 1, do not write to it.
    """
    padded = np.concatenate([np.full(length, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, length)[1:]


def hold(signal: Floats) -> Floats:
    """Return the signal with each NaN, which means "as it was", replaced by the value before it (at first 0)."""
    signal = np.asarray(signal, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(signal))
    last = np.searchsorted(known, np.arange(len(signal)), side="right")
    return np.concatenate([[0.0], signal[known]])[last]


def daily(candles: Candles, signal: Floats) -> Floats:
    """Return the signal as it was when the UTC day ended, held until the next day's end: one decision a day.

    Where the candle that closes at midnight is missing, the first one after it decides.
    """
    days = candles.closes_at // _DAY
    new_day = np.diff(days, prepend=candles.time[:1] // _DAY) > 0
    return hold(np.where(new_day, signal, np.nan))
