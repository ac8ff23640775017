"""What a Strategy accepts from its author, and where it writes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod import sdk
from portfoliod.errors import PortfoliodError, UsageError
from portfoliod.sdk.command import main

AUTHOR = """
import numpy as np
from portfoliod import sdk

def position(candles):
    return {returned}

strategy = sdk.Strategy(symbol="BTCUSDT", position=position)
"""


def author(tmp_path: Path, returned: str) -> sdk.Strategy:
    path = tmp_path / "mine" / "strategy.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(AUTHOR.format(returned=returned))
    return sdk.load(path)


@pytest.mark.parametrize(
    "returned",
    [
        "np.full(len(candles), np.nan)",
        "np.where(candles.time == candles.time[7], np.inf, 0.0)",
        "np.ones(len(candles) - 1)",
        "np.ones((len(candles), 2))",
        "1.0",
    ],
)
def test_positions_that_are_not_one_finite_number_a_candle_are_refused(
    tmp_path: Path, candles: Mapping[str, sdk.Candles], returned: str
) -> None:
    strategy = author(tmp_path, returned)
    with pytest.raises(PortfoliodError, match="positions in BTCUSDT do not fit") as caught:
        strategy.positions(candles)
    assert caught.value.where == str(strategy.path)
    assert caught.value.found


def test_a_market_without_positions_is_named(candles: Mapping[str, sdk.Candles]) -> None:
    def positions(markets: Mapping[str, sdk.Candles]) -> dict[str, sdk.Floats]:
        return {"BTCUSDT": np.zeros(len(markets["BTCUSDT"]))}

    strategy = sdk.Strategy(symbols=["BTCUSDT", "ETHUSDT"], positions=positions)
    with pytest.raises(PortfoliodError, match="positions in ETHUSDT do not fit"):
        strategy.positions(candles)


def test_the_folder_is_that_of_the_file_that_defines_the_strategy(tmp_path: Path) -> None:
    strategy = author(tmp_path, "np.ones(len(candles))")
    assert strategy.path == tmp_path / "mine" / "strategy.py"
    assert strategy.name == "mine"


def test_a_state_is_written_whole_and_alone(tmp_path: Path) -> None:
    strategy = author(tmp_path, "np.ones(len(candles))")
    path = strategy.publish_state({"BTCUSDT": np.float64(1 / 3)}, at=0.0)
    assert json.loads(path.read_text()) == {
        "position": 0.333333,
        "symbol": "BTCUSDT",
        "interval": "1h",
        "updated_at": "1970-01-01T00:00:00Z",
    }
    assert sorted(file.name for file in path.parent.iterdir() if file.is_file()) == ["state.json", "strategy.py"]


def test_it_writes_into_a_folder_that_is_linked(tmp_path: Path) -> None:
    author(tmp_path / "elsewhere", "np.ones(len(candles))")
    (tmp_path / "linked").symlink_to(tmp_path / "elsewhere/mine")
    linked = sdk.load(tmp_path / "linked" / "strategy.py")
    assert linked.name == "linked"
    assert linked.publish_state({"BTCUSDT": 1.0}, at=0.0).parent == tmp_path / "elsewhere/mine"


def test_a_file_that_defines_no_strategy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "strategy.py").write_text("x = 1\n")
    with pytest.raises(UsageError, match="defines no strategy"):
        sdk.load(tmp_path / "strategy.py")
    with pytest.raises(UsageError, match="no such strategy"):
        sdk.load(tmp_path / "none.py")


def nothing(candles: sdk.Candles) -> sdk.Floats:
    return np.zeros(len(candles))


def nothing_in_each(candles: Mapping[str, sdk.Candles]) -> dict[str, sdk.Floats]:
    return {symbol: nothing(market) for symbol, market in candles.items()}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"symbol": "BTCUSDT"},
        {"position": nothing},
        {"symbols": ["BTCUSDT"]},
        {"symbols": [], "positions": nothing_in_each},
        {"symbol": "BTCUSDT", "positions": nothing_in_each},
        {"symbol": "X", "symbols": ["BTCUSDT", "ETHUSDT"], "positions": nothing_in_each},
        {"symbol": "BTCUSDT", "position": nothing, "symbols": ["ETHUSDT"]},
        {"symbol": "BTCUSDT", "position": nothing, "symbols": ["ETHUSDT"], "positions": nothing_in_each},
    ],
)
def test_one_market_and_several_exclude_each_other(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="give symbol and position, or symbols and positions"):
        sdk.Strategy(**arguments)


def test_a_string_is_no_list_of_symbols() -> None:
    with pytest.raises(TypeError, match="symbols is one string"):
        sdk.Strategy(symbols="BTCUSDT", positions=nothing_in_each)


@pytest.mark.parametrize(("written", "seconds"), [("15m", 900), ("1h", 3600), ("1d", 86_400)])
def test_the_interval_is_a_property_of_the_strategy(written: str, seconds: int) -> None:
    assert sdk.Strategy(symbol="BTCUSDT", position=nothing, interval=written).interval == seconds
    with pytest.raises(UsageError, match="not an interval"):
        sdk.Strategy(symbol="BTCUSDT", position=nothing, interval="soon")


def test_candles_of_each_market_are_needed(candles: Mapping[str, sdk.Candles]) -> None:
    strategy = sdk.Strategy(symbols=["BTCUSDT", "XYZUSDT"], positions=nothing_in_each)
    with pytest.raises(UsageError, match="no candles of XYZUSDT"):
        strategy.positions(candles)


def signs_of_the_next_candle(candles: sdk.Candles) -> sdk.Floats:
    rises = np.append(candles.close[1:] > candles.close[:-1], False)
    return rises.astype(np.float64)


def signs_of_the_next_day(candles: sdk.Candles) -> sdk.Floats:
    return np.sign(np.append(candles.close[24:], np.full(24, candles.close[-1])) - candles.close)


def next_day_once_a_day(candles: sdk.Candles) -> sdk.Floats:
    return sdk.daily(candles, signs_of_the_next_day(candles))


def next_candle_once_a_day_or_as_it_was(candles: sdk.Candles) -> sdk.Floats:
    change = np.append(np.diff(candles.close), np.nan)
    return sdk.daily(candles, np.where(np.isnan(change), np.nan, np.where(change > 0, 1.0, -1.0)))


def distance_from_the_mean_of_all(candles: sdk.Candles) -> sdk.Floats:
    distance: sdk.Floats = (candles.close - candles.close.mean()) / candles.close.std()
    return distance / 100


def rank_among_all(candles: sdk.Candles) -> sdk.Floats:
    ranks: sdk.Floats = candles.close.argsort().argsort() / len(candles)
    return ranks


def thrown(candles: sdk.Candles) -> sdk.Floats:
    return np.random.default_rng().uniform(-1, 1, len(candles))


LOOK_AHEAD = (
    signs_of_the_next_candle,
    signs_of_the_next_day,
    next_day_once_a_day,
    next_candle_once_a_day_or_as_it_was,
    distance_from_the_mean_of_all,
    rank_among_all,
    thrown,
)


@pytest.mark.parametrize("days", [40, 333, 500])
@pytest.mark.parametrize("position", LOOK_AHEAD, ids=lambda function: function.__name__)
def test_a_position_that_depends_on_a_later_candle_is_refused(
    candles: Mapping[str, sdk.Candles], position: Callable[[sdk.Candles], sdk.Floats], days: int
) -> None:
    strategy = sdk.Strategy(symbol="BTCUSDT", position=position)
    shown = {"BTCUSDT": candles["BTCUSDT"][-24 * days :]}
    with pytest.raises(PortfoliodError, match="the positions in BTCUSDT look ahead") as caught:
        strategy.refuse_look_ahead(shown, strategy.positions(shown))
    assert "at the candle of 20" in caught.value.found
    assert caught.value.mend


@given(st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_what_looks_back_is_never_refused(count: int, seed: int) -> None:
    """Of any length, with any candles, and with positions that rise, fall, both or neither."""
    random = np.random.default_rng(seed)
    price = 100 + random.normal(size=count).cumsum()
    market = sdk.Candles("A", 3600, 3600 * np.arange(count), price, price, price, price, price)
    lag = int(random.integers(1, 5))
    strategy = sdk.Strategy(
        symbol="A", position=lambda each: sdk.hold(np.sign(each.close - sdk.lagged(each.close, lag)))
    )
    strategy.refuse_look_ahead({"A": market}, strategy.positions({"A": market}))


def test_statistics_that_look_ahead_are_not_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strategy = author(tmp_path, "(np.append(candles.close[1:], 0.0) > candles.close) * 1.0")
    for options in ([], ["--backtest"]):
        assert main(strategy, ["--source", "simulated", "--days", "30", *options]) == 1
    assert "look ahead" in capsys.readouterr().err
    assert [path.name for path in strategy.path.parent.glob("*.json")] == []
