"""What a look at a key comes to."""

from __future__ import annotations

from enum import StrEnum

import msgspec

NOW = 0.0
"""To look again at once."""


class Standing(StrEnum):
    """Where a key stands after a look."""

    IN_STEP = "in_step"
    WORKING = "working"
    UNKNOWN = "unknown"
    LOCKED = "locked"
    REFUSED = "refused"


class Look(msgspec.Struct, frozen=True):
    """What a look found, and in how many seconds to look again; None: when something happens."""

    standing: Standing
    reason: str
    again: float | None = None
