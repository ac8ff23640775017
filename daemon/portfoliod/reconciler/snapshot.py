"""The engine at one moment: what every display shows, and nothing that a display computes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from portfoliod.capital import CapitalView
from portfoliod.model import ZERO, Decision, Halt, Key, MarketRules, Problem, Standing
from portfoliod.planning import nearest_step

SHOWN_STEP = Decimal("1e-8")
"""What quantities are rounded to for the eye where a market's own step is not known."""


class MarketSnapshot(msgspec.Struct, frozen=True):
    """A managed market."""

    key: Key
    decision: Decision | None
    rules: MarketRules | None
    """None where they are not known now."""
    position: Decimal | None
    price: Decimal | None
    standing: Standing
    reason: str

    @property
    def target(self) -> Decimal:
        """What was decided, in whole steps."""
        step = SHOWN_STEP if self.rules is None else self.rules.step
        return ZERO if self.decision is None else nearest_step(self.decision.quantity, step)

    @property
    def flat(self) -> bool:
        """Whether less than a step is held."""
        step = SHOWN_STEP if self.rules is None else self.rules.step
        return self.position is not None and abs(self.position) < step


class VenueSnapshot(msgspec.Struct, frozen=True):
    """A venue."""

    driver: str
    connected: bool = False
    equity: Decimal | None = None
    """What it said last, believed or not."""
    position_mode: str | None = None
    problems: tuple[Problem, ...] = ()
    prices: str | None = None
    """Where they come from."""
    looks: int = 0
    """How often its markets were looked at since the start."""
    positions_at: float | None = None
    """When its positions were read last, on the monotonic clock."""


class EngineSnapshot(msgspec.Struct, frozen=True):
    """Everything that trades."""

    halt: Halt | None
    capital: CapitalView
    high_water: Decimal | None
    """What the drawdown is measured from; None where nothing is marked."""
    drawdown: Decimal | None
    """As a fraction; None where it is not known."""
    markets: tuple[MarketSnapshot, ...]
    venues: Mapping[str, VenueSnapshot]
