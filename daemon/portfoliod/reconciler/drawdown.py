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

    A person who resumes after such a halt has seen the loss: the mark starts anew from there, as it does when real
    money takes the place of paper money. Where venues come or go, what was lost stays lost. A withdrawal looks like a
    loss.
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
        desk, journal = self._desk, self._desk.journal
        mute = {name for name, equity in told.items() if equity is None}
        mark = journal.high_water
        venues = self._venues(mute)
        believed = {name: worth.equity for name, worth in journal.worths.items() if name in venues}
        if not venues or len(believed) < len(venues):
            return
        total = sum(believed.values(), ZERO)
        was_paper, is_paper = mark is not None and desk.of_paper(mark.venues), desk.of_paper(venues)
        if mark is not None and is_paper and not was_paper:
            return  # a drawdown is of real money
        if mark is None or (was_paper and not is_paper) or desk.halt.after_drawdown:
            desk.halt.after_drawdown = False
            mark = await self._mark(HighWater(venues, total))
        elif mark.venues != venues:
            mark = await self._mark(HighWater(venues, self._moved(mark, believed)))
        if total > mark.equity:
            mark = HighWater(venues, total)
            await journal.mark(mark)
        worst = sum((_lower(told.get(name), equity) for name, equity in believed.items()), ZERO)
        if desk.halt.note() is None and not desk.halt.after_drawdown:
            self._halt(worst, mark.equity)

    def _venues(self, mute: set[str]) -> tuple[str, ...]:
        """Return the venues that are measured: those in use, whatever the weights are; real ones if there are any.

        A weight that becomes 0 and comes back, as at any optimization, must not lose what was lost.
        """
        desk = self._desk
        in_use = (desk.usage().in_use() & desk.connections.keys()) - mute
        return tuple(sorted({name for name in in_use if not desk.of_paper([name])} or in_use))

    def _moved(self, mark: HighWater, believed: Mapping[str, Decimal]) -> Decimal:
        """Return the high of other venues than the mark's: so that what was lost stays lost."""
        worths = self._desk.journal.worths
        left = [name for name in mark.venues if name not in believed]
        high = mark.equity
        if left:
            before = sum((worths[name].equity for name in mark.venues if name in worths), ZERO)
            stay = sum((believed[name] for name in mark.venues if name in believed), ZERO)
            high = high * stay / before if before > 0 else stay
        return high + sum((believed[name] for name in believed if name not in mark.venues), ZERO)

    async def _mark(self, mark: HighWater) -> HighWater:
        await self._desk.journal.mark(mark)
        log.info("drawdown.marked", equity=f"{mark.equity:.2f}", venues=", ".join(mark.venues))
        return mark

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
