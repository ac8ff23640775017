"""The sample strategies: they never look ahead, and publish what the daemon accepts."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfoliod import sdk
from portfoliod.documents import parse_state, parse_stats

from .conftest import SAMPLES

samples = pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.parent.name)
HOURS = 24 * 120


def test_there_are_samples_of_one_and_of_several_markets() -> None:
    markets = [len(sdk.load(path).symbols) for path in SAMPLES]
    assert len(markets) >= 6
    assert min(markets) == 1
    assert max(markets) >= 2


@samples
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_future_never_changes_a_past_position(
    path: Path, candles: Mapping[str, sdk.Candles], data: st.DataObject
) -> None:
    strategy = sdk.load(path)
    length = min(len(market) for market in candles.values())
    first = data.draw(st.integers(0, length - HOURS))
    whole = sdk.align({symbol: candles[symbol][first : first + HOURS] for symbol in strategy.symbols})
    cut = data.draw(st.integers(1, min(len(market) for market in whole.values())))
    past = {symbol: market[:cut] for symbol, market in whole.items()}
    after, before = strategy.positions(whole), strategy.positions(past)
    for symbol in strategy.symbols:
        np.testing.assert_array_equal(after[symbol][:cut], before[symbol])


@samples
def test_positions_are_moderate_and_change(path: Path, candles: Mapping[str, sdk.Candles]) -> None:
    positions = sdk.load(path).positions(candles)
    gross = np.sum([np.abs(wanted) for wanted in positions.values()], axis=0)
    assert gross.max() <= 1
    assert all(len(np.unique(wanted)) > 1 for wanted in positions.values())


@samples
def test_a_sample_does_not_trade_itself_to_death(path: Path, candles: Mapping[str, sdk.Candles]) -> None:
    """Fees of 5 basis points take at most a fifth of the notional in a year."""
    positions = sdk.load(path).positions(candles)
    free, costly = (sdk.backtest(positions, candles, fee_bps=fee) for fee in (0.0, 5.0))
    assert (free.total - costly.total) / len(free) * 365 < 0.2


@samples
def test_the_daemon_accepts_what_a_sample_publishes(
    path: Path, candles: Mapping[str, sdk.Candles], workspace: Path
) -> None:
    strategy = sdk.load(workspace / "strategies" / path.parent.name / "strategy.py")
    positions = strategy.positions(candles)
    returns = sdk.backtest(positions, candles)
    stats = strategy.publish_stats(returns)
    state = strategy.publish_state({symbol: wanted[-1] for symbol, wanted in positions.items()}, at=1_700_000_000.0)
    history, warning = parse_stats(stats.read_bytes(), "stats.json", 0.0)
    assert len(history.returns) == len(returns)
    assert not warning
    accepted = parse_state(state.read_bytes(), "state.json", 0.0, 1.0)
    assert {symbol: float(held) for symbol, held in accepted.positions.items()} == {
        symbol: round(float(wanted[-1]), 6) for symbol, wanted in positions.items()
    }
    assert accepted.updated_at == 1_700_000_000.0
