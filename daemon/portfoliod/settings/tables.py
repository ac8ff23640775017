"""The tables of portfoliod.toml, each key with its default."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from portfoliod.planning import Thresholds
from portfoliod.policy import Policy
from portfoliod.risk import Limits
from portfoliod.settings.outlets import MetricsSettings, NotifySettings

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=3_600_000)]


class GroupSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[optimizer.groups]: a limit on the sum of several strategies' weights."""

    members: Annotated[tuple[Annotated[str, msgspec.Meta(min_length=1)], ...], msgspec.Meta(min_length=1)]
    """Names of strategies, or patterns such as "btc_*"."""
    max: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    min: Fraction = 0.0


class OptimizerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[optimizer]: how weights and leverage are computed, and when."""

    target_vol: Annotated[float, msgspec.Meta(gt=0, le=10)] | None = None
    """Annual, as a fraction. None: what portfolio_config.json says, else 0.30."""
    lookback_days: Annotated[int, msgspec.Meta(ge=3, le=100_000)] | None = None
    """Calendar days. None: what portfolio_config.json says, else 365."""
    periods_per_year: Positive = 365.0
    allocator: str = "slope_std"
    max_weight: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    """The largest share of one strategy."""
    turnover_cost: NotNegative = 0.0
    """Basis points of what a re-optimization buys and sells; slope_std trades only what earns them."""
    turnover_days: Positive = 30.0
    """In so many days."""
    covariance: Literal["sample", "ledoit_wolf"] = "sample"
    objective: Literal["cumsum", "log_equity"] = "cumsum"
    """Whose slope slope_std maximises."""
    bounds: Mapping[str, tuple[Fraction, Fraction]] = {}
    """The smallest and the largest share of a strategy, by its name."""
    groups: Mapping[str, GroupSettings] = {}
    max_leverage: NotNegative = 5.0
    vol_floor: Positive = 0.01
    """Annual. Below it the leverage is computed as if the volatility were this."""
    vol_lookback_days: Annotated[int, msgspec.Meta(ge=3, le=100_000)] | None = None
    """Calendar days of the volatility behind the leverage. None: lookback_days."""
    vol_halflife_days: Positive | None = None
    """A day so long ago counts half in it. None: all count alike."""
    min_history_days: Count = 30
    stale_after_days: Annotated[int, msgspec.Meta(ge=0)] = 7
    when_no_edge: Literal["cash", "keep"] = "cash"
    apply: Literal["auto", "propose"] = "auto"
    quiet_ms: Milliseconds = 250
    """Wait for this much silence after a stats change."""
    max_wait_ms: Milliseconds = 2000
    """But never longer than this."""


class ReconcilerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[reconciler]: how positions follow targets."""

    no_trade_band: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.05
    """Same-side adjustments smaller than this share of the position are left alone."""
    min_order_notional: NotNegative = 10.0
    resync_seconds: Positive = 60.0
    position_source: Literal["venue", "ledger"] = "venue"
    on_drift: Literal["lock", "adopt"] = "lock"
    on_removed: Literal["freeze", "close"] = "freeze"
    price_max_age_seconds: Positive = 30.0


class RiskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[risk]: what is refused. 0 means no limit, but for `max_position` and `max_gross_leverage`."""

    max_position: Positive = 10.0
    max_gross_leverage: Positive = 10.0
    """Sum of |target notional| / account_value."""
    max_symbol_notional: NotNegative = 0.0
    max_order_notional: NotNegative = 0.0
    """Larger orders are split."""
    max_orders_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 60
    max_drawdown: Fraction = 0.0
    """Of the venues' equity from its high; then halt."""
    state_max_age_seconds: NotNegative = 0.0
    """A state older than this no longer opens or adds."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of portfoliod.toml."""

    mode: Literal["paper", "live"] = "paper"
    default_venue: str = "paper"
    capital: Literal["file", "equity"] = "file"
    optimizer: OptimizerSettings = OptimizerSettings()
    reconciler: ReconcilerSettings = ReconcilerSettings()
    risk: RiskSettings = RiskSettings()
    metrics: MetricsSettings = MetricsSettings()
    notify: NotifySettings = NotifySettings()
    venues: Mapping[str, Mapping[str, object]] = {}
    """The table of each venue, which its driver reads (`read_table`)."""


def drivers(settings: Settings) -> dict[str, str]:
    """Return the driver of each venue."""
    return {name: str(table["driver"]) for name, table in settings.venues.items()}


def policy_of(settings: Settings) -> Policy:
    """Return what the settings say of trading, as the pure floor takes it: money as decimals."""
    reconciler, risk = settings.reconciler, settings.risk
    return Policy(
        limits=Limits(
            Decimal(str(risk.max_gross_leverage)),
            Decimal(str(risk.max_symbol_notional)),
            Decimal(str(risk.max_order_notional)),
            risk.max_orders_per_minute,
        ),
        thresholds=Thresholds(Decimal(str(reconciler.no_trade_band)), Decimal(str(reconciler.min_order_notional))),
        mode=settings.mode,
        default_venue=settings.default_venue,
        by_equity=settings.capital == "equity",
        ledger=reconciler.position_source == "ledger",
        adopts_drift=reconciler.on_drift == "adopt",
        max_position=risk.max_position,
        max_drawdown=Decimal(str(risk.max_drawdown)),
        oldest_price=reconciler.price_max_age_seconds,
        oldest_state=risk.state_max_age_seconds,
        resync_seconds=reconciler.resync_seconds,
    )
