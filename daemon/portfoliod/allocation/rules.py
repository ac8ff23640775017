"""What the operator sets about allocation: the `[optimizer]` table as far as the formulas read it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Strategies that share a limit on the sum of their weights."""

    members: tuple[str, ...]
    """Names, or patterns such as "btc_*" (fnmatch)."""
    max: float = 1.0
    min: float = 0.0


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one allocation. Volatilities are annual fractions, weights shares of the portfolio."""

    target_vol: float = 0.30
    lookback_days: int = 365
    periods_per_year: float = 365.0
    allocator: str = "slope_std"
    max_weight: float = 1.0
    """The most that one strategy may get."""
    max_leverage: float = 5.0
    vol_floor: float = 0.01
    """Below it leverage is computed as if the volatility were this."""
    min_history_days: int = 30
    """Observed days inside the window that a strategy needs to be included."""
    stale_after_days: int = 7
    """How far a strategy's last day may be behind the newest one."""
    when_no_edge: str = "cash"
    """cash | keep: read by the optimizer, not by `allocate`."""
    bounds: Mapping[str, tuple[float, float]] = {}
    """The least and the most that a strategy may get, by its name. `max_weight` holds as well."""
    groups: Mapping[str, Group] = {}
    turnover_cost: float = 0.0
    """Basis points of what a change of weights buys and sells; 0: changes are free. Read by slope_std."""
    turnover_days: float = 30.0
    """Over so many days the change must earn its cost."""
    covariance: str = "sample"
    """sample | ledoit_wolf: read by slope_std and min_variance."""
    objective: str = "cumsum"
    """cumsum | log_equity: whose slope slope_std maximises."""
    vol_lookback_days: int | None = None
    """The days that the volatility behind the leverage is computed from; None: `lookback_days`."""
    vol_halflife_days: float | None = None
    """A day so long ago counts half in that volatility; None: all count alike."""
