"""Limits, turnover, shrinkage and objectives: every rule is kept, and no direction within the rules is better."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from portfoliod.allocation import ALLOCATORS, Group, Rules, Window, weigh
from portfoliod.allocation.covariance import ledoit_wolf, shrinkage
from portfoliod.allocation.standardise import standardise
from portfoliod.errors import AllocationError
from tests.pure.allocation_data import SEEDS, Floats, rising
from tests.pure.limited_portfolios import (
    Case,
    allowed,
    ascent,
    best_gain,
    case,
    covariance_of,
    kept,
    shrunk,
    slope_days,
    weighed,
)

PROVEN = 1e-9
COVARIANCES = st.sampled_from(["sample", "ledoit_wolf"])


@settings(max_examples=40, deadline=None)
@given(SEEDS, COVARIANCES, st.sampled_from([0.0, 2.0, 20.0]))
def test_no_direction_within_the_limits_improves_slope_over_std(seed: int, covariance: str, cost: float) -> None:
    given_case = case(seed, covariance=covariance, turnover_cost=cost, turnover_days=10.0)
    found = weighed(given_case, held=True)
    assume(found.weights.any())
    kept(given_case, found.weights)
    assert found.gap <= PROVEN
    assert ascent(given_case, found.weights) <= 1e-7


@settings(max_examples=25, deadline=None)
@given(SEEDS, COVARIANCES, st.sampled_from([0.0, 5.0]))
def test_no_direction_within_the_limits_improves_the_slope_of_log_equity(
    seed: int, covariance: str, cost: float
) -> None:
    given_case = case(seed, 15, covariance=covariance, turnover_cost=cost, objective="log_equity")
    found = weighed(given_case, held=True)
    assume(found.weights.any())
    kept(given_case, found.weights)
    assert found.gap <= PROVEN
    # A ratio that is proven to 1e-12 leaves an ascent of the order of the root.
    assert ascent(given_case, found.weights) <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_no_direction_within_the_limits_improves_any_of_two_thousand_small_portfolios(part: int) -> None:
    """Few strategies, so that several limits bind at once."""
    random = np.random.default_rng(part)
    for seed in range(500 * part, 500 * (part + 1)):
        cost, covariance = float(random.choice([0.0, 20.0])), str(random.choice(["sample", "ledoit_wolf"]))
        given_case = case(seed, int(random.choice([3, 6])), covariance=covariance, turnover_cost=cost)
        found = weighed(given_case, held=True)
        if found.weights.any():
            kept(given_case, found.weights)
            assert found.gap <= PROVEN
            assert ascent(given_case, found.weights) <= 1e-7, seed


@settings(max_examples=25, deadline=None)
@given(SEEDS, COVARIANCES)
def test_no_direction_within_the_limits_lowers_the_least_variance(seed: int, covariance: str) -> None:
    given_case = case(seed, allocator="min_variance", covariance=covariance)
    found = weighed(given_case)
    kept(given_case, found.weights)
    assert found.gap <= PROVEN
    risk = covariance_of(given_case) @ found.weights
    variance = found.weights @ risk
    assert best_gain(given_case, -risk) <= -variance * (1.0 - 1e-7)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from(["cumsum", "log_equity"]), st.sampled_from([0.0, 10.0]))
@example(100, "cumsum", 0.0)  # a maximum and a minimum of one group, both thought to be reached
def test_no_portfolio_of_a_fine_grid_is_better(seed: int, objective: str, cost: float) -> None:
    given_case = case(seed, 3, objective=objective, turnover_cost=cost)
    assume(len(given_case.names) == 3)
    found = weighed(given_case, held=True)
    assume(found.weights.any())
    first, second = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60)))
    grid = np.column_stack((first, second, 1.0 - first - second))
    rows, sides, bounds = allowed(given_case)
    low, high = np.array(bounds).T
    grid = grid[((grid >= low) & (grid <= high)).all(axis=1) & (grid @ rows.T <= sides).all(axis=1)]

    def net(weights: Floats) -> Floats:
        portfolio = weights @ given_case.returns.T
        days = slope_days(portfolio.shape[1])
        growth = np.log1p(portfolio) @ days if objective == "log_equity" else portfolio @ days
        fee = cost * 1e-4 / 30.0 * np.abs(weights - given_case.held).sum(axis=1)
        ratios: Floats = (growth - fee) / portfolio.std(axis=1, ddof=1)
        return ratios

    best = net(found.weights[None, :])[0]
    assert net(grid).max(initial=-np.inf) <= best * (1.0 + 1e-9)


@pytest.mark.parametrize("name", [name for name in ALLOCATORS if name not in ("slope_std", "min_variance")])
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_every_other_allocator_keeps_the_limits_with_the_nearest_weights(name: str, seed: int) -> None:
    given_case = case(seed, 12, allocator=name)
    found = weighed(given_case).weights
    kept(given_case, found)
    wanted = weighed(given_case._replace(rules=Rules(allocator=name))).weights
    if given_case.rules.bounds or given_case.rules.groups:
        assert best_gain(given_case, wanted - found) <= (wanted - found) @ found + 1e-6


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from(["cumsum", "log_equity"]), COVARIANCES)
def test_the_weights_follow_a_permutation_of_the_strategies(seed: int, objective: str, covariance: str) -> None:
    given_case = case(seed, 12, objective=objective, covariance=covariance, turnover_cost=3.0)
    order = np.random.default_rng(seed).permutation(len(given_case.names))
    moved = Case(
        given_case.returns[:, order],
        tuple(given_case.names[number] for number in order),
        given_case.rules,
        given_case.held[order],
    )
    assert weighed(moved, held=True).weights == pytest.approx(weighed(given_case, held=True).weights[order], abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(SEEDS, COVARIANCES, st.sampled_from(["slope_std", "min_variance"]), st.sampled_from([2.0**-20, 2.0**5]))
def test_returns_in_another_unit_give_the_same_weights(
    seed: int, covariance: str, allocator: str, scale: float
) -> None:
    given_case = case(seed, 12, covariance=covariance, allocator=allocator)
    scaled = given_case._replace(returns=given_case.returns * scale)
    assert weighed(scaled).weights == pytest.approx(weighed(given_case).weights, abs=1e-7)


@pytest.mark.parametrize(
    "rules",
    [
        Rules(turnover_cost=5.0),
        Rules(covariance="ledoit_wolf"),
        Rules(allocator="min_variance"),
        Rules(objective="log_equity"),
        Rules(groups={"all": Group(("s*",), 1.0, 0.5)}, max_weight=0.3),
    ],
)
def test_identical_strategies_share_equally_under_every_rule(rules: Rules) -> None:
    returns = np.repeat(rising(90, 4, 3), 3, axis=1)
    names = tuple(f"s{number:02d}" for number in range(12))
    found = weigh(Window(names, 0, returns, {}), rules, dict.fromkeys(names, 1.0 / 12.0))
    assert found.gap <= PROVEN
    assert np.ptp(found.weights.reshape(4, 3), axis=1).max() == 0.0


def test_equals_with_different_limits_need_not_share_equally() -> None:
    returns = np.repeat(rising(90, 1, 3), 2, axis=1)
    rules = Rules(bounds={"first": (0.0, 0.2)})
    assert weigh(Window(("first", "other"), 0, returns, {}), rules).weights[0] <= 0.2


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_changes_that_cost_more_than_they_can_earn_are_not_made(seed: int) -> None:
    returns = rising(60, 8, seed)
    names = tuple("abcdefgh")
    held = np.random.default_rng(seed).dirichlet(np.ones(8))
    found = weigh(Window(names, 0, returns, {}), Rules(turnover_cost=1e5), dict(zip(names, held.tolist(), strict=True)))
    assert found.weights == pytest.approx(held, abs=1e-9)


def test_a_dearer_turnover_trades_less() -> None:
    returns, names = rising(120, 10, 4), tuple("abcdefghij")
    held = dict.fromkeys(names, 0.1)
    traded = [
        float(np.abs(weigh(Window(names, 0, returns, {}), Rules(turnover_cost=cost), held).weights - 0.1).sum())
        for cost in (0.0, 1.0, 5.0, 20.0, 80.0, 1000.0)
    ]
    assert traded == sorted(traded, reverse=True)
    assert traded[0] > traded[3] > traded[-1] == pytest.approx(0.0, abs=1e-9)


def test_without_weights_in_force_turnover_costs_nothing() -> None:
    returns, names = rising(120, 6, 4), tuple("abcdef")
    frame = Window(names, 0, returns, {})
    assert weigh(frame, Rules(turnover_cost=50.0)).weights.tolist() == weigh(frame, Rules()).weights.tolist()


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_shrinkage_is_that_of_ledoit_and_wolf(seed: int) -> None:
    random = np.random.default_rng(seed)
    returns = rising(int(random.integers(5, 60)), int(random.integers(2, 30)), seed)
    standard = standardise(returns)
    assert 0.0 <= shrinkage(standard.paths.dense() * standard.risk[:, None])[0] <= 1.0
    rows = ledoit_wolf(standard)
    paths = rows.paths.dense() * rows.risk[:, None]
    assert paths @ paths.T / (len(returns) - 1) == pytest.approx(
        shrunk(returns), rel=1e-9, abs=1e-12 * rows.risk.max() ** 2
    )
    assert np.linalg.norm(rows.paths.dense(), axis=1) == pytest.approx(np.ones(returns.shape[1]))


def test_limits_that_no_portfolio_keeps_are_named_and_the_innocent_are_not() -> None:
    returns, names = rising(60, 4, 1), ("a1", "a2", "b1", "b2")
    rules = Rules(
        bounds={"a1": (0.0, 0.9), "b1": (0.0, 0.2), "b2": (0.1, 0.2)},
        groups={"a": Group(("a*",), 0.5), "some": Group(("b1", "a1"), 0.8)},
    )
    with pytest.raises(AllocationError, match="no portfolio keeps all") as raised:
        weigh(Window(names, 0, returns, {}), rules)
    for label in ("bounds.b1", "bounds.b2", "groups.a "):
        assert label in raised.value.found
    for label in ("bounds.a1", "groups.some", "max_weight"):
        assert label not in raised.value.found


def test_a_cap_that_is_in_the_way_of_a_minimum_is_named() -> None:
    rules = Rules(groups={"lonely": Group(("a",), 1.0, 0.5)}, max_weight=0.4)
    with pytest.raises(AllocationError) as raised:
        weigh(Window(("a", "b", "c"), 0, rising(60, 3, 1), {}), rules)
    assert "groups.lonely" in raised.value.found
    assert "max_weight = 0.4" in raised.value.found


def test_minimums_that_leave_nothing_to_choose_are_the_portfolio() -> None:
    rules = Rules(bounds={"a": (0.25, 1.0), "b": (0.75, 1.0)})
    found = weigh(Window(("a", "b", "c"), 0, rising(60, 3, 1), {}), rules)
    assert found.weights.tolist() == [0.25, 0.75, 0.0]


def test_what_bites_and_what_has_no_effect_is_said() -> None:
    names = ("a1", "a2", "b1")
    returns = rising(90, 3, 2)
    rules = Rules(
        bounds={"a1": (0.3, 0.35), "gone": (0.1, 0.2)},
        groups={"a": Group(("a*",), 0.4), "nobody": Group(("x*",), 0.4)},
        allocator="equal",
        turnover_cost=1.0,
    )
    said = " | ".join(weigh(Window(names, 0, returns, {}), rules).notes)
    assert "optimizer.bounds.gone has no effect" in said
    assert "optimizer.groups.nobody has no effect" in said
    assert "optimizer.groups.a bites" in said
    assert '"equal" does not read turnover_cost' in said


def test_a_total_loss_has_no_log_equity() -> None:
    returns = rising(60, 2, 1)
    returns[5, 0] = -1.0
    with pytest.raises(AllocationError, match="no logarithm"):
        weigh(Window(("a", "b"), 0, returns, {}), Rules(objective="log_equity"))


@pytest.mark.parametrize(("days", "strategies"), [(3, 1), (3, 40), (20, 60), (500, 3)])
@pytest.mark.parametrize("allocator", ["slope_std", "min_variance"])
def test_shrinkage_proves_the_optimum_of_any_shape(days: int, strategies: int, allocator: str) -> None:
    """With more strategies than days the sample covariance has mixes without risk, a shrunk one has none."""
    names = tuple(f"s{number:03d}" for number in range(strategies))
    rules = Rules(covariance="ledoit_wolf", allocator=allocator)
    found = weigh(Window(names, 0, rising(days, strategies, 5), {}), rules)
    assert found.gap <= PROVEN
    assert found.weights.sum() == pytest.approx(1.0)
