"""The volatility behind the leverage: its estimates, which one is in force, and what the others would lead to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfoliod.allocation import Rules, allocate, annual_volatility, leverage
from portfoliod.allocation.volatility import volatility
from portfoliod.model import History
from tests.pure.allocation_data import FIRST_DAY, SEEDS, histories, rising


def test_without_a_half_life_it_is_the_standard_deviation() -> None:
    returns = rising(80, 1, 3)[:, 0]
    assert volatility(returns) == pytest.approx(np.std(returns, ddof=1), rel=1e-12)
    assert volatility(returns, 1e12) == pytest.approx(np.std(returns, ddof=1), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0.5, 200.0))
def test_with_a_half_life_it_is_that_of_numpys_weighted_covariance(seed: int, halflife: float) -> None:
    returns = 0.01 * np.random.default_rng(seed).standard_normal(60)
    weights = 0.5 ** (np.arange(60)[::-1] / halflife)
    assert volatility(returns, halflife) == pytest.approx(np.sqrt(np.cov(returns, aweights=weights)), rel=1e-9)


@pytest.mark.parametrize("returns", [[0.0] * 10, [0.01], []])
def test_where_nothing_moves_it_is_zero(returns: list[float]) -> None:
    assert volatility(np.array(returns), 5.0) == 0.0


def test_extreme_returns_keep_their_volatility() -> None:
    returns = np.random.default_rng(1).standard_normal(50)
    for scale in (1e-200, 1e200):
        assert volatility(returns * scale, 9.0) / scale == pytest.approx(volatility(returns, 9.0))


def test_the_lookback_of_the_volatility_is_its_own() -> None:
    returns = rising(300, 4, 6)
    rules = Rules(lookback_days=100, vol_lookback_days=250)
    result = allocate(histories(returns), rules)
    written = np.array([result.weights[name] for name in sorted(result.weights)])
    assert result.ann_volatility == pytest.approx(np.std(returns[-250:] @ written, ddof=1) * np.sqrt(365.0), rel=1e-9)
    assert result.weights == allocate(histories(returns), Rules(lookback_days=100)).weights
    assert result.leverage == round(0.30 / result.ann_volatility, 4)


def test_each_estimate_is_shown_once_with_the_leverage_that_it_would_give() -> None:
    returns = rising(400, 4, 6)
    result = allocate(histories(returns), Rules(vol_lookback_days=60, vol_halflife_days=20.0))
    written = np.array([result.weights[name] for name in sorted(result.weights)])
    shown = {(estimate.days, estimate.halflife_days): estimate for estimate in result.volatilities}
    assert list(shown) == [(60, 20.0), (365, None), (365, 30.0), (90, None), (30, None)]
    assert [estimate.in_force for estimate in result.volatilities] == [True, False, False, False, False]
    for (days, halflife), estimate in shown.items():
        expected = volatility(returns[-days:] @ written, halflife) * np.sqrt(365.0)
        assert estimate.ann_volatility == pytest.approx(expected, rel=1e-9)
        assert estimate.leverage == leverage(expected, Rules())[0]
    assert (result.ann_volatility, result.leverage) == (shown[60, 20.0].ann_volatility, shown[60, 20.0].leverage)


def test_the_default_is_the_optimization_window_and_is_not_shown_twice() -> None:
    result = allocate(histories(rising(400, 3, 2)), Rules(lookback_days=90))
    assert [(estimate.days, estimate.halflife_days) for estimate in result.volatilities] == [
        (90, None),
        (90, 30.0),
        (30, None),
    ]
    assert result.volatilities[0].in_force


def test_days_without_a_value_count_zero_in_a_longer_lookback() -> None:
    given_histories = histories(rising(100, 2, 2))
    days = given_histories["s000"].days
    longer = {"old": History((FIRST_DAY - 200,), (0.5,)), **given_histories}
    short = allocate(given_histories, Rules(lookback_days=100, vol_lookback_days=200))
    assert short.ann_volatility < allocate(given_histories, Rules(lookback_days=100)).ann_volatility
    assert allocate(longer, Rules(lookback_days=100, vol_lookback_days=200)).ann_volatility == short.ann_volatility
    assert len(days) == 100


def test_a_series_longer_than_the_lookback_is_read_from_its_end() -> None:
    portfolio = rising(300, 1, 8)[:, 0]
    rules = Rules(vol_lookback_days=40, vol_halflife_days=10.0, periods_per_year=252.0)
    assert annual_volatility(portfolio, rules) == pytest.approx(volatility(portfolio[-40:], 10.0) * np.sqrt(252.0))
