"""The slope/std optimum: global, certified, and the same for the same data."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import linprog, minimize, nnls

from portfoliod.allocation import optimum, score
from portfoliod.allocation.standardise import standardise
from portfoliod.errors import AllocationError
from tests.pure.allocation_data import (
    SEEDS,
    Floats,
    best_by_enumeration,
    degenerate,
    fitted_score,
    noise,
    ordinary,
    rising,
)

PROVEN = 1e-9


@settings(max_examples=60, deadline=None)
@given(ordinary(most=7))
def test_the_optimum_is_the_best_of_all_supports(returns: Floats) -> None:
    best = optimum(returns)
    expected = best_by_enumeration(returns)
    if expected <= 0.0:
        assert not best.weights.any()
    else:
        assert best.score == pytest.approx(expected, rel=1e-9)
        assert best.gap <= PROVEN


@settings(max_examples=60, deadline=None)
@given(ordinary(most=40))
def test_the_reported_score_is_the_fitted_slope_over_the_standard_deviation(returns: Floats) -> None:
    best = optimum(returns)
    if best.weights.any():
        assert fitted_score(returns, best.weights) == pytest.approx(best.score, rel=1e-9)
        assert score(returns, best.weights) == pytest.approx(best.score, rel=1e-9)
        assert best.weights.sum() == pytest.approx(1.0, abs=1e-12)
        assert best.weights.min() >= 0.0


@pytest.mark.parametrize(("days", "strategies"), [(365, 100), (365, 300), (90, 120), (30, 40)])
@pytest.mark.parametrize("common", [0.0, 1.0])
def test_it_agrees_with_one_non_negative_least_squares_problem_over_all_strategies(
    days: int, strategies: int, common: float
) -> None:
    returns = noise(days, strategies, 1, common)
    best = optimum(returns)
    standard = standardise(returns)
    scale = 1.0 / standard.slopes.max()
    system = np.vstack((standard.paths.dense().T, scale * standard.slopes))
    mix, _ = nnls(system, np.append(np.zeros(days), 1.0))
    weights = mix / standard.risk
    assert best.gap <= PROVEN
    assert best.score == pytest.approx(fitted_score(returns, weights), rel=1e-9)


def test_slsqp_from_many_starts_finds_nothing_better() -> None:
    returns = noise(120, 8, 3)
    best = optimum(returns)

    def negative_score(weights: Floats) -> float:
        return -score(returns, weights)

    starts = np.random.default_rng(0).dirichlet(np.ones(8), 10)
    found = [minimize(negative_score, start, method="SLSQP", bounds=[(0.0, 1.0)] * 8, tol=1e-12) for start in starts]
    reached = -min(float(result.fun) for result in found)
    assert best.score >= reached * (1.0 - 1e-9)
    assert best.score == pytest.approx(reached, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(ordinary(most=30), SEEDS)
def test_no_random_portfolio_beats_the_certified_bound(returns: Floats, seed: int) -> None:
    best = optimum(returns)
    if not best.weights.any():
        return
    random = np.random.default_rng(seed)
    for weights in random.dirichlet(np.full(returns.shape[1], 0.2), 50):
        mixed = 0.9 * best.weights + 0.1 * weights
        for candidate in (weights, mixed):
            assert score(returns, candidate) <= best.score * (1.0 + best.gap) * (1.0 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(ordinary(most=30), SEEDS)
def test_the_weights_follow_a_permutation_of_the_strategies(returns: Floats, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(returns.shape[1])
    assert optimum(returns[:, order]).weights == pytest.approx(optimum(returns).weights[order], abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(ordinary(most=30), SEEDS)
def test_a_strategy_with_twice_the_returns_gets_half_the_share(returns: Floats, seed: int) -> None:
    scales = 2.0 ** np.random.default_rng(seed).integers(-8, 8, returns.shape[1])
    before, after = optimum(returns), optimum(returns * scales)
    shares = before.weights / scales
    assert after.score == pytest.approx(before.score, rel=1e-9)
    if shares.any():
        assert after.weights == pytest.approx(shares / shares.sum(), abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(ordinary(most=20), SEEDS)
def test_identical_strategies_share_equally_to_the_last_bit(returns: Floats, seed: int) -> None:
    columns = np.random.default_rng(seed).integers(0, returns.shape[1], 3 * returns.shape[1])
    best = optimum(returns[:, columns])
    for column in range(returns.shape[1]):
        assert len(set(best.weights[columns == column].tolist())) <= 1
    kept = np.unique(columns)
    assert best.score == pytest.approx(optimum(returns[:, kept]).score, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(ordinary(most=20))
def test_mirror_images_neither_stop_the_search_nor_win_it(returns: Floats) -> None:
    mirrored = np.hstack((returns, -returns))
    best = optimum(mirrored)
    assert best.gap <= PROVEN
    held = mirrored * best.weights
    assert np.linalg.norm(held.sum(axis=1)) > 1e-6 * np.linalg.norm(held, axis=0).sum()


@pytest.mark.parametrize("decimals", [3, 4, 5, 6, 8])
def test_mirror_images_that_differ_by_rounding_are_still_proven(decimals: int) -> None:
    returns = noise(365, 20, 5)
    best = optimum(np.hstack((returns, np.round(-returns[:, :5], decimals))))
    assert best.gap <= PROVEN


@pytest.mark.parametrize("seed", range(5))
def test_mirror_images_that_differ_by_less_than_counts_as_risk_cost_nothing_and_bound_the_gap(seed: int) -> None:
    returns = rising(365, 10, seed)
    dust = 1e-13 * np.random.default_rng(seed).standard_normal((365, 3))
    best = optimum(np.hstack((returns, dust - returns[:, :3])))
    assert best.score >= optimum(returns).score * (1.0 - 1e-6)
    assert best.gap < 0.01


@settings(max_examples=300, deadline=None)
@given(degenerate())
def test_degenerate_data_gives_weights_or_says_why_not(returns: Floats) -> None:
    try:
        best = optimum(returns)
    except AllocationError:
        return
    assert np.isfinite(best.weights).all()
    assert np.isfinite(best.gap)
    assert best.weights.min() >= 0.0
    if best.weights.any():
        assert best.weights.sum() == pytest.approx(1.0, abs=1e-9)
        assert score(returns, best.weights) == pytest.approx(best.score, rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_it_refuses_exactly_when_some_mix_has_a_slope_and_no_risk(seed: int) -> None:
    """A linear program over x >= 0, path 0, says whether such a mix exists."""
    returns = noise(10, 5 + 5 * (seed % 4), seed)
    standard = standardise(returns)
    program = linprog(
        -standard.slopes,
        A_eq=np.vstack((standard.paths.dense().T, np.ones(returns.shape[1]))),
        b_eq=np.append(np.zeros(10), 1.0),
    )
    if program.fun is not None and program.fun < -1e-6:
        with pytest.raises(AllocationError, match="no risk"):
            optimum(returns)
    else:
        assert optimum(returns).gap <= PROVEN


def test_a_carry_between_mirror_images_is_refused() -> None:
    returns = noise(90, 4, 2)
    with pytest.raises(AllocationError, match="no bound"):
        optimum(np.column_stack((returns, 0.001 - returns[:, 0])))


def test_a_strategy_without_risk_gets_nothing_even_with_a_slope() -> None:
    returns = np.column_stack((rising(90, 3, 4), np.full(90, 0.01), np.zeros(90)))
    best = optimum(returns)
    assert best.weights[3:].tolist() == [0.0, 0.0]
    assert best.score == pytest.approx(optimum(returns[:, :3]).score, rel=1e-12)


def test_without_any_positive_slope_nothing_is_held() -> None:
    returns = -np.abs(noise(90, 5, 1))
    best = optimum(returns)
    assert not best.weights.any()
    assert (best.score, best.gap) == (0.0, 0.0)


def test_one_strategy_gets_everything() -> None:
    assert optimum(rising(30, 1, 6)).weights.tolist() == [1.0]


def test_days_before_a_strategy_began_count_as_zero_returns() -> None:
    returns = rising(120, 2, 9)
    returns[:80, 1] = 0.0
    best = optimum(returns)
    assert best.score == pytest.approx(best_by_enumeration(returns), rel=1e-9)


@pytest.mark.parametrize("days", [0, 1, 2])
def test_fewer_than_three_days_are_refused(days: int) -> None:
    with pytest.raises(AllocationError, match="too few"):
        optimum(np.full((days, 2), 0.01))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_returns_that_are_not_finite_are_refused(value: float) -> None:
    returns = noise(30, 3, 1)
    returns[7, 1] = value
    with pytest.raises(AllocationError, match="finite"):
        optimum(returns)


def test_the_memory_layout_of_the_returns_does_not_matter() -> None:
    returns = noise(120, 30, 8)
    assert optimum(np.asfortranarray(returns)).weights.tolist() == optimum(returns.copy(order="C")).weights.tolist()


@pytest.mark.parametrize(("days", "strategies"), [(60, 2000), (365, 5000), (5000, 60), (5000, 1), (12, 9)])
@pytest.mark.parametrize("cap", [1.0, 0.2])
def test_few_and_many_strategies_and_days_are_certified_when_they_share_a_market(
    days: int, strategies: int, cap: float
) -> None:
    random = np.random.default_rng(0)
    market = 0.02 * random.standard_normal((days, 1)) + 0.002
    returns = market * random.uniform(0.5, 2.0, strategies) + 0.002 * random.standard_normal((days, strategies))
    best = optimum(returns, cap)
    assert best.gap <= PROVEN
    assert np.count_nonzero(best.weights) < max(days, 2)
    assert best.weights.sum() == pytest.approx(min(1.0, cap * strategies))


def test_optimizing_ordinary_returns_does_not_load_scipy() -> None:
    """scipy.optimize alone would take half of the daemon's memory budget."""
    program = """
import sys
import numpy as np
from portfoliod.allocation import optimum
returns = 0.01 * np.random.default_rng(0).standard_normal((90, 30)) + 0.0005
assert optimum(returns).gap <= 1e-9
assert optimum(returns, 0.1).gap <= 1e-9
print([name for name in sys.modules if name.split(".")[0] in ("scipy", "asyncio", "structlog")])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("[]\n", "")
