"""What the accounts are worth, as far as it is believed.

An exchange that answers with half of the equity, or with nothing, for a minute would halve every position. So a figure
that jumps without a fill of ours is doubted: nothing is sized by it until the venue says the same a resync later, or
a person confirms it.
"""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import structlog

from portfoliod.journal import CONFIRMED, Journal
from portfoliod.model import Problem, Worth
from portfoliod.policy import Policy
from portfoliod.reconciler.connection import Connection

log: structlog.stdlib.BoundLogger = structlog.get_logger()

JUMP = Decimal("0.1")
"""A change of more than this share, between two reads without a fill of ours, is doubted."""
A_RESYNC_LATER = 0.9
"""Shares of resync_seconds after which a second read may confirm the first: resyncs are not exactly as long."""
CONFIRM = "look at the account; if it is right: portfoliod resume"


class Capital:
    """Reads the equity of venues, and knows which of it to believe."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._judging = asyncio.Lock()
        """Two who asked at once are answered one after the other: what the first finds out the second knows."""
        self._said: dict[str, Decimal] = {}
        """The figure of each venue that was called doubtful in this process."""

    async def read(self, connection: Connection, policy: Policy) -> Decimal | None:
        """Ask a venue for its equity, and return it where it is believed; None where it is not, or not known.

        Raises:
            VenueError: it does not answer.
            JournalFailed: what it said could not be recorded.
        """
        before = self._journal.worths.get(connection.venue.name)
        equity = await connection.read_equity()
        if equity is None:
            return None
        async with self._judging:
            return equity if await self._believes(connection, equity, before, policy) else None

    async def _believes(self, connection: Connection, equity: Decimal, before: Worth | None, policy: Policy) -> bool:
        venue, now = connection.venue.name, time.time()
        worth = self._journal.worths.get(venue)
        if worth is None:
            await self._journal.believe(venue, now, equity)
            return True
        confirmed = None if worth.doubted is None else await self._journal.meta(CONFIRMED)
        doubt = why_doubted(worth, equity, now, float(confirmed or 0), policy.resync_seconds)
        if doubt:
            await self._doubted(connection, worth, equity, doubt, sizes=policy.by_equity)
            return False
        if worth.doubted is not None or not 0 <= now - worth.at < A_RESYNC_LATER * policy.resync_seconds:
            await self._journal.believe(venue, now, equity, before)
        if worth.doubted is not None:
            connection.doubt = None
            self._said.pop(venue, None)
            log.info("equity.believed", venue=venue, equity=f"{equity:f}")
        return True

    async def _doubted(self, connection: Connection, worth: Worth, equity: Decimal, doubt: str, *, sizes: bool) -> None:
        """Note a figure that is not believed, and say so once."""
        venue = connection.venue.name
        if worth.doubted is None or not _alike(worth.doubted, equity):
            await self._journal.doubt(venue, time.time(), equity)
        elif venue in self._said:
            return
        self._said[venue] = equity
        what = f"the equity {doubt}"
        fields = {"found": f"{equity:f}, after {worth.equity:f}", "mend": CONFIRM}
        if not sizes:
            log.warning("equity.doubted", venue=venue, reason=what, kept="account_value sizes the targets", **fields)
            return
        kept = "nothing is sized by it; the targets stay as they are"
        connection.doubt = Problem(what, where=f"venue {venue}", kept=kept, **fields)
        log.error("equity.doubted", venue=venue, reason=what, kept=kept, **fields)


def why_doubted(worth: Worth | None, equity: Decimal, now: float, confirmed_at: float, resync_seconds: float) -> str:
    """Return why a figure is not believed, or an empty string.

    Args:
        worth: what is believed, and doubted, of the venue.
        equity: what it says now.
        now: epoch seconds.
        confirmed_at: when a person last stood by what the venues say, in epoch seconds.
        resync_seconds: after about so long the same figure again confirms itself, unless it is not positive.
    """
    if worth is None:
        return ""
    if worth.doubted is not None and _alike(worth.doubted, equity):
        later = now - worth.doubted_at >= A_RESYNC_LATER * resync_seconds
        if confirmed_at >= worth.doubted_at or (equity > 0 and later):
            return ""
    if equity <= 0 < worth.equity:
        return "is not positive"
    if not worth.traded and not _alike(worth.equity, equity):
        return f"moved by more than {JUMP:.0%} without a fill of ours"
    return ""


def _alike(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= JUMP * abs(one)
