"""The fast way through the windows gives what each window gives by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfoliod.allocation import Rules, allocate
from portfoliod.allocation.allocators import ALLOCATORS
from portfoliod.allocation.standardise import slope_weights
from portfoliod.allocation.walk_forward import unseen
from portfoliod.allocation.walk_forward.banded import windowed
from portfoliod.allocation.walk_forward.decisions import Decisions, decide, from_scratch
from portfoliod.allocation.walk_forward.incremental import Incremental, is_plain
from portfoliod.allocation.walk_forward.timeline import timeline
from portfoliod.model import History
from tests.pure.allocation_data import FIRST_DAY, SEEDS, Floats, degenerate, histories, noise


def both(strategies: dict[str, History], rules: Rules, every: int = 1) -> tuple[Decisions, Decisions, int]:
    """Return the decisions from scratch, the incremental ones, and how many of these were left to the former."""
    line = timeline(strategies, rules)
    scratch = from_scratch(line, rules, ALLOCATORS["slope_std"])
    fast = Incremental(line, rules, scratch)
    return decide(line, rules, every, scratch, unseen), decide(line, rules, every, fast, unseen), fast.fresh


def assert_same(strategies: dict[str, History], rules: Rules, every: int = 1) -> int:
    """Assert that both ways agree, and return how many windows the incremental one left to the other."""
    scratch, fast, fresh = both(strategies, rules, every)
    assert np.abs(scratch.weights - fast.weights).max() <= 1e-9
    assert (scratch.fresh == fast.fresh).all()
    assert scratch.refused == fast.refused
    return fresh


@settings(max_examples=25, deadline=None)
@given(
    seed=SEEDS,
    count=st.integers(2, 30),
    lookback=st.sampled_from([3, 10, 40, 90]),
    common=st.sampled_from([0.0, 0.5, 3.0]),
    every=st.sampled_from([1, 1, 3, 60]),
)
def test_windows_of_any_length_with_more_or_fewer_days_than_strategies(
    seed: int, count: int, lookback: int, common: float, every: int
) -> None:
    returns = noise(lookback + 80, count, seed, common)
    assert_same(histories(returns), Rules(lookback_days=lookback, min_history_days=3), every)


@settings(max_examples=30, deadline=None)
@given(returns=degenerate(), repeats=st.integers(1, 3), lookback=st.sampled_from([3, 8, 25]))
def test_copies_mirrors_spikes_and_dead_strategies(returns: Floats, repeats: int, lookback: int) -> None:
    returns = np.vstack([returns] * (repeats + lookback // len(returns) + 1))
    returns = np.hstack((returns, returns[:, :1]))
    assert_same(histories(returns), Rules(lookback_days=lookback, min_history_days=3))


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS, keep=st.booleans())
def test_strategies_that_come_go_pause_and_fall_silent(seed: int, keep: bool) -> None:
    random = np.random.default_rng(seed)
    strategies = {}
    for number, column in enumerate(noise(160, 8, seed).T):
        first, last = sorted(random.integers(0, 161, 2).tolist())
        days = np.arange(first, max(last, first + 1))
        days = days[random.random(days.size) > random.choice([0.0, 0.1, 0.5])]
        values = column[days] * (random.random(days.size) > random.choice([0.0, 0.95]))
        strategies[f"s{number}"] = History(tuple((days + FIRST_DAY).tolist()), tuple(values.tolist()))
    strategies |= histories(noise(160, 2, seed + 1), ["always_one", "always_two"])
    rules = Rules(lookback_days=40, min_history_days=20, stale_after_days=5, when_no_edge="keep" if keep else "cash")
    assert_same(strategies, rules)


def test_plain_windows_are_not_left_to_the_slow_way() -> None:
    """Else the other tests here compare it with itself."""
    assert assert_same(histories(noise(700, 40, 1)), Rules(lookback_days=120)) <= 3


def test_identical_strategies_share_equally_day_after_day() -> None:
    returns = np.repeat(noise(120, 4, 3) + 0.003, 2, axis=1)
    scratch, fast, fresh = both(histories(returns), Rules(lookback_days=60))
    assert fresh == 0
    assert np.abs(scratch.weights - fast.weights).max() <= 1e-9
    assert np.abs(fast.weights[:, ::2] - fast.weights[:, 1::2]).max() <= 1e-12
    assert fast.weights.sum(axis=1) == pytest.approx(1.0)


def test_a_day_of_a_million_that_leaves_the_window_leaves_no_trace() -> None:
    returns = noise(400, 6, 5)
    returns[100, 2] = 1e6
    assert_same(histories(returns), Rules(lookback_days=60))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, length=st.integers(3, 40))
def test_slopes_and_sums_of_all_windows_are_those_of_each(seed: int, length: int) -> None:
    returns = noise(150, 3, seed)
    ends = np.unique(np.random.default_rng(seed).integers(length - 1, 150, 90))
    weights = np.vstack((slope_weights(length), np.ones(length)))
    slopes, sums = windowed(returns, ends, weights)
    for row, end in enumerate(ends.tolist()):
        window = returns[end - length + 1 : end + 1]
        np.testing.assert_allclose(slopes[row], weights[0] @ window, rtol=0, atol=1e-15)
        np.testing.assert_allclose(sums[row], window.sum(axis=0), rtol=0, atol=1e-14)


def test_each_decision_is_what_the_optimizer_would_have_written_on_that_day() -> None:
    strategies = histories(noise(140, 5, 11))
    strategies["late"] = History(tuple(range(FIRST_DAY + 70, FIRST_DAY + 130)), tuple([0.002, -0.001] * 30))
    rules = Rules(lookback_days=60)
    line = timeline(strategies, rules)
    _, fast, _ = both(strategies, rules)
    for index, row in enumerate(line.rows.tolist()):
        today = line.day(row)
        known = {name: past(history, today) for name, history in strategies.items()}
        written = allocate({name: history for name, history in known.items() if history.days}, rules)
        expected = [written.weights.get(name, 0.0) for name in line.names]
        assert np.abs(fast.weights[index] - expected).max() <= 1e-6


def past(history: History, today: int) -> History:
    """Return what was known of a history before a day."""
    days = tuple(day for day in history.days if day < today)
    return History(days, history.returns[: len(days)])


def test_any_constraint_takes_the_general_way() -> None:
    assert is_plain(Rules(target_vol=0.1, lookback_days=30, stale_after_days=1, when_no_edge="keep"))
    assert not is_plain(Rules(max_weight=0.5))
    assert not is_plain(Rules(allocator="hrp"))


def test_windows_without_anybody_keep_what_is_in_force_and_say_so() -> None:
    """Strategies without risk cannot be weighed: the optimizer refuses, and so does each such day here."""
    returns = np.vstack((noise(70, 2, 1) + 0.01, np.full((60, 2), 0.001)))
    scratch, fast, _ = both(histories(returns), Rules(lookback_days=40))
    assert scratch.refused == fast.refused
    assert fast.refused["no strategy can be included in the allocation"] == 20
    assert not fast.fresh[-20:].any()
    assert (fast.weights[-20:] == fast.weights[-21]).all()
    assert fast.weights[-1].any()
