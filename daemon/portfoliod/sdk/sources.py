"""Where a strategy's candles come from: files, an exchange's public data, or simulation."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from portfoliod.errors import UnknownSymbol, UsageError
from portfoliod.prices.candles import Candles, find_candles, format_interval, read_candles
from portfoliod.prices.simulated import SimulatedPrices

_DOLLARS = r"USDT|USDC|FDUSD|BUSD|TUSD|USD"
_DOLLAR_MARKET = re.compile(rf"([A-Z0-9]+?)({_DOLLARS})")


class Source(Protocol):
    """Something that has the candles of markets."""

    name: str
    """As `--source` writes it."""
    delay: float | None
    """How many seconds after its close a candle can be had; None where no candle is added to those that are there."""

    def latest(self, symbols: Sequence[str], interval: int) -> float:
        """Return the newest time (epoch seconds) at which a strategy can be evaluated."""
        ...

    def candles(self, symbol: str, interval: int, start: float, end: float) -> Candles:
        """Return the candles that open at `start` or later and are closed at `end` (epoch seconds)."""
        ...


def compact(symbol: str) -> str:
    """Return a symbol without separators and settlement currency: `BTC/USDT:USDT` and `BTC-USDT` are `BTCUSDT`."""
    return re.sub(r"[^A-Z0-9]", "", symbol.upper().split(":")[0])


class FileCandles:
    """The candle files of a folder."""

    delay: float | None = None

    def __init__(self, folder: Path) -> None:
        self.name = f"candles:{folder}"
        self._folder = folder
        self._read: dict[tuple[str, int], Candles] = {}

    def latest(self, symbols: Sequence[str], interval: int) -> float:
        """Return the time at which the file that ends first ends."""
        return min(float(self._all(symbol, interval).closes_at[-1]) for symbol in symbols)

    def candles(self, symbol: str, interval: int, start: float, end: float) -> Candles:
        """Return the candles between two times.

        Raises:
            UnknownSymbol: the folder has no file of this market with this interval.
            FileRejected: the file does not fit.
        """
        return self._all(symbol, interval).since(start).until(end)

    def _all(self, symbol: str, interval: int) -> Candles:
        if (symbol, interval) not in self._read:
            files = {compact(found): path for found, path in find_candles(self._folder, interval).items()}
            if compact(symbol) not in files:
                raise UnknownSymbol(
                    f"no {format_interval(interval)} candles of {symbol}",
                    where=str(self._folder),
                    found=", ".join(sorted(files)) or "no candle file of this interval",
                    mend=f"put {compact(symbol)}-{format_interval(interval)}.csv.gz there",
                )
            self._read[symbol, interval] = read_candles(files[compact(symbol)])
        return self._read[symbol, interval]


class SimulatedCandles:
    """The candles of invented prices."""

    delay: float | None = 0.05

    def __init__(self, seed: int) -> None:
        self.name = f"simulated:{seed}"
        self._prices = SimulatedPrices(seed)

    def latest(self, symbols: Sequence[str], interval: int) -> float:  # noqa: ARG002 - files need to know
        """Return the time that it is."""
        return time.time()

    def candles(self, symbol: str, interval: int, start: float, end: float) -> Candles:
        """Return the candles between two times.

        Raises:
            UnknownSymbol: no such market is simulated.
        """
        match = _DOLLAR_MARKET.fullmatch(compact(symbol))
        if match is None:
            raise UnknownSymbol(
                "no such simulated market", found=symbol, mend="name a coin against a dollar, for instance BTCUSDT"
            )
        return self._prices.candles(match[1], match[2], interval, start, end)


def open_source(text: str, folder: Path) -> Source:
    """Return the source that `candles:DIR`, `ccxt:EXCHANGE[:TYPE]`, `simulated` or `simulated:SEED` names.

    Args:
        text: the source, as in `--source` and in `prices` of the paper venue.
        folder: what a relative DIR is relative to.

    Raises:
        UsageError: it names none.
    """
    kind, _, rest = text.partition(":")
    if kind == "candles" and rest:
        return FileCandles(folder / Path(rest).expanduser())
    if kind == "ccxt" and rest:
        from portfoliod.sdk.exchange import open_exchange

        return open_exchange(rest)
    if kind == "simulated" and re.fullmatch(r"-?\d+|", rest):
        return SimulatedCandles(int(rest or 1))
    raise UsageError(
        "not a source of candles",
        found=f'"{text}"',
        mend="write candles:DIR, ccxt:EXCHANGE, ccxt:EXCHANGE:spot, simulated or simulated:SEED",
    )
