"""Which strategies are included, and on which days."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod.allocation import Window, window
from portfoliod.errors import AllocationError
from portfoliod.model import History

LAST = 738_400


def history(first: int, last: int, value: float = 0.01) -> History:
    """Return a history without gaps, days relative to LAST."""
    days = tuple(range(LAST + first, LAST + last + 1))
    return History(days, tuple(value + day * 1e-6 for day in range(len(days))))


def framed(histories: dict[str, History], lookback: int = 60, minimum: int = 30, stale: int = 7) -> Window:
    return window(histories, lookback_days=lookback, min_history_days=minimum, stale_after_days=stale)


def test_the_window_ends_at_the_newest_last_day_and_names_are_sorted() -> None:
    frame = framed({"zeta": history(-99, 0), "alpha": history(-99, -3)})
    assert frame.names == ("alpha", "zeta")
    assert frame.last_day == LAST
    assert frame.returns.shape == (60, 2)
    assert frame.returns[-3:, 0].tolist() == [0.0, 0.0, 0.0]
    assert frame.returns[-4, 0] == history(-99, -3).returns[-1]
    assert frame.returns[:, 1].tolist() == list(history(-99, 0).returns[-60:])


def test_a_day_without_a_value_counts_zero() -> None:
    whole = history(-99, 0)
    gappy = History(whole.days[:-10] + whole.days[-8:], whole.returns[:-10] + whole.returns[-8:])
    returns = framed({"gappy": gappy}).returns[:, 0].tolist()
    assert returns[-10:-8] == [0.0, 0.0]
    assert returns[-8:] == list(whole.returns[-8:])
    assert returns[:-10] == list(whole.returns[-60:-10])


@pytest.mark.parametrize(("days", "included"), [(29, False), (30, True)])
def test_a_strategy_needs_min_history_days_inside_the_window(days: int, included: bool) -> None:
    frame = framed({"old": history(-99, 0), "young": history(1 - days, 0)})
    assert ("young" in frame.names) is included
    assert ("young" in frame.excluded) is not included


def test_days_before_the_window_do_not_count_as_history() -> None:
    many_but_early = History((*range(LAST - 400, LAST - 60), LAST), (0.01,) * 341)
    frame = framed({"other": history(-99, 0), "early": many_but_early})
    assert frame.excluded["early"].startswith("too young: 1 daily return")


@pytest.mark.parametrize(("behind", "included"), [(7, True), (8, False)])
def test_a_strategy_may_be_stale_after_days_behind_and_no_more(behind: int, included: bool) -> None:
    frame = framed({"fresh": history(-99, 0), "late": history(-99, -behind)})
    assert ("late" in frame.names) is included
    if not included:
        assert "stale" in frame.excluded["late"]
        assert "8 days behind" in frame.excluded["late"]


def test_a_strategy_without_a_single_return_is_excluded() -> None:
    assert framed({"empty": History((), ()), "full": history(-99, 0)}).excluded == {"empty": "no daily returns"}


@pytest.mark.parametrize("histories", [{}, {"empty": History((), ())}])
def test_no_returns_at_all_is_an_error(histories: dict[str, History]) -> None:
    with pytest.raises(AllocationError, match="no strategy has daily returns"):
        framed(histories)


@given(st.lists(st.integers(-100, 0), min_size=1, max_size=60, unique=True), st.integers(3, 80))
def test_every_value_inside_the_window_stands_on_its_day_and_no_other(days: list[int], lookback: int) -> None:
    chosen = tuple(sorted(LAST + day for day in days))
    frame = framed({"one": History(chosen, tuple(0.001 * (LAST + 1 - day) for day in chosen))}, lookback, 1, 0)
    expected = {day: 0.001 * (LAST + 1 - day) for day in chosen if day > frame.last_day - lookback}
    calendar = range(frame.last_day - lookback + 1, frame.last_day + 1)
    assert frame.returns[:, 0].tolist() == [expected.get(day, 0.0) for day in calendar]
