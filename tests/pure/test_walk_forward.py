"""What a walk-forward may know, what it costs, and what it is compared with."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfoliod.allocation import Rules, allocate
from portfoliod.allocation.rules import Group
from portfoliod.allocation.volatility import annual_volatility
from portfoliod.allocation.walk_forward import Walk, WalkForward, walk_forward
from portfoliod.allocation.walk_forward.random_portfolios import dirichlet
from portfoliod.errors import AllocationError
from portfoliod.model import History
from tests.pure.allocation_data import FIRST_DAY, SEEDS, Floats, histories, noise, rising

RULES = Rules(lookback_days=40, min_history_days=10)
ALLOCATIONS = {
    "plain": Rules(lookback_days=40),
    "capped": Rules(lookback_days=40, max_weight=0.4),
    "keep": Rules(lookback_days=40, when_no_edge="keep"),
    "bounds": Rules(lookback_days=40, bounds={"s001": (0.1, 0.3)}),
    "groups": Rules(lookback_days=40, groups={"low": Group(members=("s00[01]",), max=0.3)}),
    "turnover": Rules(lookback_days=40, turnover_cost=20.0),
    "ledoit_wolf": Rules(lookback_days=40, covariance="ledoit_wolf"),
    "log_equity": Rules(lookback_days=40, objective="log_equity"),
    "recent_volatility": Rules(lookback_days=40, vol_lookback_days=15),
    "long_volatility": Rules(lookback_days=40, vol_lookback_days=70),
    "fading_volatility": Rules(lookback_days=40, vol_halflife_days=10.0, vol_lookback_days=50),
    **{name: Rules(lookback_days=40, allocator=name) for name in ("equal", "inverse_vol", "hrp", "min_variance")},
}
EVERY_ALLOCATION = pytest.mark.parametrize("rules", ALLOCATIONS.values(), ids=ALLOCATIONS)
FEW = Walk(random=20)


def weights(found: WalkForward) -> Floats:
    return found.weights()


@pytest.mark.slow
@EVERY_ALLOCATION
@settings(max_examples=2, deadline=None)
@given(seed=SEEDS, every=st.sampled_from([1, 1, 4]), cut=st.integers(0, 59))
def test_the_returns_of_a_day_and_later_change_no_weight_up_to_that_day(
    rules: Rules, seed: int, every: int, cut: int
) -> None:
    returns = noise(100, 5, seed)
    other = returns.copy()
    other[40 + cut :] = 7.0 * noise(100, 5, seed + 1)[40 + cut :]
    walk = Walk(every=every, random=5)
    before, after = (walk_forward(histories(data), rules, walk) for data in (returns, other))
    assert np.abs(weights(before)[: cut + 1] - weights(after)[: cut + 1]).max() <= 1e-12
    assert np.abs(before.optimum.leverage[: cut + 1] - after.optimum.leverage[: cut + 1]).max() <= 1e-9
    assert np.abs(before.random.leverage[: cut + 1] - after.random.leverage[: cut + 1]).max() <= 1e-9


@EVERY_ALLOCATION
def test_weights_and_leverage_of_each_day_are_those_that_an_optimization_writes(rules: Rules) -> None:
    returns = noise(70, 4, 3)
    found = walk_forward(histories(returns), rules, FEW)
    held, previous = weights(found), None
    for index in range(30):
        written = allocate(histories(returns[: 40 + index]), rules, previous=previous)
        if written.edge or rules.when_no_edge == "cash":
            assert np.abs(held[index] - list(written.weights.values())).max() <= 1.01e-6
            assert found.optimum.leverage[index, 0] == pytest.approx(written.leverage, abs=1e-4, rel=1e-4)
        elif index:
            assert (held[index] == held[index - 1]).all()
            assert found.optimum.leverage[index, 0] == found.optimum.leverage[index - 1, 0]
        previous = dict(zip(found.line.names, held[index].tolist(), strict=True))


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, bps=st.floats(0.1, 500), every=st.integers(1, 20))
def test_costs_only_lower_what_is_earned_and_change_nothing_else(seed: int, bps: float, every: int) -> None:
    found = walk_forward(histories(noise(100, 4, seed)), RULES, Walk(every=every, random=10))
    for paths in (found.optimum, found.equal, found.random):
        for free, paid, traded in (
            (paths.net(0.0), paths.net(bps), paths.traded),
            (paths.levered(0.0), paths.levered(bps), paths.levered_traded),
        ):
            assert (paid <= free).all()
            assert free - paid == pytest.approx(traded * bps / 10_000)
            assert traded.min() >= 0.0


def test_cash_days_hold_and_earn_nothing() -> None:
    falling = rising(100, 3, 1)
    falling[50:] = -np.abs(falling[50:]) - 0.01
    found = walk_forward(histories(falling), RULES, FEW)
    cash = ~weights(found).any(axis=1)
    assert 0 < cash.sum() < cash.size
    assert (found.optimum.leverage[cash] == 0.0).all()
    assert (found.optimum.levered(0.0)[cash] == 0.0).all()
    assert (found.equal.leverage > 0.0).all()


def test_days_between_decisions_keep_weights_and_leverage() -> None:
    found = walk_forward(histories(rising(140, 5, 2)), RULES, Walk(every=7, random=3))
    assert found.decisions.decided.tolist() == list(range(0, 100, 7))
    for paths in (found.optimum, found.equal, found.random):
        between = np.arange(100) % 7 != 0
        assert (paths.traded[between] == 0.0).all()
        assert (paths.levered_traded[between] == 0.0).all()
    daily = walk_forward(histories(rising(140, 5, 2)), RULES, FEW)
    assert np.abs(weights(daily)[::7] - weights(found)[::7]).max() <= 1e-9


def test_equal_weight_and_random_portfolios_earn_on_the_same_days_what_their_weights_say() -> None:
    returns = noise(140, 6, 4)
    found = walk_forward(histories(returns), RULES, Walk(random=50, seed=3))
    assert np.allclose(found.equal.gross[:, 0], returns[40:].mean(axis=1), rtol=0, atol=1e-15)
    assert np.allclose(found.random.gross, returns[40:] @ dirichlet(6, 50, 3), rtol=0, atol=1e-15)
    for row in (0, 30, 99):
        volatility = (returns[row : row + 40] @ dirichlet(6, 50, 3)).std(axis=0, ddof=1) * sqrt(365)
        assert found.random.leverage[row] == pytest.approx(np.minimum(5.0, 0.30 / volatility))


def test_the_volatility_of_the_others_is_estimated_in_the_same_way() -> None:
    returns = noise(140, 3, 4)
    rules = Rules(lookback_days=40, vol_lookback_days=60, vol_halflife_days=7.0)
    found = walk_forward(histories(returns), rules, Walk(random=5, seed=3))
    for row in (20, 55, 99):
        window = returns[max(40 + row - 60, 0) : 40 + row] @ dirichlet(3, 5, 3)
        expected = [rules.target_vol / annual_volatility(portfolio, rules) for portfolio in window.T]
        assert found.random.leverage[row] == pytest.approx(np.minimum(5.0, expected), rel=1e-9)


def test_random_portfolios_are_the_same_for_a_seed_and_others_for_another() -> None:
    strategies = histories(noise(80, 4, 5))
    first, again, other = (walk_forward(strategies, RULES, Walk(random=9, seed=seed)) for seed in (1, 1, 2))
    assert (first.random.gross == again.random.gross).all()
    assert not (first.random.gross == other.random.gross).any()
    proportions = dirichlet(4, 9, 1)
    assert (proportions >= 0.0).all()
    assert proportions.sum(axis=0) == pytest.approx(1.0)


def test_the_order_of_the_strategies_changes_not_a_bit() -> None:
    strategies = histories(noise(120, 5, 6))
    shuffled = dict(reversed(strategies.items()))
    one, other = (walk_forward(given, RULES, FEW) for given in (strategies, shuffled))
    assert weights(one).tobytes() == weights(other).tobytes()
    assert one.random.gross.tobytes() == other.random.gross.tobytes()


def span(first: int, last: int, seed: int = 0, step: int = 1) -> History:
    days = tuple(range(FIRST_DAY + first, FIRST_DAY + last + 1, step))
    return History(days, tuple(0.001 + 0.01 * np.random.default_rng(seed).standard_normal(len(days))))


def test_only_days_with_two_strategies_count_and_the_others_are_counted() -> None:
    found = walk_forward({"old": span(0, 299, 1), "middle": span(100, 199, 2), "young": span(250, 299, 3)}, RULES, FEW)
    days = found.line.rows + found.line.first_day - FIRST_DAY
    assert days.tolist() == [*range(100, 200), *range(250, 300)]
    assert found.line.excluded_days == (300 - 40) - 150
    held = weights(found)
    names = found.line.names
    assert (held[days < 110][:, names.index("middle")] == 0.0).all(), "not before min_history_days of values"
    assert (held[days < 260][:, names.index("young")] == 0.0).all()
    assert (held[days > 207][:, names.index("middle")] == 0.0).all(), "not after stale_after_days without one"


def test_the_others_hold_only_who_is_included_and_pay_when_somebody_joins() -> None:
    found = walk_forward({"a": span(0, 99, 1), "b": span(0, 99, 2), "late": span(60, 99, 3)}, RULES, FEW)
    days = (found.line.rows + found.line.first_day - FIRST_DAY).tolist()
    joins = days.index(70)
    assert np.flatnonzero(found.equal.traded[:, 0]).tolist() == [0, joins]
    assert found.equal.traded[joins, 0] == pytest.approx(2 / 3)
    row = found.line.rows[joins - 1]
    assert found.equal.gross[joins - 1, 0] == pytest.approx(found.line.returns[row, :2].mean())


def test_days_on_which_nobody_has_anything_end_no_window() -> None:
    """After a hole in everybody's data the window is the one that an optimization would have had."""
    hole = [*range(60), *range(64, 120)]
    strategies = {
        name: History(tuple(FIRST_DAY + day for day in hole), tuple(noise(116, 1, seed)[:, 0]))
        for name, seed in (("a", 1), ("b", 2), ("c", 3))
    }
    found = walk_forward(strategies, RULES, FEW)
    index = (found.line.rows + found.line.first_day - FIRST_DAY).tolist().index(64)
    known = {name: History(history.days[:60], history.returns[:60]) for name, history in strategies.items()}
    written = list(allocate(known, RULES).weights.values())
    assert np.abs(weights(found)[index] - written).max() <= 1.01e-6
    assert found.line.excluded_days == 4


