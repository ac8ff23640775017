"""What is known of a market at one moment."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from portfoliod.model import ZERO, Book, Decision, Halt, Intent, IntentStatus, Lock, MarketRules
from portfoliod.policy import Policy
from portfoliod.step.availability import Availability


class Resolution(msgspec.Struct, frozen=True):
    """What was found out about an order."""

    client_id: str
    status: IntentStatus
    filled: Decimal
    doubt: str = ""
    """What keeps it from being final, where something special does."""


class Reading(msgspec.Struct, frozen=True):
    """A position from a snapshot."""

    quantity: Decimal
    confirmed: bool = False
    """Whether it was read because an earlier one was not explained."""


class Recheck(msgspec.Struct, frozen=True):
    """What asking once more for orders that had ended brought."""

    filled: bool = False
    """One of them filled after all."""
    waiting: bool = False
    """The venue counts fills that it does not tell yet, and may tell them still."""


class Price(msgspec.Struct, frozen=True):
    """The market's price; None where there is none."""

    value: Decimal | None


class Exposure(msgspec.Struct, frozen=True):
    """What additions are measured against."""

    gross_notional: Decimal
    orders_last_minute: int
    stale: tuple[str, ...] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a market at one moment."""

    policy: Policy
    availability: Availability
    """What may be done with the venue."""
    halt: Halt | None
    rules: MarketRules | None
    """None where they cannot be had."""
    gone: bool = False
    """Whether that is because the venue lists the market no more."""
    no_rules: str = ""
    """Why else."""
    book: Book | None
    lock: Lock | None
    decision: Decision | None
    pending: tuple[Intent, ...] = ()
    """Orders whose outcome is not known to be final, oldest first."""
    read_only: bool = False
    """Whether the venue is looked at and not traded on."""
    stopping: bool = False
    """Whether the process winds down."""
    cancelled: frozenset[str] = frozenset()
    """Orders whose cancellation was asked for."""
    resolution: Resolution | None = None
    """Of the order that was asked for last."""
    moved: bool = False
    """Whether the position moved after it was read."""
    newer_than: float = 0.0
    """When a snapshot has to be made at the earliest, on the monotonic clock."""
    streamed: Decimal | None = None
    """The position by a stream, where one tells it and may be believed."""
    snapshot: Reading | None = None
    since_fill: float = float("inf")
    """Seconds since an order of ours moved the position, as far as is known."""
    snapshot_lag: float = 0.0
    """Seconds after a fill for which a snapshot may not show it."""
    fills_missing: bool = False
    """Whether the venue counts fills that it has not told."""
    recheck: Recheck | None = None
    price: Price | None = None
    in_parts: bool = False
    """Whether parts of the decision's order were sent."""
    exposure: Exposure | None = None
    others_reduce: bool = False
    """Whether reductions of other markets on the venue are due first."""
    held_back: float = 0.0
    """Seconds until the next order may be sent."""
    set_back: str = ""
    """Why not earlier."""

    @property
    def expected(self) -> Decimal:
        """The position that our fills explain."""
        return ZERO if self.book is None else self.book.expected

    @property
    def flattening(self) -> bool:
        """Whether every managed position is to be closed."""
        return self.halt is not None and self.halt.flatten
