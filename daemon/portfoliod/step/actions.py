"""What can be done next about a market."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from portfoliod.model import ZERO, Intent, Standing
from portfoliod.planning import Leg
from portfoliod.risk import Refusal


class Retry(StrEnum):
    """When to reconcile again."""

    ON_EVENT = "on event"
    AT_ONCE = "at once"
    AFTER_FAILURE = "after failure"
    """After a time that grows with each failure in a row."""
    AFTER_PAUSE = "after pause"
    """Once the venue may be asked again."""
    RE_READ = "re-read"
    """Shortly, at a snapshot that is read from then on."""
    ASK_AGAIN = "ask again"
    """After a time that grows with each question about an order that is on its way."""
    HOLD_BACK = "hold back"
    """As after a failure, and no order before that: the last one moved nothing."""


class Cancel(msgspec.Struct, frozen=True):
    """Ask for an order's cancellation; whatever comes of that, go on."""

    intent: Intent


class Resolve(msgspec.Struct, frozen=True):
    """Find out what became of an order."""

    intent: Intent


class ReadPosition(msgspec.Struct, frozen=True):
    """Read a snapshot of the venue's positions; `confirm`: one that is made from now on."""

    confirm: bool = False


class ReadPrice(msgspec.Struct, frozen=True):
    """Ask for the price."""


class MeasureExposure(msgspec.Struct, frozen=True):
    """Add up what additions are measured against."""


class RecheckFinished(msgspec.Struct, frozen=True):
    """Ask once more for orders that ended unfilled: they may explain the position."""


class TakeOver(msgspec.Struct, frozen=True):
    """Take a position over as it is: the market was never traded."""

    quantity: Decimal


class Adopt(msgspec.Struct, frozen=True):
    """Accept a position that our fills do not explain."""

    quantity: Decimal


class LockMarket(msgspec.Struct, frozen=True):
    """Stop trading the market until a person unlocks it, or the position is back."""

    reason: str
    actual: Decimal
    drifted: bool
    """Whether the position is the reason; else the doubt about an order."""


class Unlock(msgspec.Struct, frozen=True):
    """Trade the market again: the position is back."""


class AwaitReductions(msgspec.Struct, frozen=True):
    """Let reductions of other markets go first."""


class Send(msgspec.Struct, frozen=True):
    """Send an order."""

    leg: Leg
    decision: int
    part: bool
    """Whether more of the same order follows."""
    position: Decimal


class Wait(msgspec.Struct, frozen=True):
    """Nothing can be done now."""

    standing: Standing
    reason: str
    retry: Retry | float = Retry.ON_EVENT
    """When to ask again; a number is in seconds."""
    position: Decimal | None = None
    difference: Decimal = ZERO
    """Rounded target less position."""
    refusal: Refusal | None = None
    """What refuses the order that is due."""
    legs: tuple[Leg, ...] = ()
    """What is due, where something refuses it."""


class Done(msgspec.Struct, frozen=True):
    """There is nothing to do until something happens."""

    reason: str
    position: Decimal | None = None
    difference: Decimal = ZERO
    flattened: bool = False
    """Whether the target waits, because every position is closed."""


Action = (
    Cancel
    | Resolve
    | ReadPosition
    | ReadPrice
    | MeasureExposure
    | RecheckFinished
    | TakeOver
    | Adopt
    | LockMarket
    | Unlock
    | AwaitReductions
    | Send
    | Wait
    | Done
)
