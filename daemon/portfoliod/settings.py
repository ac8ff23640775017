"""config/portfoliod.toml: the operator's settings, each with its default.

A key or a value that does not fit is an error that names the key, what was expected and the nearest known key. All
of a file's errors are told at once.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import math
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from portfoliod.errors import SettingsError
from portfoliod.planning import Thresholds
from portfoliod.risk import Limits

ALLOCATORS = ("slope_std", "equal", "inverse_vol", "hrp")
ALLOCATOR_GROUP = "portfoliod.allocators"
"""The entry points of packages that register another one."""
VENUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
Table = TypeVar("Table", bound=msgspec.Struct)
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=3_600_000)]


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
    max_leverage: NotNegative = 5.0
    vol_floor: Positive = 0.01
    """Annual. Below it the leverage is computed as if the volatility were this."""
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
    venues: Mapping[str, Mapping[str, object]] = {}
    """The table of each venue, which its driver reads (`read_table`)."""


def load_settings(path: Path) -> Settings:
    """Return the settings of a file, or the defaults where it does not exist.

    Raises:
        SettingsError: with every problem of the file.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raw = b""
    except OSError as error:
        raise SettingsError(
            "portfoliod.toml cannot be read",
            where=str(path),
            found=error.strerror or str(error),
            mend="make it readable for the user that runs portfoliod",
        ) from error
    try:
        table = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            "portfoliod.toml is not TOML",
            where=str(path),
            found=str(error),
            mend="mend the line, then: portfoliod check",
        ) from error
    settings = read_table(table, Settings, where=str(path))
    venues: dict[str, Mapping[str, object]] = {"paper": {"driver": "paper"}}
    for name, venue in settings.venues.items():
        venues[name] = {**venues.get(name, {}), **venue}
        if "driver" not in venues[name]:
            raise SettingsError(
                f"[venues.{name}] names no driver", where=str(path), mend='add a line such as: driver = "paper"'
            )
    _check_names(settings, str(path))
    if settings.default_venue not in venues:
        raise SettingsError(
            "default_venue is not one of the venues",
            where=f"{path}  default_venue",
            found=settings.default_venue,
            mend=f"name one of: {', '.join(sorted(venues))}",
        )
    return msgspec.structs.replace(settings, venues=venues)


def _check_names(settings: Settings, where: str) -> None:
    """Refuse names that only somebody who uses them would find wrong."""
    for name in settings.venues:
        if VENUE_NAME.fullmatch(name) is None:
            mend = "letters, digits, dashes and underscores"
            raise SettingsError("not a venue's name", where=f"{where}  venues", found=repr(name), mend=mend)
    allocator = settings.optimizer.allocator
    if allocator in ALLOCATORS:
        return
    installed = {entry.name for entry in importlib.metadata.entry_points(group=ALLOCATOR_GROUP)}
    if allocator not in installed:
        known = dict.fromkeys((*ALLOCATORS, *installed))
        raise SettingsError(
            f"unknown allocator{_nearest(allocator, known)}",
            where=f"{where}  optimizer.allocator",
            found=allocator,
            mend=f"write one of: {', '.join(sorted(known))}",
        )


def thresholds(settings: Settings) -> Thresholds:
    """Return what is too small to trade, as the pure floor takes it."""
    reconciler = settings.reconciler
    return Thresholds(Decimal(str(reconciler.no_trade_band)), Decimal(str(reconciler.min_order_notional)))


def limits(settings: Settings) -> Limits:
    """Return the limits on orders, as the pure floor takes them."""
    risk = settings.risk
    return Limits(
        Decimal(str(risk.max_gross_leverage)),
        Decimal(str(risk.max_symbol_notional)),
        Decimal(str(risk.max_order_notional)),
        risk.max_orders_per_minute,
    )


def read_table(table: Mapping[str, object], kind: type[Table], *, where: str, prefix: str = "") -> Table:
    """Return a settings table as its struct.

    Args:
        table: what the TOML file holds.
        kind: a frozen struct with a default for each optional key.
        where: the file, for errors.
        prefix: the dotted name of the table in the file.

    Raises:
        SettingsError: with all keys that are unknown, missing or of the wrong type or range, one a line.
    """
    problems: list[str] = []
    values = _read_fields(table, kind, prefix, problems)
    if problems:
        raise SettingsError(
            "portfoliod.toml does not fit" if len(problems) == 1 else f"portfoliod.toml has {len(problems)} errors",
            where=f"{where}  {problems[0].split(':')[0]}",
            found="\n         ".join(problems),
            kept="a running daemon keeps the settings that it has",
            mend="mend each, then: portfoliod check",
        )
    return kind(**values)


def _read_fields(
    table: Mapping[str, object], kind: type[msgspec.Struct], prefix: str, problems: list[str]
) -> dict[str, object]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, object] = {}
    for name, value in table.items():
        place = f"{prefix}{name}"
        if name not in fields:
            problems.append(f"{place}: unknown key{_nearest(name, fields)}")
            continue
        field_type = fields[name].type
        if isinstance(field_type, type) and issubclass(field_type, msgspec.Struct) and isinstance(value, dict):
            nested = _read_fields(value, field_type, f"{place}.", problems)
            if not any(problem.startswith(f"{place}.") for problem in problems):
                values[name] = _build(field_type, nested, place, problems)
            continue
        try:
            values[name] = msgspec.convert(value, field_type)
        except msgspec.ValidationError as error:
            problems.append(f"{place}: {value!r}: {_sentence(error)}")
            continue
        if isinstance(value, float) and not math.isfinite(value):
            problems.append(f"{place}: {value!r}: expected a finite number")
    problems.extend(
        f"{prefix}{name}: missing" for name, field in fields.items() if field.required and name not in table
    )
    return values


def _build(kind: type[msgspec.Struct], values: dict[str, object], place: str, problems: list[str]) -> object:
    try:
        return kind(**values)
    except TypeError as error:
        problems.append(f"{place}: {error}")
        return None


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f" (the nearest known one is `{close[0]}`)" if close else ""


def _sentence(error: msgspec.ValidationError) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]
