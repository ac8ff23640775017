"""What a venue is to the daemon, and where venues come from.

A venue is one module that implements `Venue`, one line in `BUILT_IN` or an entry point of the group
`portfoliod.venues`, and a pass through the contract tests in tests/venues/.
"""

from portfoliod.venues.protocol import (
    Filled,
    Inspection,
    Liquidated,
    OrderReport,
    PositionMode,
    PositionMoved,
    Positions,
    Price,
    Reconnected,
    Venue,
    VenueContext,
    VenueEvent,
)
from portfoliod.venues.registry import open_venue

__all__ = [
    "Filled",
    "Inspection",
    "Liquidated",
    "OrderReport",
    "PositionMode",
    "PositionMoved",
    "Positions",
    "Price",
    "Reconnected",
    "Venue",
    "VenueContext",
    "VenueEvent",
    "open_venue",
]
