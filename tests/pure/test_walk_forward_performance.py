"""Each figure beside its formula written out plainly."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfoliod.allocation.walk_forward import FIGURES, drawdown, equity, figures, percentile, performance

RETURNS = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=60)


@settings(max_examples=60, deadline=None)
@given(returns=RETURNS, periods=st.sampled_from([252.0, 365.0]))
def test_figures_are_their_formulas(returns: list[float], periods: float) -> None:
    traded = [abs(value) for value in returns]
    found = performance(np.array(returns), np.array(traded), periods)
    worth, high, fallen, curve = 1.0, 1.0, 0.0, []
    for value in returns:
        worth *= 1.0 + value
        high = max(high, worth)
        fallen = max(fallen, 1.0 - worth / high)
        curve.append(worth)
    cagr = worth ** (periods / len(returns)) - 1.0
    deviation = statistics.stdev(returns)
    downside = math.sqrt(sum(min(value, 0.0) ** 2 for value in returns) / len(returns))
    mean = statistics.fmean(returns)
    assert equity(np.array(returns)) == pytest.approx(curve)
    assert found.total_return == pytest.approx(worth - 1.0)
    assert found.cagr == pytest.approx(cagr)
    assert found.volatility == pytest.approx(deviation * math.sqrt(periods), abs=1e-12)
    assert found.max_drawdown == pytest.approx(fallen, abs=1e-12)
    assert found.turnover == pytest.approx(sum(traded) / len(traded) * periods)
    if deviation > 1e-9:
        assert found.sharpe == pytest.approx(mean / deviation * math.sqrt(periods), rel=1e-6, abs=1e-9)
    if downside > 1e-9:
        assert found.sortino == pytest.approx(mean / downside * math.sqrt(periods), rel=1e-6, abs=1e-9)
    if fallen > 1e-9:
        assert found.calmar == pytest.approx(cagr / fallen, rel=1e-6, abs=1e-9)


def test_figures_without_a_value_are_none() -> None:
    one = performance(np.array([0.01]), np.array([1.0]), 365.0)
    assert (one.volatility, one.sharpe, one.sortino, one.calmar) == (None, None, None, None)
    still = performance(np.zeros(10), np.zeros(10), 365.0)
    assert (still.total_return, still.volatility, still.max_drawdown) == (0.0, 0.0, 0.0)
    assert (still.sharpe, still.sortino, still.calmar) == (None, None, None)


def test_an_account_that_is_lost_stays_lost() -> None:
    returns = np.array([0.5, -1.5, 3.0, 0.1])
    assert equity(returns).tolist() == [1.5, 0.0, 0.0, 0.0]
    assert drawdown(equity(returns)).tolist() == [0.0, 1.0, 1.0, 1.0]
    found = performance(returns, np.zeros(4), 365.0)
    assert (found.total_return, found.cagr, found.max_drawdown, found.calmar) == (-1.0, -1.0, 1.0, -1.0)


def test_an_equity_without_bounds_is_no_warning_and_no_infinity() -> None:
    found = performance(np.full(2000, 1e6), np.zeros(2000), 365.0)
    assert found.total_return == 1e300
    assert all(value is None or math.isfinite(value) for value in (found.cagr, found.sharpe, found.calmar))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_many_portfolios_at_once_are_each_by_itself(seed: int) -> None:
    random = np.random.default_rng(seed)
    returns, traded = random.normal(0.001, 0.05, (50, 4)), random.random((50, 4))
    together = figures(returns, traded, 365.0)
    for column in range(4):
        alone = performance(returns[:, column], traded[:, column], 365.0)
        assert together[:, column] == pytest.approx([getattr(alone, name) for name in FIGURES])


@pytest.mark.parametrize(
    ("value", "others", "rank"),
    [
        (3.0, [1.0, 2.0, 3.0, 4.0], 62.5),
        (0.0, [1.0, 2.0], 0.0),
        (9.0, [1.0, 2.0], 100.0),
        (1.5, [1.0, math.nan, 2.0], 50.0),
        (None, [1.0], None),
        (1.0, [math.nan], None),
    ],
)
def test_the_rank_counts_those_below_and_half_of_the_equal(
    value: float | None, others: list[float], rank: float | None
) -> None:
    assert percentile(value, np.array(others)) == rank
