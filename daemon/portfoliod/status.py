"""var/status.json: what `status` shows, rewritten while the daemon runs. SPEC names its keys."""

from __future__ import annotations

import os
import time
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from portfoliod import __version__
from portfoliod.intake import Intake
from portfoliod.model import Problem, Standing
from portfoliod.reconciler import EngineSnapshot, MarketSnapshot, VenueSnapshot

State = Literal["running", "halted", "stopping", "down"]


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
    flat: bool
    """Whether less than one step is held."""
    contributors: dict[str, float]
    """Each strategy's share of the target, as a multiple of account_value before leverage: weight x position."""


class Status(msgspec.Struct, frozen=True):
    """The whole of status.json."""

    version: str
    state: State
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

    def __init__(self, mode: str, intake: Intake) -> None:
        self._mode = mode
        self._intake = intake
        self._started_at = iso(time.time())

    def status(self, engine: EngineSnapshot, *, stopping: bool) -> Status:
        """Return the status around what the engine is now."""
        state: State = "stopping" if stopping else "halted" if engine.halt else "running"
        return describe(
            self._intake, engine, state=state, mode=self._mode, pid=os.getpid(), started_at=self._started_at
        )


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
    engine: EngineSnapshot,
    *,
    state: State,
    mode: str,
    pid: int | None = None,
    started_at: str | None = None,
) -> Status:
    """Return the status: the engine, and what the files say."""
    portfolio, account_value = intake.portfolio, engine.capital.account_value
    problems = [*intake.problems.values(), *(one for venue in engine.venues.values() for one in venue.problems)]
    return Status(
        version=__version__,
        state=state,
        mode=mode,
        pid=pid,
        started_at=started_at,
        updated_at=iso(time.time()),
        account_value=None if account_value is None else float(account_value),
        leverage=None if portfolio is None else float(portfolio.leverage),
        weights={} if portfolio is None else {name: float(weight) for name, weight in portfolio.weights.items()},
        strategies=_strategies(intake),
        venues={name: _venue(venue) for name, venue in engine.venues.items()},
        markets=[_market(market) for market in engine.markets],
        problems=problems,
        halt_reason=None if engine.halt is None else engine.halt.reason,
    )


def _market(market: MarketSnapshot) -> MarketStatus:
    contributions = () if market.decision is None else market.decision.contributions
    return MarketStatus(
        venue=market.key.venue,
        symbol=market.key.symbol,
        target=plain(market.target),
        position=None if market.position is None else plain(market.position),
        price=None if market.price is None else plain(market.price),
        status=market.standing,
        reason=market.reason,
        flat=market.flat,
        contributors={part.strategy: float(part.weight * part.position) for part in contributions},
    )


def plain(number: Decimal) -> str:
    """Return a decimal without exponent and trailing zeros."""
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def iso(at: float) -> str:
    """Return a moment in epoch seconds as ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


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


def _venue(venue: VenueSnapshot) -> VenueStatus:
    return VenueStatus(
        driver=venue.driver,
        connected=venue.connected,
        equity=None if venue.equity is None else f"{venue.equity:.2f}",
        position_mode=venue.position_mode,
        problem="; ".join(problem.what for problem in venue.problems) or None,
        prices=venue.prices,
    )
