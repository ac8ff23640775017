"""What the operator's settings say of trading, as one value: a reload swaps it whole."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from portfoliod.planning import Thresholds
from portfoliod.risk import Limits


class Policy(msgspec.Struct, frozen=True):
    """What a decision and a step of a reconciliation go by, from their beginning to their end."""

    limits: Limits
    thresholds: Thresholds
    mode: str
    default_venue: str
    by_equity: bool
    """Whether the venues' equity sizes the targets; else account_value of portfolio_config.json does."""
    ledger: bool
    """Whether a position is what our own fills add up to; else it is what the venue says."""
    adopts_drift: bool
    """Whether a position that our fills do not explain is traded from; else its market is locked."""
    max_position: float
    max_drawdown: Decimal
    """A fraction; 0 for no limit."""
    oldest_price: float
    """Seconds."""
    oldest_state: float
    """Seconds; 0 for no limit."""
    resync_seconds: float
