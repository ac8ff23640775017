"""From positions to daily returns, after costs and without look-ahead."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from portfoliod.errors import PortfoliodError, UsageError
from portfoliod.prices.candles import Candles, Floats, Integers

_DAY = 86_400


@dataclass(frozen=True, eq=False)
class DailyReturns:
    """Simple returns of complete UTC days, on a notional that stays the same.

    Attributes:
        days: days since 1970-01-01, strictly increasing.
        values: one return a day, as a fraction.
    """

    days: Integers
    values: Floats

    def __len__(self) -> int:
        return len(self.days)

    @property
    def dates(self) -> list[str]:
        """The days as `YYYY-MM-DD`."""
        return [str(date) for date in self.days.astype("datetime64[D]")]

    @property
    def total(self) -> float:
        """The sum of the returns: the notional stays the same, so they do not compound."""
        return math.fsum(self.values)

    @property
    def sharpe(self) -> float:
        """Mean by standard deviation (ddof 1), times the root of 365; 0 where nothing varies."""
        deviation = float(np.std(self.values, ddof=1)) if len(self) > 1 else 0.0
        return float(np.mean(self.values)) / deviation * math.sqrt(365) if deviation > 0 else 0.0

    @property
    def max_drawdown(self) -> float:
        """The largest fall of the summed returns from their high so far (at first 0), as a fraction of the notional."""
        curve = np.concatenate([[0.0], np.cumsum(self.values)])
        return float(np.max(np.maximum.accumulate(curve) - curve))


def align(candles: Mapping[str, Candles]) -> dict[str, Candles]:
    """Return the candles of the opening times that all markets have.

    Raises:
        UsageError: the markets have candles of different length.
    """
    if len({market.interval for market in candles.values()}) > 1:
        raise UsageError("the markets have candles of different length", mend="load all of them with one interval")
    if len(candles) < 2:
        return dict(candles)
    common: Integers = functools.reduce(np.intersect1d, [market.time for market in candles.values()])
    return {symbol: market[np.isin(market.time, common)] for symbol, market in candles.items()}


def checked(positions: Mapping[str, Floats], symbol: str, count: int, where: str = "") -> Floats:
    """Return the positions in one market of `count` candles; `where` is the author's file, for errors.

    Raises:
        PortfoliodError: they are not one finite number a candle.
    """
    found = "nothing"
    if symbol in positions:
        values = np.asarray(positions[symbol], dtype=np.float64)
        finite = np.isfinite(values)
        if values.shape == (count,) and finite.all():
            return values + 0.0  # turns -0.0 into 0.0
        found = f"shape {values.shape} for {count} candles"
        if values.shape == (count,):
            found = f"{values[~finite][0]} at candle {int(np.argmin(finite))}"
    mend = "return one finite number a candle; 0 while there is not enough history"
    raise PortfoliodError(f"the positions in {symbol} do not fit", where=where, found=found, mend=mend)


def backtest(
    positions: Mapping[str, Floats],
    candles: Mapping[str, Candles],
    *,
    fee_bps: float = 5.0,
    slippage_bps: float = 0.0,
) -> DailyReturns:
    """Return what positions would have earned on each complete UTC day.

    The position of candle k is known when k closes. It is traded at the open of candle k + 1 and earns from there to
    the open of candle k + 2; so candle k earns with the position of candle k - 1, and the first candle earns nothing:

        r[k] = p[k-1] * (open[k+1] / open[k] - 1) - cost * |p[k-1] - p[k-2]|

    with positions before the first candle 0 and the last candle's close in place of the open that follows it. The
    return of a day is the sum of r over the candles that open on it and over the markets; a gap between two candles
    counts to the earlier one. A day is complete when it lies wholly between the first open and the last close.

    This is a constant notional: within a day and from day to day returns add, they do not compound. The daemon sizes in
    the same way (account value x leverage x weight x position) but keeps the *quantity* from one decision to the next,
    so while it makes no decision its result is weighted with the price since the last one, and differs a little.

    Args:
        positions: for each symbol one position a candle, of the candles that `align` leaves.
        candles: for each symbol its candles; they have to divide a day.
        fee_bps: what trading costs, in basis points of the traded notional.
        slippage_bps: half the spread and what the market moves, likewise.

    Raises:
        UsageError: there are no positions, a market has no candles, or the candles do not divide a day.
        PortfoliodError: a day loses everything, or positions are not one finite number a candle.
    """
    if not positions or (missing := sorted(positions.keys() - candles.keys())):
        what = f"there are no candles of {', '.join(missing)}" if positions else "there are no positions"
        raise UsageError(what, mend="give positions, and the candles of each of their markets, by symbol")
    aligned = align({symbol: candles[symbol] for symbol in positions})
    clock = next(iter(aligned.values()))
    if _DAY % clock.interval:
        raise UsageError("daily returns need candles that divide a day", mend="take an interval such as 1h")
    cost = (fee_bps + slippage_bps) / 10_000
    earned = sum(
        (_earned(checked(positions, symbol, len(clock)), market, cost) for symbol, market in aligned.items()),
        start=np.zeros(len(clock)),
    )
    days, row = np.unique(clock.time // _DAY, return_inverse=True)
    sums = np.bincount(row, weights=earned, minlength=len(days)).astype(np.float64)
    whole = (days * _DAY >= clock.time[:1]) & ((days + 1) * _DAY <= clock.closes_at[-1:])
    returns = DailyReturns(days[whole], sums[whole])
    _refuse_ruin(returns)
    return returns


def _earned(positions: Floats, candles: Candles, cost: float) -> Floats:
    held = np.concatenate([[0.0], positions])[: len(candles)]
    growth = np.concatenate([candles.open, candles.close[-1:]])[1:] / candles.open - 1
    traded = np.abs(np.diff(held, prepend=0.0))
    earned: Floats = held * growth - cost * traded
    return earned


def _refuse_ruin(returns: DailyReturns) -> None:
    ruined = np.flatnonzero(returns.values <= -1)
    if len(ruined):
        raise PortfoliodError(
            "the strategy loses its whole notional in a day",
            found=f"{returns.values[ruined[0]]:.2%} on {returns.dates[ruined[0]]}",
            mend="return smaller positions; leverage is the optimizer's business",
        )
