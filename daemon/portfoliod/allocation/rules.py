"""What the operator sets about allocation: the `[optimizer]` table as far as the formulas read it."""

from __future__ import annotations

import msgspec


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
