"""The optimum under a cap on each weight: as global, and as certified, as the one without."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from portfoliod.allocation import optimum, score
from portfoliod.errors import AllocationError
from tests.pure.allocation_data import SEEDS, Floats, best_by_enumeration, degenerate, noise, ordinary, rising

PROVEN = 1e-9
CAPS = st.sampled_from([0.9, 0.6, 0.5, 0.4, 1.0 / 3.0, 0.3, 0.25, 0.2])


@settings(max_examples=60, deadline=None)
@given(ordinary(most=5), CAPS)
def test_the_optimum_is_the_best_of_all_ways_to_be_at_zero_at_the_cap_or_between(returns: Floats, cap: float) -> None:
    assume(returns.shape[1] * cap > 1.0 + 1e-9)
    best = optimum(returns, cap)
    expected = best_by_enumeration(returns, cap)
    if expected <= 0.0:
        assert not best.weights.any()
    else:
        assert best.score == pytest.approx(expected, rel=1e-9)
        assert best.gap <= PROVEN


@pytest.mark.parametrize("cap", [0.3, 0.15, 0.1, 0.06])
def test_slsqp_started_anywhere_finds_nothing_better(cap: float) -> None:
    returns = noise(200, 20, 11)
    best = optimum(returns, cap)

    def negative_score(weights: Floats) -> float:
        return -score(returns, weights) if weights.any() else 0.0

    def cash(weights: Floats) -> float:
        return 1.0 - float(weights.sum())

    random = np.random.default_rng(0)
    starts = [np.full(20, 0.05), best.weights, *(np.minimum(random.dirichlet(np.ones(20)), cap) for _ in range(3))]
    for start in starts:
        found = minimize(
            negative_score,
            start,
            method="SLSQP",
            bounds=[(0.0, cap)] * 20,
            constraints={"type": "eq", "fun": cash},
        )
        assert -float(found.fun) <= best.score * (1.0 + 1e-7)
    assert best.gap <= PROVEN


@pytest.mark.parametrize(("strategies", "cap"), [(100, 0.5), (100, 0.1), (100, 0.02), (100, 0.0101), (300, 0.01)])
@pytest.mark.parametrize("common", [0.0, 1.0])
def test_many_strategies_are_certified_and_keep_the_cap(strategies: int, cap: float, common: float) -> None:
    returns = rising(365, strategies, 4, common)
    best = optimum(returns, cap)
    assert best.gap <= PROVEN
    assert best.weights.max() <= cap
    assert best.weights.min() >= 0.0
    assert best.weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert score(returns, best.weights) == pytest.approx(best.score, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(ordinary(most=30), CAPS)
def test_a_cap_that_the_free_optimum_keeps_changes_nothing(returns: Floats, cap: float) -> None:
    free = optimum(returns)
    assume(free.weights.any() and free.weights.max() < cap)
    assert optimum(returns, cap).weights == pytest.approx(free.weights, abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(ordinary(most=20), CAPS)
def test_a_tighter_cap_never_scores_better(returns: Floats, cap: float) -> None:
    assert optimum(returns, cap).score <= optimum(returns).score * (1.0 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(ordinary(most=20), CAPS, SEEDS)
def test_the_weights_follow_a_permutation_of_the_strategies(returns: Floats, cap: float, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(returns.shape[1])
    assert optimum(returns[:, order], cap).weights == pytest.approx(optimum(returns, cap).weights[order], abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(ordinary(most=10), CAPS, SEEDS)
def test_identical_strategies_share_equally_under_a_cap(returns: Floats, cap: float, seed: int) -> None:
    columns = np.random.default_rng(seed).integers(0, returns.shape[1], 3 * returns.shape[1])
    best = optimum(returns[:, columns], cap)
    for column in range(returns.shape[1]):
        assert len(set(best.weights[columns == column].tolist())) <= 1


@settings(max_examples=100, deadline=None)
@given(degenerate(), CAPS)
def test_degenerate_data_gives_allowed_weights_or_says_why_not(returns: Floats, cap: float) -> None:
    try:
        best = optimum(returns, cap)
    except AllocationError:
        return
    assert np.isfinite(best.gap)
    assert best.weights.min() >= 0.0
    assert best.weights.max() <= cap
    if best.weights.any():
        held = min(1.0, cap * np.count_nonzero(np.ptp(returns, axis=0) > 0.0))
        assert best.weights.sum() == pytest.approx(held, abs=1e-9)


def test_too_few_strategies_for_the_cap_each_get_the_cap() -> None:
    returns = rising(90, 3, 2)
    best = optimum(returns, 0.2)
    assert best.weights.tolist() == [0.2, 0.2, 0.2]
    assert best.score == pytest.approx(score(returns, best.weights))


def test_a_cap_that_leaves_one_portfolio_gives_that_one() -> None:
    assert optimum(rising(90, 4, 2), 0.25).weights.tolist() == [0.25] * 4


def test_no_allowed_portfolio_with_a_positive_slope_means_nothing_is_held() -> None:
    """The rising strategy alone would have an edge, but the cap forces as much of the falling one."""
    returns = noise(90, 2, 1)
    returns[:, 0] += 0.001 - returns[:, 0].mean()
    returns[:, 1] -= 0.01 + returns[:, 1].mean()
    assert optimum(returns).weights.any()
    assert not optimum(returns, 0.5).weights.any()
