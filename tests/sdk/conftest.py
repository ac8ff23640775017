"""Candles to test strategies with, and a workspace to run them in."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import settings

from portfoliod.prices.candles import Candles, find_candles, read_candles
from portfoliod.prices.simulated import SimulatedPrices

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "strategies").glob("*/strategy.py"))
RECORDED = ROOT.parent / "shared" / "data"
SYMBOLS = ("ADAUSDT", "BNBUSDT", "BTCUSDT", "ETHUSDT", "LTCUSDT")
NOW = 1_760_000_000
settings.register_profile("untimed", deadline=None)  # how long an example takes is the machine's business
settings.load_profile("untimed")
DAY = 86_400


@pytest.fixture(scope="session")
def candles() -> Mapping[str, Candles]:
    """Return 500 days of hourly candles: recorded ones where they are at hand, else simulated ones."""
    if RECORDED.is_dir():
        found = {symbol: read_candles(path) for symbol, path in find_candles(RECORDED, 3600).items()}
        if set(SYMBOLS) <= set(found):
            return found
    prices = SimulatedPrices(1)
    return {
        symbol: prices.candles(symbol.removesuffix("USDT"), "USDT", 3600, NOW - 500 * DAY, NOW) for symbol in SYMBOLS
    }


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with a copy of the sample strategies."""
    monkeypatch.delenv("PORTFOLIOD_ROOT", raising=False)
    for sample in SAMPLES:
        folder = tmp_path / "strategies" / sample.parent.name
        folder.mkdir(parents=True)
        shutil.copy(sample, folder)
    (tmp_path / "config").mkdir()
    return tmp_path
