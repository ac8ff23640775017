"""Simulated prices: a pure function of seed, coin and second, with the statistics that the docstring promises."""

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod.errors import UnknownSymbol
from portfoliod.prices.simulated import CORRELATION, HURST, MARKETS, SimulatedPrices

DAY = 86_400
NOW = 1_760_000_000
MOMENTS = st.integers(-(2**33), 2**33)
COINS = st.sampled_from(sorted(MARKETS))


@given(st.integers(0, 2**70), COINS, st.lists(MOMENTS, min_size=1, max_size=8))
def test_a_price_does_not_depend_on_what_was_asked_before(seed: int, base: str, moments: list[int]) -> None:
    used = SimulatedPrices(seed)
    assert [used.price(base, at) for at in moments] == [SimulatedPrices(seed).price(base, at) for at in moments]


@given(COINS, st.lists(MOMENTS, min_size=1, max_size=50))
def test_one_price_and_many_prices_agree_to_the_bit(base: str, moments: list[int]) -> None:
    prices = SimulatedPrices(7)
    assert prices.prices(base, np.array(moments)).tolist() == [prices.price(base, at) for at in moments]


@given(COINS, MOMENTS, st.sampled_from([1, 7, 60, 3600, DAY]), st.integers(0, 40))
def test_open_and_close_are_the_prices_of_those_seconds(base: str, start: int, interval: int, count: int) -> None:
    prices = SimulatedPrices(3)
    candles = prices.candles(base, "USDT", interval, start, start + (count + 1) * interval)
    assert count <= len(candles) <= count + 1
    assert candles.symbol == base + "USDT"
    assert all(candles.time >= start)
    assert all(candles.closes_at <= start + (count + 1) * interval)
    assert not (candles.time % interval).any()
    assert candles.open.tolist() == [prices.price(base, at) for at in candles.time.tolist()]
    assert candles.close.tolist() == [prices.price(base, at) for at in candles.closes_at.tolist()]
    assert (candles.high >= np.maximum(candles.open, candles.close)).all()
    assert (candles.low <= np.minimum(candles.open, candles.close)).all()
    assert (candles.volume > 0).all()


@given(COINS, MOMENTS)
def test_a_price_is_a_positive_number_of_ticks(base: str, at: int) -> None:
    price = Decimal(repr(SimulatedPrices(1).price(base, at)))
    assert price > 0
    assert price % MARKETS[base].tick == 0


def test_a_price_holds_for_its_whole_second() -> None:
    prices = SimulatedPrices(1)
    assert prices.price("BTC", NOW) == prices.price("BTC", NOW + 0.999)


def test_overlapping_candles_are_the_same_candles() -> None:
    prices = SimulatedPrices(1)
    long = prices.candles("ETH", "USDT", 3600, NOW - 20 * DAY, NOW)
    short = prices.candles("ETH", "USDT", 3600, NOW - 2 * DAY, NOW)
    assert short.high.tolist() == long[-len(short) :].high.tolist()
    assert short.volume.tolist() == long[-len(short) :].volume.tolist()


def test_another_process_sees_the_same_prices_and_loads_no_scipy() -> None:
    program = (
        "import sys; from portfoliod.prices.simulated import SimulatedPrices; "
        f"print(repr(SimulatedPrices(5).price('SOL', {NOW})), 'scipy' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert answer.split() == [repr(SimulatedPrices(5).price("SOL", NOW)), "False"]


def test_seeds_and_coins_have_paths_of_their_own() -> None:
    found = {
        round(SimulatedPrices(seed).price(base, NOW) / MARKETS[base].reference, 5)
        for seed in (1, 2)
        for base in ("BTC", "ETH", "SOL")
    }
    assert len(found) == 6


def daily_log_returns(base: str) -> np.ndarray:
    return np.diff(np.log(SimulatedPrices(1).candles(base, "USDT", DAY, NOW - 9000 * DAY, NOW).close))


@pytest.mark.parametrize("base", ["BTC", "ETH", "DOGE"])
def test_daily_returns_have_the_volatility_of_the_market(base: str) -> None:
    assert daily_log_returns(base).std() * np.sqrt(365) == pytest.approx(MARKETS[base].volatility, rel=0.08)


def test_returns_of_two_coins_correlate_as_promised() -> None:
    found = np.corrcoef(daily_log_returns("BTC"), daily_log_returns("LTC"))[0, 1]
    assert found == pytest.approx(CORRELATION, abs=0.05)


def test_returns_are_mildly_persistent() -> None:
    """Successive returns correlate by 2^(2H-1) - 1, as those of fractional Brownian motion."""
    hourly = np.diff(np.log(SimulatedPrices(1).candles("BTC", "USDT", 3600, NOW - 2000 * DAY, NOW).close))
    found = np.corrcoef(hourly[1:], hourly[:-1])[0, 1]
    assert found == pytest.approx(2 ** (2 * HURST - 1) - 1, abs=0.03)


def test_a_price_stays_within_a_factor_of_ten_of_its_reference() -> None:
    for base, market in MARKETS.items():
        close = SimulatedPrices(1).candles(base, "USDT", 7 * DAY, NOW - 15_000 * DAY, NOW).close / market.reference
        assert 1 / 10 < close.min() < close.max() < 10


def test_an_unknown_coin_is_refused() -> None:
    with pytest.raises(UnknownSymbol):
        SimulatedPrices(1).price("NOPE", NOW)


def test_steps_are_fine_enough_to_trade_a_small_account() -> None:
    for market in MARKETS.values():
        assert float(market.step) * market.reference < 100
        assert float(market.tick) < 2e-3 * market.reference
