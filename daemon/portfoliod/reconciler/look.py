"""The result of reconciling one market."""

from __future__ import annotations

import msgspec

from portfoliod.model import Standing

NOW = 0.0
"""To look again at once."""


class Look(msgspec.Struct, frozen=True):
    """What a look found, and in how many seconds to look again; None: when something happens."""

    standing: Standing
    reason: str
    again: float | None = None
