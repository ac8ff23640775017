"""How far the accounts are below the most that they were worth, and the halt when that is too far."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import structlog

from portfoliod.model import ZERO, HaltCause, HighWater
from portfoliod.reconciler.desk import Desk

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Drawdown:
    """The high-water mark of the venues that are traded on, together.

    A person who resumes after such a halt has seen the loss: the mark starts anew from there, as it does when venues
    are added or taken away. A withdrawal looks like a loss.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def look(self, told: Mapping[str, Decimal | None]) -> None:
        """Move the mark, and halt where it is too far away.

        A figure that is doubted counts as a loss, to be on the safe side, but never as a high. A venue that does not
        answer counts with what it was worth last.

        Args:
            told: what the venues that answered said just now, believed or not; None of one that cannot tell.

        Raises:
            JournalFailed: the mark could not be recorded.
        """
        desk = self._desk
        journal = desk.journal
        mute = {name for name, equity in told.items() if equity is None}
        venues = tuple(name for name in desk.capital_view().venues if name not in mute)
        believed = {name: worth.equity for name, worth in journal.worths.items() if name in venues}
        if not venues or len(believed) < len(venues):
            return
        total = sum(believed.values(), ZERO)
        mark = journal.high_water
        if mark is None or mark.venues != venues or desk.halt.after_drawdown:
            desk.halt.after_drawdown = False
            mark = HighWater(venues, total)
            await journal.mark(mark)
            log.info("drawdown.marked", equity=f"{total:.2f}", venues=", ".join(venues))
        elif total > mark.equity:
            mark = HighWater(venues, total)
            await journal.mark(mark)
        worst = sum((_lower(told.get(name), equity) for name, equity in believed.items()), ZERO)
        if desk.halt.note() is None and not desk.halt.after_drawdown:
            self._halt(worst, mark.equity)

    def _halt(self, total: Decimal, highest: Decimal) -> None:
        desk = self._desk
        limit = desk.policy.max_drawdown
        if limit > 0 and highest > 0 and total <= highest * (1 - limit):
            lost = (1 - total / highest) * 100
            reason = f"{HaltCause.DRAWDOWN}: equity {total:.2f} is {lost:.1f} % below its high {highest:.2f}"
            desk.halt.trip(reason, HaltCause.DRAWDOWN)


def _lower(told: Decimal | None, believed: Decimal) -> Decimal:
    """Return the lower figure of two, but for one that cannot be."""
    return believed if told is None or told <= 0 else min(told, believed)
