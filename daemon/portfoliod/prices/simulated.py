"""Invented prices that are the same in every process: a price is a pure function of seed, coin and second.

Nothing is stored and nothing runs: a daemon that restarts, a strategy in another process and a backtest over the last
two years all see the same market.

The logarithm of a price is built by midpoint displacement (Fournier, Fussell and Carpenter 1982). Every 2^24 seconds
(194 days) stands a knot with an independent random level, so that a price stays within a factor of a few of its
reference for ever. The interval between two knots is halved again and again down to one second; each midpoint is the
mean of the two ends plus a random displacement whose variance is that of fractional Brownian motion with Hurst exponent
0.56, given its ends. An exponent above one half makes returns mildly persistent (successive ones correlate by about
0.09), more than real markets are: a trend follower finds something here, which proves that the machinery works and
nothing about the strategy.

A midpoint is a whole second, and no two intervals share one: the random number of a node is a hash of the second alone.
The market as a whole and each coin have a path of their own, mixed so that the returns of two coins correlate by 0.6.
"""

from __future__ import annotations

import hashlib
import math
from typing import TypeVar

import numpy as np

from portfoliod.errors import UnknownSymbol
from portfoliod.prices.candles import Candles, Floats, Integers
from portfoliod.prices.markets import MARKETS, SimulatedMarket

__all__ = ["MARKETS", "SimulatedMarket", "SimulatedPrices"]

HURST = 0.56
CORRELATION = 0.6
"""Of the log returns of any two coins."""
LEVELS = 24
KNOT_DEVIATION = 0.5
"""Standard deviation of the log-level of a knot, in units of the market's annual volatility."""
SAMPLES = 6
"""How many prices of a candle its high and low are taken from, besides its close."""
DAILY_TURNOVER = 1e9
"""Of an average simulated day, in the quote currency."""

Values = TypeVar("Values", float, Floats)

_DAY = 86_400.0
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_LANES = 0x0000FFFF0000FFFF
_NOISE_MEAN = 2 * 65_535
_NOISE_SCALE = 1.0 / math.sqrt((65_536.0**2 - 1) / 3)
_CHUNK = 1 << 15


def _displacement(half: int) -> float:
    """Return the standard deviation of a midpoint that lies `half` seconds from both ends, for unit volatility."""
    daily_variance = 1.0 / 365.0
    return math.sqrt(daily_variance * (half / _DAY) ** (2 * HURST) * (1.0 - 2.0 ** (2 * HURST - 2)))


_SCALES = tuple(_displacement(1 << level) for level in range(LEVELS))
_KNOT = 1 << LEVELS


class _Path:
    """One random path of unit annual volatility. `at` and `along` do the same arithmetic, so they agree to the bit."""

    def __init__(self, seed: int, name: str) -> None:
        digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
        self._key = int.from_bytes(digest, "little")
        self._second: int | None = None
        self._intervals: list[tuple[int, float, float]] = [(0, 0.0, 0.0)] * (LEVELS + 1)
        """By level: start, left and right value of the interval of 2^level seconds that holds `_second`."""

    def at(self, second: int) -> float:
        """Return the value at a second, reusing the intervals that it shares with the second asked for before."""
        if second == self._second:
            return self._intervals[0][1]
        intervals = self._intervals
        changed = -1 if self._second is None else second ^ self._second
        level = changed.bit_length()
        if changed < 0 or level > LEVELS:  # negative: the two seconds lie on different sides of 1970
            level = LEVELS
            start = second & -_KNOT
            intervals[level] = (
                start,
                KNOT_DEVIATION * self._noise_at(start),
                KNOT_DEVIATION * self._noise_at(start + _KNOT),
            )
        while level:
            start, left, right = intervals[level]
            level -= 1
            middle = start + (1 << level)
            value = (left + right) * 0.5 + _SCALES[level] * self._noise_at(middle)
            intervals[level] = (middle, value, right) if second >= middle else (start, left, value)
        self._second = second
        return intervals[0][1]

    def along(self, seconds: Integers) -> Floats:
        """Return the values at many seconds."""
        start = seconds & -_KNOT
        left = KNOT_DEVIATION * self.noise(start)
        right = KNOT_DEVIATION * self.noise(start + _KNOT)
        for level in reversed(range(LEVELS)):
            middle = start + (1 << level)
            value = (left + right) * 0.5 + _SCALES[level] * self.noise(middle)
            after = seconds >= middle
            start = np.where(after, middle, start)
            left, right = np.where(after, value, left), np.where(after, right, value)
        return left

    def _noise_at(self, second: int) -> float:
        """Return the noise at one second, in plain integers: faster than arrays of length one."""
        bits = (self._key + second * _GOLDEN) & _MASK
        bits = ((bits ^ (bits >> 30)) * _MIX_1) & _MASK
        bits = ((bits ^ (bits >> 27)) * _MIX_2) & _MASK
        bits ^= bits >> 31
        pairs = (bits & _LANES) + ((bits >> 16) & _LANES)
        return ((pairs & 0xFFFFFFFF) + (pairs >> 32) - _NOISE_MEAN) * _NOISE_SCALE

    def noise(self, seconds: Integers) -> Floats:
        """Return numbers of mean 0 and variance 1 that depend on the second alone.

        The hash is splitmix64 (Steele, Lea and Flood 2014). The sum of its four 16-bit parts is nearly Gaussian and
        takes integers only, so no mathematical library can make two machines disagree.
        """
        bits = seconds.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(self._key)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(_MIX_1)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(_MIX_2)
        bits ^= bits >> np.uint64(31)
        pairs = (bits & np.uint64(_LANES)) + ((bits >> np.uint64(16)) & np.uint64(_LANES))
        total = (pairs & np.uint64(0xFFFFFFFF)) + (pairs >> np.uint64(32))
        centred: Floats = total.astype(np.float64) - _NOISE_MEAN
        return centred * _NOISE_SCALE


