"""var/status.json: what `status` shows, rewritten while the daemon runs. SPEC names its keys."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from portfoliod import __version__
from portfoliod.intake import Intake
from portfoliod.journal import Journal
from portfoliod.model import Key, Problem
from portfoliod.reconciler import Reconciler, Standing
from portfoliod.reconciler.connection import Connection


class StrategyStatus(msgspec.Struct, frozen=True):
    """A strategy: its weight, what it wants, and how old that is."""

    weight: float | None
    positions: dict[str, float]
    state_age_s: float | None
    stats_days: int
    problem: str | None


class VenueStatus(msgspec.Struct, frozen=True):
    """A venue: whether it answers, and what the account is worth there."""

    driver: str
    connected: bool
    equity: str | None
    position_mode: str | None
    problem: str | None
    prices: str | None = None


class MarketStatus(msgspec.Struct, frozen=True):
    """A managed market: target beside position. Quantities and prices are decimal strings."""

    venue: str
    symbol: str
    target: str
    position: str | None
    price: str | None
    status: Standing
    reason: str
    contributors: dict[str, float]
    """Each strategy's share of the target, as a multiple of account_value before leverage: weight x position."""


class Status(msgspec.Struct, frozen=True):
    """The whole of status.json."""

    version: str
    state: Literal["running", "halted", "stopping", "down"]
    mode: str
    pid: int | None
    started_at: str | None
    updated_at: str
    account_value: float | None
    leverage: float | None
    weights: dict[str, float]
    strategies: dict[str, StrategyStatus]
    venues: dict[str, VenueStatus]
    markets: list[MarketStatus]
    problems: list[Problem]
    halt_reason: str | None = None

    def timeless(self) -> bytes:
        """Return what of it does not change by itself, to see whether anything happened."""
        strategies = {
            name: msgspec.structs.replace(strategy, state_age_s=None) for name, strategy in self.strategies.items()
        }
        return msgspec.json.encode(msgspec.structs.replace(self, updated_at="", strategies=strategies))


class Reporter:
    """Makes the status of a running daemon."""

    def __init__(self, mode: str, reconciler: Reconciler, intake: Intake) -> None:
        self._mode = mode
        self._reconciler = reconciler
        self._intake = intake
        self._started_at = iso(time.time())

    def status(self, *, stopping: bool) -> Status:
        """Return the status now."""
        reason = self._reconciler.desk.halted()
        connections = self._reconciler.desk.connections
        problems = list(self._intake.problems.values())
        for connection in connections.values():
            problems += connection.problems
        return describe(
            self._intake,
            self._reconciler.desk.journal,
            state="stopping" if stopping else "halted" if reason else "running",
            mode=self._mode,
            pid=os.getpid(),
            started_at=self._started_at,
            halt_reason=reason or None,
            venues={name: _venue(connection) for name, connection in connections.items()},
            markets=self._markets(),
            problems=problems,
        )

    def _markets(self) -> list[MarketStatus]:
        journal = self._reconciler.desk.journal
        markets = []
        for key, worker in sorted(self._reconciler.workers.items()):
            known = worker.position is not None
            markets.append(
                market(
                    key,
                    journal,
                    target=worker.shown_target() if known else None,
                    position=worker.position,
                    price=worker.price,
                    standing=worker.last.standing,
                    reason=worker.last.reason,
                )
            )
        return markets


def sentence(status: Status) -> str:
    """Return how the daemon is, in one line: what it does, where the markets stand, what asks for a person."""
    counts = Counter(str(market.status).replace("_", " ") for market in status.markets)
    markets = ", ".join(f"{number} {standing}" for standing, number in sorted(counts.items()))
    away = [name for name, venue in status.venues.items() if venue.problem is not None]
    parts = [f"{status.state}: {status.halt_reason}" if status.halt_reason else f"{status.state}, {status.mode}"]
    parts.append(f"markets: {markets}" if markets else "no markets yet")
    if away:
        parts.append(f"not well: {', '.join(away)}")
    if status.problems:
        parts.append("1 problem" if len(status.problems) == 1 else f"{len(status.problems)} problems")
    return "; ".join(parts)


def describe(
    intake: Intake,
    journal: Journal | None,
    *,
    state: Literal["running", "halted", "stopping", "down"],
    mode: str,
    venues: dict[str, VenueStatus],
    markets: list[MarketStatus],
    problems: list[Problem],
    pid: int | None = None,
    started_at: str | None = None,
    halt_reason: str | None = None,
) -> Status:
    """Return the status around what the files say."""
    portfolio = intake.portfolio
    return Status(
        version=__version__,
        state=state,
        mode=mode,
        pid=pid,
        started_at=started_at,
        updated_at=iso(time.time()),
        account_value=_account_value(intake, journal),
        leverage=None if portfolio is None else float(portfolio.leverage),
        weights={} if portfolio is None else {name: float(weight) for name, weight in portfolio.weights.items()},
        strategies=_strategies(intake),
        venues=venues,
        markets=markets,
        problems=problems,
        halt_reason=halt_reason,
    )


def market(
    key: Key,
    journal: Journal,
    *,
    target: Decimal | None,
    position: Decimal | None,
    price: Decimal | None,
    standing: Standing,
    reason: str,
) -> MarketStatus:
    """Return the row of a market; without a target given, the one that was decided."""
    decision = journal.targets.get(key)
    if target is None:
        target = Decimal(0) if decision is None else decision.quantity.quantize(Decimal("1e-8"))
    contributions = () if decision is None else decision.contributions
    return MarketStatus(
        venue=key.venue,
        symbol=key.symbol,
        target=plain(target),
        position=None if position is None else plain(position),
        price=None if price is None else plain(price),
        status=standing,
        reason=reason,
        contributors={part.strategy: float(part.weight * part.position) for part in contributions},
    )


def plain(number: Decimal) -> str:
    """Return a decimal without exponent and trailing zeros."""
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def iso(at: float) -> str:
    """Return a moment in epoch seconds as ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _account_value(intake: Intake, journal: Journal | None) -> float | None:
    if intake.portfolio is not None and intake.portfolio.account_value is not None:
        return float(intake.portfolio.account_value)
    decisions: Mapping[Key, object] = {} if journal is None else journal.targets
    if journal is None or not decisions:
        return None
    return float(max(journal.targets.values(), key=lambda decision: decision.number).account_value)


def _strategies(intake: Intake) -> dict[str, StrategyStatus]:
    now = time.time()
    weights = {} if intake.portfolio is None else intake.portfolio.weights
    strategies = {}
    for name in sorted(intake.strategies()):
        state, history = intake.states.get(name), intake.histories.get(name)
        weight = weights.get(name)
        problems = [problem.what for problem in intake.problems.of(name)]
        strategies[name] = StrategyStatus(
            weight=None if weight is None else float(weight),
            positions={} if state is None else {symbol: float(value) for symbol, value in state.positions.items()},
            state_age_s=None if state is None else round(now - state.updated_at, 1),
            stats_days=0 if history is None else len(history.days),
            problem="; ".join(problems) or None,
        )
    return strategies


def _venue(connection: Connection) -> VenueStatus:
    return VenueStatus(
        driver=connection.driver,
        connected=connection.connected,
        equity=None if connection.equity is None else f"{connection.equity:.2f}",
        position_mode=connection.venue.position_mode if connection.known else None,
        problem="; ".join(problem.what for problem in connection.problems) or None,
        prices=connection.venue.describe() if connection.known else None,
    )
