"""What can be read off the daemon at one moment, as Prometheus calls it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from portfoliod.logs import lost
from portfoliod.model import History, Standing
from portfoliod.reconciler import EngineSnapshot
from portfoliod.status import Status

Labels = TypeVar("Labels", bound=tuple[str, ...])


class Figures(msgspec.Struct, frozen=True):
    """One moment: the status, the engine behind it, and what neither holds."""

    status: Status
    engine: EngineSnapshot
    at: float
    """On the monotonic clock."""
    stats_age: Mapping[str, float]
    """By strategy: seconds since the end of the last day of its returns."""
    log_lost: int


def figures(status: Status, engine: EngineSnapshot, histories: Mapping[str, History]) -> Figures:
    """Return the figures of a running daemon, now."""
    today = datetime.now(UTC)
    last_days = {name: history.days[-1] for name, history in histories.items() if history.days}
    ages = {name: (today - _end_of(day)).total_seconds() for name, day in last_days.items()}
    return Figures(status, engine, time.monotonic(), ages, lost())


def families(now: Figures) -> Iterator[Metric]:
    """Yield the metrics of one moment."""
    yield from _daemon(now)
    yield from _strategies(now)
    yield from _venues(now)
    yield from _markets(now)


def _daemon(now: Figures) -> Iterator[Metric]:
    status = now.status
    info = GaugeMetricFamily("portfoliod_info", "What runs", labels=("version", "mode"))
    info.add_metric((status.version, status.mode), 1)
    yield info
    yield _gauge("portfoliod_halted", "Whether nothing that adds exposure is sent", float(status.state == "halted"))
    yield _gauge("portfoliod_problems", "What asks for a person", len(status.problems))
    yield _gauge("portfoliod_account_value", "What targets are sized with", status.account_value)
    yield _gauge("portfoliod_leverage", "The factor that scales the whole", status.leverage)
    yield _gauge("portfoliod_high_water_equity", "What a drawdown is measured from", _float(now.engine.high_water))
    yield _gauge("portfoliod_drawdown_ratio", "Of the venues' equity from its high", _float(now.engine.drawdown))
    yield _count("portfoliod_log_lost", "Entries that journald did not take", now.log_lost)


def _strategies(now: Figures) -> Iterator[Metric]:
    rows = now.status.strategies
    weights = {(name,): row.weight for name, row in rows.items()}
    yield _gauges("portfoliod_weight", "The share of the portfolio", ("strategy",), weights)
    ages = {(name,): row.state_age_s for name, row in rows.items()}
    yield _gauges("portfoliod_state_age_seconds", "Since the state was decided", ("strategy",), ages)
    ends = {(name,): age for name, age in now.stats_age.items()}
    yield _gauges("portfoliod_stats_age_seconds", "Since the last day of the returns ended", ("strategy",), ends)
    troubled = {(name,): float(row.problem is not None) for name, row in rows.items()}
    yield _gauges(
        "portfoliod_strategy_problem", "Whether a file of it was rejected or is gone", ("strategy",), troubled
    )


def _venues(now: Figures) -> Iterator[Metric]:
    rows = now.status.venues
    connected = {(name,): float(row.connected) for name, row in rows.items()}
    yield _gauges("portfoliod_venue_connected", "Whether it answers", ("venue",), connected)
    equities = {(name,): None if row.equity is None else float(row.equity) for name, row in rows.items()}
    yield _gauges("portfoliod_equity", "What the account is worth", ("venue",), equities)
    read = {name: venue.positions_at for name, venue in now.engine.venues.items()}
    ages = {(name,): now.at - at for name, at in read.items() if at is not None}
    yield _gauges("portfoliod_positions_age_seconds", "Since the positions were read", ("venue",), ages)
    looks = CounterMetricFamily("portfoliod_looks", "Looks at markets", labels=("venue",))
    for name, venue in now.engine.venues.items():
        looks.add_metric((name,), venue.looks)
    yield looks


def _markets(now: Figures) -> Iterator[Metric]:
    labels = ("venue", "symbol")
    rows = {(row.venue, row.symbol): row for row in now.status.markets}
    targets = {key: float(row.target) for key, row in rows.items()}
    yield _gauges("portfoliod_target", "The quantity that is wanted", labels, targets)
    positions = {key: None if row.position is None else float(row.position) for key, row in rows.items()}
    yield _gauges("portfoliod_position", "The quantity that is held", labels, positions)
    prices = {key: None if row.price is None else float(row.price) for key, row in rows.items()}
    yield _gauges("portfoliod_price", "At the last look", labels, prices)
    standing = {(*key, str(one)): float(row.status is one) for key, row in rows.items() for one in Standing}
    yield _gauges("portfoliod_market_status", "1 for where it stands", (*labels, "status"), standing)


def _gauge(name: str, words: str, value: float | None) -> Metric:
    return _gauges(name, words, (), {(): value})


def _gauges(
    name: str, words: str, labels: tuple[str, ...], values: Mapping[Labels, float] | Mapping[Labels, float | None]
) -> GaugeMetricFamily:
    """Return a gauge; what is not known is not there."""
    family = GaugeMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        if value is not None:
            family.add_metric(key, value)
    return family


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _count(name: str, words: str, value: int) -> Metric:
    family = CounterMetricFamily(name, words, labels=())
    family.add_metric((), value)
    return family


def _end_of(day: int) -> datetime:
    """Return the end of a day, which is a proleptic Gregorian ordinal."""
    return datetime.fromordinal(day).replace(tzinfo=UTC) + timedelta(days=1)