class SimulatedPrices:
    """The prices of all simulated markets for one seed.

    Not for use by several threads at once: it remembers the second that was asked for last.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._whole = _Path(seed, "market")
        self._own: dict[str, _Path] = {}
        self._last: dict[str, tuple[int, float]] = {}

    def price(self, base: str, at: float) -> float:
        """Return the price of a coin at the whole second that `at` (epoch seconds) lies in, a multiple of its tick.

        Raises:
            UnknownSymbol: no such coin is simulated.
        """
        second = math.floor(at)
        last = self._last.get(base)
        if last is not None and last[0] == second:
            return last[1]
        market = _market(base)
        mixed = _mix(self._whole.at(second), self._path(base).at(second))
        value = float(_to_price(market, np.array([mixed]))[0])
        self._last[base] = (second, value)
        return value

    def prices(self, base: str, seconds: Integers) -> Floats:
        """Return the prices of a coin at many whole seconds, each exactly what `price` returns."""
        market, own = _market(base), self._path(base)
        values = np.empty(len(seconds))
        for first in range(0, len(seconds), _CHUNK):  # chunks that stay in the processor's cache
            part = seconds[first : first + _CHUNK]
            values[first : first + _CHUNK] = _to_price(market, _mix(self._whole.along(part), own.along(part)))
        return values

    def candles(self, base: str, quote: str, interval: int, start: float, end: float) -> Candles:
        """Return the candles of a coin that open at `start` or later and are closed at `end` (epoch seconds).

        Open and close are exactly the prices at those seconds. High and low are those of seven prices, spread evenly
        over the candle, so the true extremes lie a little further out. The volume is invented: it has no relation to
        the price. The quote currency only names the symbol: every dollar is worth the same.

        Raises:
            UnknownSymbol: no such coin is simulated.
        """
        first = math.ceil(start / interval)
        count = max(0, math.floor(end / interval) - first)
        time = (first + np.arange(count, dtype=np.int64)) * interval
        steps = np.arange(SAMPLES, dtype=np.int64) * interval // SAMPLES
        seconds = (time[:, None] + steps).ravel()
        prices = self.prices(base, np.append(seconds, (first + count) * interval))
        inside, close = prices[:-1].reshape(count, SAMPLES), prices[SAMPLES::SAMPLES]
        turnover = DAILY_TURNOVER * interval / _DAY * np.exp(0.5 * _Path(self.seed, f"{base}/volume").noise(time))
        return Candles(
            symbol=base + quote,
            interval=interval,
            time=time,
            open=inside[:, 0].copy(),
            high=np.maximum(inside.max(axis=1), close),
            low=np.minimum(inside.min(axis=1), close),
            close=close,
            volume=turnover / close,
        )

    def _path(self, base: str) -> _Path:
        if base not in self._own:
            self._own[base] = _Path(self.seed, base)
        return self._own[base]


def _market(base: str) -> SimulatedMarket:
    try:
        return MARKETS[base]
    except KeyError:
        raise UnknownSymbol(
            "no such simulated market", found=f'"{base}"', mend=f"take one of {', '.join(MARKETS)}"
        ) from None


def _mix(whole: Values, own: Values) -> Values:
    return whole * math.sqrt(CORRELATION) + own * math.sqrt(1 - CORRELATION)


def _to_price(market: SimulatedMarket, path: Floats) -> Floats:
    """Return prices in whole ticks, at least one."""
    ticks = float(1 / market.tick)
    return np.maximum(np.rint(market.reference * np.exp(market.volatility * path) * ticks), 1.0) / ticks
