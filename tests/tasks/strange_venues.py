"""Venues of somebody else's, as an installed package brings them: paper accounts with a fault each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from portfoliod.errors import KeysRefused, VenueUnreachable
from portfoliod.venues.paper import PaperVenue
from portfoliod.venues.paper.venue import PaperSettings
from portfoliod.venues.protocol import Positions, VenueContext

ENTRY_POINTS = f"""\
[portfoliod.venues]
refusing = {__name__}:open_refusing
unreachable = {__name__}:open_unreachable
slow = {__name__}:open_slow
paperlike = {__name__}:open_paperlike
"""


class Refusing(PaperVenue):
    """Does not accept the keys."""

    async def connect(self) -> None:
        """Refuse."""
        raise KeysRefused("the keys are not accepted", where=f"venue {self.name}")


class Unreachable(PaperVenue):
    """Does not answer."""

    async def connect(self) -> None:
        """Time out."""
        raise VenueUnreachable("no answer", where=f"venue {self.name}")


class Slow(PaperVenue):
    """Takes a while to tell its positions, as exchanges do."""

    async def positions(self, newer_than: float) -> Positions:
        """Return the positions of a moment ago."""
        found = await super().positions(newer_than)
        await asyncio.sleep(0.3)
        return found


def open_refusing(context: VenueContext, _table: Mapping[str, object]) -> Refusing:
    """Return a venue that refuses the keys."""
    return Refusing(context, PaperSettings())


def open_unreachable(context: VenueContext, _table: Mapping[str, object]) -> Unreachable:
    """Return a venue that does not answer."""
    return Unreachable(context, PaperSettings())


def open_slow(context: VenueContext, _table: Mapping[str, object]) -> Slow:
    """Return a venue that is slow."""
    return Slow(context, PaperSettings(prices="candles:recorded"))


def open_paperlike(context: VenueContext, _table: Mapping[str, object]) -> PaperVenue:
    """Return a venue without a fault: what an exchange is to the daemon."""
    return PaperVenue(context, PaperSettings(prices="candles:recorded"))


def install(folder: Path) -> str:
    """Write what an installation leaves in site-packages and return a PYTHONPATH on which it is found."""
    metadata = folder / "strange_venues-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-venues\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return f"{folder}:{Path(__file__).parents[2]}"
