"""What a walk-forward found, as it is printed and written: a stable format, documented in docs/json.md."""

from __future__ import annotations

import msgspec

from portfoliod.allocation import Rules
from portfoliod.allocation.walk_forward import Performance


class Period(msgspec.Struct, frozen=True):
    """The days that were evaluated."""

    first_day: str
    last_day: str
    days: int
    excluded_days: int
    """Days after the first window that were not: fewer than two strategies had a return."""


class Coverage(msgspec.Struct, frozen=True):
    """Which days a strategy had."""

    first_day: str
    last_day: str
    days: int
    """With a return, of all that it published."""
    missing_days: int
    """Without one, between its first and its last."""
    evaluated_days: int
    """With a return, of those that were evaluated."""
    included_days: int
    """Of the evaluated days those whose window gave it a chance of a weight."""
    mean_weight: float
    """Over the evaluated days."""


class Compared(msgspec.Struct, frozen=True):
    """One portfolio's figures, after costs."""

    unlevered: Performance
    levered: Performance


class RandomPortfolios(msgspec.Struct, frozen=True):
    """The figures of the random portfolios: their 5th, 50th and 95th percentiles, each figure by itself."""

    count: int
    seed: int
    unlevered: dict[str, Performance]
    levered: dict[str, Performance]


class Ranks(msgspec.Struct, frozen=True):
    """By figure, the share of the random portfolios, in percent, that the optimum's is above; equal ones count half."""

    unlevered: dict[str, float | None]
    levered: dict[str, float | None]


class Leverage(msgspec.Struct, frozen=True):
    """How well the leverage hit its target, over the days on which something was held. Volatilities are annual."""

    target_volatility: float
    realised_volatility: float | None
    mean: float | None
    least: float | None
    most: float | None
    limited_days: int
    """On which max_leverage kept it lower."""


class Curve(msgspec.Struct, frozen=True):
    """One portfolio's equity, from 1, after costs; a value an evaluated day."""

    equity: list[float]
    """With leverage."""
    drawdown: list[float]
    """Of that."""
    unlevered_equity: list[float]
    leverage: list[float]


class Series(msgspec.Struct, frozen=True):
    """A value an evaluated day."""

    dates: list[str]
    optimum: Curve
    equal: Curve
    random: dict[str, list[float]]
    """Percentiles of the random portfolios' equity with leverage, each day by itself."""
    weights: dict[str, list[float]]
    """Held, before leverage."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `backtest --json`; walk_forward.json has the series too."""

    version: int
    generated_at: str
    allocator: str
    lookback_days: int
    every_days: int
    cost_bps: float
    rules: Rules
    """All settings that the weights and the leverage depend on."""
    period: Period
    strategies: dict[str, Coverage]
    optimum: Compared
    equal: Compared
    random: RandomPortfolios | None
    """None where none was asked for."""
    rank: Ranks | None
    leverage: Leverage
    in_sample_sharpe: float | None
    """Annual: the mean of what the decided portfolios had in their own windows. What is left of it out of sample is
    optimum.unlevered.sharpe."""
    cash_days: int
    """Evaluated days on which nothing was held."""
    notes: list[str]
    written: list[str]
    """The files that were written; not in the file itself."""
    series: Series | msgspec.UnsetType = msgspec.UNSET
