"""What a Strategy accepts from its author, and where it writes."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from portfoliod import sdk
from portfoliod.errors import PortfoliodError, UsageError

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


def test_one_market_and_several_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="symbol and position"):
        sdk.Strategy(symbol="BTCUSDT")  # type: ignore[call-overload]
