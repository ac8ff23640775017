"""The building blocks of signals: what they compute, and that none looks ahead."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod import sdk
from portfoliod.errors import UsageError
from portfoliod.prices.candles import COLUMNS, parse_interval

HOUR = 3600
MIDNIGHT = 1_704_067_200
VALUES = st.lists(st.floats(-100, 100), min_size=1, max_size=60).map(np.array)
SIGNALS = st.lists(st.one_of(st.just(float("nan")), st.floats(-1, 1)), min_size=1, max_size=60).map(np.array)


def hours(count: int, start: int = MIDNIGHT) -> sdk.Candles:
    time = start + HOUR * np.arange(count, dtype=np.int64)
    price = np.ones(count)
    return sdk.Candles("BTCUSDT", HOUR, time, price, price, price, price, price)


@given(VALUES, st.integers(0, 70))
def test_lagged_is_the_value_of_so_many_candles_ago(values: sdk.Floats, count: int) -> None:
    found = sdk.lagged(values, count)
    expected = [values[k - count] if k >= count else np.nan for k in range(len(values))]
    np.testing.assert_array_equal(found, expected)


@given(VALUES, st.integers(1, 70))
def test_windows_end_at_their_candle_and_are_nan_without_enough_history(values: sdk.Floats, length: int) -> None:
    highest = sdk.windows(values, length).max(axis=1)
    expected = [values[k - length + 1 : k + 1].max() if k + 1 >= length else np.nan for k in range(len(values))]
    np.testing.assert_array_equal(highest, expected)


@given(SIGNALS)
def test_hold_keeps_the_last_number(signal: sdk.Floats) -> None:
    expected, last = [], 0.0
    for value in signal.tolist():
        last = last if np.isnan(value) else value
        expected.append(last)
    assert sdk.hold(signal).tolist() == expected


@given(SIGNALS)
def test_a_list_is_held_as_an_array_is(signal: sdk.Floats) -> None:
    assert sdk.hold(signal.tolist()).tolist() == sdk.hold(signal).tolist()


@given(st.integers(1, 400), st.sampled_from("smhdw"), st.sampled_from([60, 900, HOUR, 5400, 24 * HOUR]))
def test_a_duration_is_a_whole_number_of_candles_or_refused(number: int, unit: str, interval: int) -> None:
    candles = hours(3)
    candles = sdk.Candles("BTCUSDT", interval, *(getattr(candles, name) for name in COLUMNS))
    seconds = parse_interval(f"{number}{unit}")
    if seconds % interval:
        with pytest.raises(UsageError, match="not a whole number of candles") as caught:
            candles.count(f"{number}{unit}")
        assert caught.value.mend
    else:
        assert candles.count(f"{number}{unit}") * interval == seconds


@given(SIGNALS, st.integers(0, 23), st.sets(st.integers(0, 59), max_size=50))
def test_daily_decides_at_the_first_close_of_each_day(signal: sdk.Floats, offset: int, missing: set[int]) -> None:
    rows = np.array([k not in missing for k in range(len(signal))])
    candles, signal = hours(len(signal), MIDNIGHT + offset * HOUR)[rows], signal[rows]
    held, day, expected = 0.0, None, []
    for closes_at, value in zip(candles.closes_at.tolist(), signal.tolist(), strict=True):
        opened = (closes_at - HOUR) // 86_400 if day is None else day
        if closes_at // 86_400 > opened and not np.isnan(value):
            held = value
        day = closes_at // 86_400
        expected.append(held)
    assert sdk.daily(candles, signal).tolist() == expected


@given(SIGNALS, st.data())
def test_no_building_block_looks_ahead(signal: sdk.Floats, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(signal)))
    candles = hours(len(signal))
    for whole, part in (
        (sdk.lagged(signal, 3), sdk.lagged(signal[:cut], 3)),
        (sdk.windows(signal, 5).max(axis=1), sdk.windows(signal[:cut], 5).max(axis=1)),
        (sdk.hold(signal), sdk.hold(signal[:cut])),
        (sdk.daily(candles, signal), sdk.daily(candles[:cut], signal[:cut])),
    ):
        np.testing.assert_array_equal(whole[:cut], part)


def test_windows_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        sdk.windows(np.ones(3), 2)[0, 0] = 1
