"""How volatile a portfolio is, by each estimate that can be chosen, and the leverage that follows."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, sqrt

import msgspec
import numpy as np

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.rules import Rules
from portfoliod.allocation.window import on_calendar
from portfoliod.model import History

SHOWN_DAYS = (90, 30)
SHOWN_HALFLIFE = 30.0


class VolatilityEstimate(msgspec.Struct, frozen=True):
    """One way to estimate the volatility of the weights, and what it would lead to."""

    days: int
    """Calendar days up to the newest one."""
    halflife_days: float | None
    """A day so long ago counts half; None: all count alike."""
    ann_volatility: float
    """A fraction."""
    leverage: float
    """Four places."""
    in_force: bool
    """Whether it is the one that the settings choose."""


def volatility(portfolio: Floats, halflife_days: float | None = None) -> float:
    """Return the standard deviation of daily returns (T, the newest last), a day.

    With a half-life the days have weights u = 2^(-age / halflife) / sum, and the variance is
    sum u (r - mean)^2 / (1 - sum u^2), unbiased for independent days; without one that is the usual ddof 1.
    """
    largest = float(np.abs(portfolio).max(initial=0.0))
    if largest == 0.0 or portfolio.size < 2:
        return 0.0
    scaled = portfolio / largest
    if halflife_days is None:
        return float(scaled.std(ddof=1)) * largest
    weights = 0.5 ** (np.arange(portfolio.size - 1, -1, -1) / halflife_days)
    weights /= weights.sum()
    left = 1.0 - float(weights @ weights)
    centred = scaled - weights @ scaled
    return sqrt(float(weights @ centred**2) / left) * largest if left > 0.0 else 0.0


def annual_volatility(portfolio: Floats, rules: Rules) -> float:
    """Return the volatility of a portfolio's daily returns (T, the newest last) by the estimate that the rules choose.

    Of more days than `vol_lookback_days` the oldest are not read.
    """
    days = rules.vol_lookback_days or rules.lookback_days
    return volatility(portfolio[-days:], rules.vol_halflife_days) * sqrt(rules.periods_per_year)


def leverage(ann_volatility: float, rules: Rules) -> tuple[float, list[str]]:
    """Return the leverage to the target volatility in four places, and a sentence for each limit that bites."""
    notes = []
    floored = max(ann_volatility, rules.vol_floor)
    if floored > ann_volatility:
        notes.append(
            f"the annual volatility of {ann_volatility:.2%} is below vol_floor: leverage is computed from {floored:.2%}"
        )
    wanted = rules.target_vol / floored if floored > 0.0 else inf
    if wanted > rules.max_leverage:
        notes.append(
            f"max_leverage {rules.max_leverage:g} bites: the target of {rules.target_vol:.2%} a year would take "
            f"a leverage of {wanted:.4f}"
        )
    return round(min(rules.max_leverage, wanted), 4), notes


def estimates(
    histories: Mapping[str, History], weights: Mapping[str, float], last_day: int, rules: Rules
) -> tuple[VolatilityEstimate, ...]:
    """Return the estimate in force first, then the others that a person might choose.

    Args:
        histories: daily returns by strategy; a day without a value is 0.
        weights: of the included strategies.
        last_day: the last day of the window.
        rules: the settings.
    """
    chosen = (rules.vol_lookback_days or rules.lookback_days, rules.vol_halflife_days)
    window = rules.lookback_days
    pairs: dict[tuple[int, float | None], None] = {chosen: None, (window, None): None, (window, SHOWN_HALFLIFE): None}
    pairs |= dict.fromkeys((days, None) for days in SHOWN_DAYS)
    longest = max(days for days, _ in pairs)
    held = {name: histories[name] for name in weights}
    portfolio = on_calendar(held, last_day, longest) @ np.array(list(weights.values()))
    found = []
    for days, halflife in pairs:
        rate = volatility(portfolio[-days:], halflife) * sqrt(rules.periods_per_year)
        found.append(VolatilityEstimate(days, halflife, rate, leverage(rate, rules)[0], (days, halflife) == chosen))
    return tuple(found)
