"""What a series of daily returns amounts to, in the field's usual figures."""

from __future__ import annotations

from math import sqrt

import msgspec
import numpy as np

from portfoliod.allocation.arrays import Floats

_NOTHING = 1e-15
"""A deviation below it is rounding."""

_MOST = 1e300
"""What grows beyond it stands still there."""


class Performance(msgspec.Struct, frozen=True):
    """Figures of n days. Fractions, annual where they say so; None where a figure has no value."""

    total_return: float | None
    """What the returns compound to: prod(1 + r) - 1."""
    cagr: float | None
    """Compound annual growth rate: (1 + total)^(periods_per_year / n) - 1."""
    volatility: float | None
    """Annual: std(r, ddof 1) sqrt(periods_per_year)."""
    sharpe: float | None
    """Annual, without an interest rate: mean(r) / std(r, ddof 1) sqrt(periods_per_year). Sharpe, The Sharpe Ratio,
    Journal of Portfolio Management 21 (1994)."""
    sortino: float | None
    """Annual: mean(r) / sqrt(mean(min(r, 0)^2)) sqrt(periods_per_year), over all days. Sortino and Price, Performance
    Measurement in a Downside Risk Framework, Journal of Investing 3 (1994), with a target of 0."""
    max_drawdown: float | None
    """The largest fall of equity from its high so far, at first 1, as a share of that high: positive."""
    calmar: float | None
    """cagr / max_drawdown, over all days. Young, Calmar Ratio: A Smoother Tool, Futures (1991)."""
    turnover: float | None
    """A year: sum over the days of sum_i |w_i - w_i of the day before|, times periods_per_year / n."""


FIGURES = ("total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar", "turnover")
"""The rows of `figures`."""


def equity(returns: Floats) -> Floats:
    """Return what 1 has become after each day (days x anything); 0 for ever once a day loses everything."""
    with np.errstate(over="ignore"):
        grown = np.cumprod(np.maximum(1.0 + returns, 0.0), axis=0, dtype=np.float64)
    bounded: Floats = np.minimum(grown, _MOST)
    return bounded


def drawdown(curve: Floats) -> Floats:
    """Return the fall of each equity from its high so far, at first 1, as a share of that high (days x anything)."""
    fallen: Floats = 1.0 - curve / np.maximum(np.maximum.accumulate(curve, axis=0), 1.0)
    return fallen


def figures(returns: Floats, traded: Floats, periods_per_year: float) -> Floats:
    """Return the FIGURES (8 x P) of P portfolios at once; NaN where one has no value.

    Args:
        returns: n x P daily returns.
        traded: n x P, the turnover of each day.
        periods_per_year: how many days a year has.
    """
    days = returns.shape[0]
    curve = equity(returns)
    total = curve[-1] - 1.0
    with np.errstate(over="ignore"):
        cagr = curve[-1] ** (periods_per_year / days) - 1.0
    mean = returns.mean(axis=0)
    std = returns.std(axis=0, ddof=1) if days > 1 else np.full(returns.shape[1], np.nan)
    downside = np.sqrt((np.minimum(returns, 0.0) ** 2).mean(axis=0))
    fallen = drawdown(curve).max(axis=0)
    year = sqrt(periods_per_year)
    return np.vstack(
        (
            total,
            cagr,
            std * year,
            _ratio(mean * year, std),
            _ratio(mean * year, downside),
            fallen,
            _ratio(cagr, fallen),
            traded.sum(axis=0) * (periods_per_year / days),
        )
    )


def performance(returns: Floats, traded: Floats, periods_per_year: float) -> Performance:
    """Return the figures of one portfolio: n daily returns and the turnover of each day."""
    found = figures(returns[:, None], traded[:, None], periods_per_year)[:, 0].tolist()
    return msgspec.convert({name: _known(value) for name, value in zip(FIGURES, found, strict=True)}, Performance)


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _ratio(above: Floats, below: Floats) -> Floats:
    divided: Floats = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > _NOTHING)
    return divided


def percentile(value: float | None, others: Floats) -> float | None:
    """Return the share of the others that lie below a value, in percent; equal ones count half, NaN not at all.

    This is the percentile rank (Roscoe, Fundamental Research Statistics, 1975). None without a value or others.
    """
    known = others[np.isfinite(others)]
    if value is None or not known.size:
        return None
    return float(100.0 * (np.count_nonzero(known < value) + 0.5 * np.count_nonzero(known == value)) / known.size)
