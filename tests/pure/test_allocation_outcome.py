"""What the optimizer writes: weights, leverage, reasons, and the hash of its inputs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from portfoliod.allocation import ALLOCATORS, Group, Rules, allocate, allocator, inputs_hash, score
from portfoliod.allocation.weights import to_six_places, water_fill
from portfoliod.errors import AllocationError
from portfoliod.model import History
from tests.pure.allocation_data import FIRST_DAY, SEEDS, Floats, histories, noise, ordinary, rising

NAMES = sorted(ALLOCATORS)
RULES = Rules(lookback_days=100)


def of_volatility(annual: float) -> dict[str, History]:
    """Return one rising strategy with exactly this annual volatility."""
    shape = np.tile([1.0, -1.0], 50) + 1.0
    return histories((0.5 * shape * annual / np.sqrt(365.0) / np.std(0.5 * shape, ddof=1))[:, None])


def millionths(weights: dict[str, float]) -> Fraction:
    return sum((Fraction(str(weight)) for weight in weights.values()), Fraction(0))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(returns=ordinary(), cap=st.sampled_from([1.0, 0.5, 0.31]))
def test_written_weights_have_six_places_and_sum_to_exactly_one(name: str, returns: Floats, cap: float) -> None:
    assume(returns.shape[1] * cap >= 1.0)
    result = allocate(histories(returns), Rules(allocator=name, max_weight=cap, min_history_days=3))
    assert all(round(weight, 6) == weight and weight >= 0.0 for weight in result.weights.values())
    assert millionths(result.weights) == (1 if result.edge else 0)
    assert max(result.weights.values()) <= cap + 1e-6


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(returns=ordinary(), seed=SEEDS)
def test_the_order_of_the_strategies_changes_not_a_bit(name: str, returns: Floats, seed: int) -> None:
    ordered = histories(returns)
    keys = np.random.default_rng(seed).permutation(list(ordered)).tolist()
    rules = Rules(allocator=name, min_history_days=3, max_weight=0.6)
    shuffled = {key: ordered[key] for key in keys}
    assert allocate(shuffled, rules) == allocate(ordered, rules)
    assert inputs_hash(shuffled, rules) == inputs_hash(ordered, rules)


@pytest.mark.parametrize("name", NAMES)
def test_identical_strategies_get_the_same_written_weight_to_within_a_millionth(name: str) -> None:
    returns = np.repeat(rising(100, 3, 7), 3, axis=1)
    weights = np.array(list(allocate(histories(returns), Rules(lookback_days=100, allocator=name)).weights.values()))
    assert np.ptp(weights.reshape(3, 3), axis=1).max() <= 1.0000001e-6


@pytest.mark.parametrize(
    ("volatility", "leverage"), [(0.1145, 2.6201), (0.30, 1.0), (0.60, 0.5), (0.06, 5.0), (0.059, 5.0), (0.002, 5.0)]
)
def test_leverage_scales_to_the_target_volatility_up_to_its_cap(volatility: float, leverage: float) -> None:
    result = allocate(of_volatility(volatility), RULES)
    assert result.ann_volatility == pytest.approx(volatility, rel=1e-12)
    assert result.leverage == leverage
    assert any("max_leverage 5 bites" in note for note in result.notes) is (volatility < 0.06)


def test_below_the_volatility_floor_leverage_is_that_of_the_floor() -> None:
    result = allocate(of_volatility(0.002), Rules(lookback_days=100, vol_floor=0.10))
    assert result.leverage == 3.0
    assert any("below vol_floor" in note for note in result.notes)


def test_volatility_and_leverage_are_those_of_the_written_weights() -> None:
    returns = noise(100, 7, 3)
    result = allocate(histories(returns), RULES)
    written = np.array([result.weights[name] for name in sorted(result.weights)])
    assert result.ann_volatility == pytest.approx(np.std(returns @ written, ddof=1) * np.sqrt(365.0), rel=1e-12)
    assert result.leverage == round(0.30 / result.ann_volatility, 4)


def test_excluded_strategies_are_written_with_weight_zero_and_a_reason() -> None:
    returns = rising(100, 4, 5)
    given_histories = histories(returns, ["a", "b", "c", "flat"])
    flat = given_histories["flat"]
    given_histories["flat"] = History(flat.days, (0.001,) * 100)
    given_histories["young"] = History((FIRST_DAY + 99,), (0.01,))
    result = allocate(given_histories, RULES)
    assert list(result.weights) == ["a", "b", "c", "flat", "young"]
    assert (result.weights["flat"], result.weights["young"]) == (0.0, 0.0)
    assert list(result.excluded) == ["flat", "young"]
    assert "no risk" in result.excluded["flat"]


def test_when_all_are_excluded_the_error_names_each_reason() -> None:
    days = tuple(range(FIRST_DAY, FIRST_DAY + 40))
    with pytest.raises(AllocationError) as raised:
        allocate({"flat": History(days, (0.0,) * 40), "young": History(days[-2:], (0.1, 0.2))}, RULES)
    assert "flat: no risk" in raised.value.found
    assert "young: too young" in raised.value.found


@pytest.mark.parametrize("name", NAMES)
def test_without_a_positive_score_every_allocator_holds_cash(name: str) -> None:
    falling = histories(-np.abs(noise(100, 3, 2)))
    result = allocate(falling, Rules(lookback_days=100, allocator=name))
    assert not result.edge
    assert set(result.weights.values()) == {0.0}
    assert (result.leverage, result.ann_volatility, result.score, result.optimality_gap) == (0.0, 0.0, 0.0, 0.0)
    assert result.notes == ("no allocation has a positive score",)


@pytest.mark.parametrize("name", NAMES)
def test_a_cap_that_leaves_cash_is_said(name: str) -> None:
    result = allocate(histories(rising(100, 3, 4)), Rules(lookback_days=100, allocator=name, max_weight=0.2))
    assert list(result.weights.values()) == [0.2, 0.2, 0.2]
    assert any("leaves 40.00% of the portfolio in cash" in note for note in result.notes)


def test_a_cap_that_bites_names_the_strategies() -> None:
    result = allocate(histories(rising(100, 5, 4)), Rules(lookback_days=100, max_weight=0.3))
    capped = [name for name, weight in result.weights.items() if weight == 0.3]
    assert capped
    assert f"max_weight 0.3 bites: {', '.join(capped)}" in result.notes


def test_the_score_is_that_of_the_exact_weights_and_its_gap_is_certified() -> None:
    returns = noise(100, 10, 6)
    result = allocate(histories(returns), RULES)
    written = np.array(list(result.weights.values()))
    assert result.optimality_gap <= 1e-9
    assert score(returns, written) <= result.score * (1.0 + 1e-9)
    assert score(returns, written) == pytest.approx(result.score, rel=1e-8)


def test_a_return_that_is_not_finite_names_the_strategy() -> None:
    broken = histories(noise(100, 2, 1), ["good", "broken"])
    days, returns = broken["broken"].days, broken["broken"].returns
    broken["broken"] = History(days, (*returns[:-1], float("nan")))
    with pytest.raises(AllocationError) as raised:
        allocate(broken, RULES)
    assert "broken" in raised.value.found
    assert "good" not in raised.value.found


def test_strategies_that_cancel_each_other_are_named() -> None:
    returns = noise(100, 2, 1)
    named = histories(np.column_stack((returns, 0.001 - returns[:, 0])), ["long", "other", "short"])
    with pytest.raises(AllocationError) as raised:
        allocate(named, RULES)
    assert "long" in raised.value.found
    assert "short" in raised.value.found


def test_a_lookback_of_two_days_is_refused() -> None:
    with pytest.raises(AllocationError, match="too short"):
        allocate(histories(noise(100, 2, 1)), Rules(lookback_days=2, min_history_days=1))


def test_an_unknown_allocator_names_the_nearest() -> None:
    with pytest.raises(AllocationError) as raised:
        allocator("inverse-vol")
    assert '"inverse_vol"' in raised.value.found
    with pytest.raises(AllocationError):
        allocate(histories(noise(100, 2, 1)), Rules(allocator="none"))


def test_equal_gives_each_the_same_and_inverse_vol_the_same_risk() -> None:
    returns = rising(100, 5, 3)
    named = histories(returns)
    assert set(allocate(named, Rules(lookback_days=100, allocator="equal")).weights.values()) == {0.2}
    weights = np.array(list(allocate(named, Rules(lookback_days=100, allocator="inverse_vol")).weights.values()))
    assert weights * returns.std(axis=0, ddof=1) == pytest.approx(
        np.full(5, weights[0] * returns[:, 0].std(ddof=1)), rel=1e-4
    )


def test_hrp_splits_two_uncorrelated_strategies_by_inverse_variance() -> None:
    wave = np.tile([1.0, -1.0, 1.0, -1.0], 25)
    other = np.tile([1.0, 1.0, -1.0, -1.0], 25)
    returns = np.column_stack((0.01 * wave, 0.02 * other)) + 0.0005
    weights = allocate(histories(returns), Rules(lookback_days=100, allocator="hrp")).weights
    assert list(weights.values()) == pytest.approx([0.8, 0.2], abs=1e-6)


def test_hrp_gives_a_pair_of_like_strategies_about_what_it_gives_one_unlike() -> None:
    random = np.random.default_rng(1)
    common, lone = 0.01 * random.standard_normal((2, 100))
    like = common[:, None] + 0.0005 * random.standard_normal((100, 2))
    returns = np.column_stack((like, lone)) + 0.001
    weights = list(allocate(histories(returns), Rules(lookback_days=100, allocator="hrp")).weights.values())
    assert weights[0] + weights[1] == pytest.approx(0.5, abs=0.15)


def first_only(returns: Floats, _rules: Rules) -> Floats:
    """Put everything into the first strategy."""
    weights = np.zeros(returns.shape[1])
    weights[0] = 1.0
    return weights


def test_an_installed_allocator_is_used_and_capped() -> None:
    named = histories(rising(100, 3, 2))
    assert list(allocate(named, RULES, first_only).weights.values()) == [1.0, 0.0, 0.0]
    capped = allocate(named, Rules(lookback_days=100, max_weight=0.5), first_only)
    assert list(capped.weights.values()) == [0.5, 0.25, 0.25]


def test_an_installed_allocator_may_choose_cash() -> None:
    result = allocate(histories(rising(100, 3, 2)), RULES, lambda returns, _rules: np.zeros(returns.shape[1]))
    assert not result.edge


@pytest.mark.parametrize("weights", [[0.5, 0.4], [1.5, -0.5], [float("nan"), 1.0], [1.0], [0.5, 0.5, 0.0]])
def test_an_installed_allocator_that_returns_no_weights_is_refused(weights: list[float]) -> None:
    rules = Rules(lookback_days=100, allocator="theirs")
    with pytest.raises(AllocationError, match='"theirs" returned what are no weights'):
        allocate(histories(rising(100, 2, 2)), rules, lambda _returns, _rules: np.array(weights))


@pytest.mark.parametrize("strategies", [1, 2])
def test_an_installed_allocator_that_fails_is_refused_with_its_error(strategies: int) -> None:
    """Also where there is nothing to choose."""

    def failing(_returns: Floats, _rules: Rules) -> Floats:
        raise ZeroDivisionError("by nothing")

    with pytest.raises(AllocationError) as raised:
        allocate(histories(rising(100, strategies, 2)), RULES, failing)
    assert raised.value.found == "ZeroDivisionError: by nothing"


def test_the_hash_changes_with_every_input() -> None:
    base = histories(noise(40, 2, 1))
    days, returns = base["s000"].days, base["s000"].returns
    variants = [
        (base, Rules()),
        (base, Rules(target_vol=0.2)),
        (base, Rules(allocator="equal")),
        (base, Rules(bounds={"s000": (0.0, 0.5)})),
        (base, Rules(bounds={"s000": (0.1, 0.5)})),
        (base, Rules(groups={"all": Group(("s*",), 0.9)})),
        (base, Rules(turnover_cost=1.0)),
        (base, Rules(covariance="ledoit_wolf")),
        (base, Rules(objective="log_equity")),
        (base, Rules(vol_lookback_days=90)),
        (base, Rules(vol_halflife_days=30.0)),
        (base | {"s000": History(days, (*returns[:-1], 0.5))}, Rules()),
        (base | {"s000": History((*days[:-1], days[-1] + 1), returns)}, Rules()),
        (base | {"s002": History((), ())}, Rules()),
        ({"other": base["s000"], "s001": base["s001"]}, Rules()),
    ]
    hashes = [inputs_hash(*variant) for variant in variants]
    assert len(set(hashes)) == len(variants)
    assert all(len(value) == 64 for value in hashes)


def test_the_order_of_the_limits_changes_no_hash() -> None:
    base = histories(noise(40, 2, 1))
    one, other = {"s000": (0.0, 0.5), "s001": (0.1, 1.0)}, {"s001": (0.1, 1), "s000": (0, 0.5)}
    assert inputs_hash(base, Rules(bounds=one)) == inputs_hash(base, Rules(bounds=other))


def test_a_whole_number_in_the_rules_hashes_like_its_fraction() -> None:
    base = histories(noise(40, 2, 1))
    assert inputs_hash(base, Rules(target_vol=1)) == inputs_hash(base, Rules(target_vol=1.0))


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=200))
def test_rounding_moves_no_weight_by_a_millionth_and_keeps_the_sum(raw: list[float]) -> None:
    assume(sum(raw) > 1e-3)
    weights = np.array(raw) / sum(raw)
    written = to_six_places(weights)
    assert np.abs(written - weights).max() < 1.0000001e-6
    assert sum((Fraction(str(weight)) for weight in written.tolist()), Fraction(0)) == 1


def test_what_rounding_leaves_goes_to_the_largest_remainders_and_ties_to_the_first() -> None:
    assert to_six_places(np.full(3, 1.0 / 3.0)).tolist() == [0.333334, 0.333333, 0.333333]
    assert to_six_places(np.array([0.2000004, 0.3000007, 0.4999989])).tolist() == [0.2, 0.300001, 0.499999]


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=30), st.floats(0.05, 1.0))
def test_cutting_to_the_cap_keeps_the_order_and_the_sum(raw: list[float], cap: float) -> None:
    assume(sum(raw) > 1e-3)
    weights = np.array(raw) / sum(raw)
    filled = water_fill(weights, cap)
    assert filled.max() <= cap * (1.0 + 1e-9)
    assert filled.sum() == pytest.approx(min(1.0, cap * len(raw)), abs=1e-9)
    assert (np.diff(filled[np.argsort(weights, kind="stable")]) >= -1e-9).all()