@pytest.mark.parametrize(
    ("strategies", "words"),
    [
        ({}, "at least two"),
        ({"one": span(0, 99)}, "at least two"),
        ({"one": span(0, 99), "empty": History((), ())}, "at least two"),
        ({"one": span(0, 39), "two": span(0, 39)}, "too short"),
        ({"one": span(0, 99), "two": span(100, 199)}, "no day has the returns of two"),
        ({"one": span(0, 99, step=2), "two": span(1, 99, step=2)}, "no day has the returns of two"),
    ],
)
def test_what_cannot_be_walked_forward_is_refused_with_a_mend(strategies: dict[str, History], words: str) -> None:
    with pytest.raises(AllocationError, match=words) as refused:
        walk_forward(strategies, RULES, FEW)
    assert refused.value.mend
    assert refused.value.found


@pytest.mark.parametrize("name", ["slope_std", "equal"])
def test_an_allocation_that_is_possible_on_no_day_is_refused_as_a_whole(name: str) -> None:
    still = Rules(lookback_days=40, allocator=name)
    with pytest.raises(AllocationError, match="no strategy can be included") as refused:
        walk_forward(histories(np.full((80, 2), 0.001)), still, FEW)
    assert refused.value.mend


def test_one_evaluated_day_is_enough() -> None:
    found = walk_forward({"one": span(0, 40, 1), "two": span(0, 40, 2)}, RULES, FEW)
    assert found.line.rows.size == 1
    assert found.random.gross.shape == (1, 20)


def test_an_allocator_that_fails_on_some_days_leaves_the_weights_in_force() -> None:
    calls = iter(range(1000))

    def moody(returns: Floats, _rules: Rules) -> Floats:
        if next(calls) % 3 == 1:
            raise ValueError("not today")
        chosen = np.zeros(returns.shape[1])
        chosen[int(returns[-1].argmax())] = 1.0
        return chosen

    found = walk_forward(histories(rising(60, 3, 8)), Rules(lookback_days=40, allocator="moody"), FEW, moody)
    assert found.decisions.fresh.tolist() == [number % 3 != 1 for number in range(20)]
    assert list(found.decisions.refused.values()) == [7]
    held = weights(found)
    assert all((held[day] == held[day - 1]).all() for day in range(1, 20, 3))
