"""What keeps the orders of a market from being sent: said once, until it is something else."""

from __future__ import annotations

import structlog

from portfoliod.model import Key
from portfoliod.planning import Leg
from portfoliod.risk import Refusal

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Refusals:
    """Of one worker."""

    def __init__(self, key: Key) -> None:
        self.by = ""
        """What refused the last order, if something did: a limit of [risk], halt or mode."""
        self._key = key
        self._said = ""

    def say(self, refusal: Refusal, leg: Leg, cycle: str, *, once: str) -> None:
        """Log a refusal, unless the last one was for the same.

        Args:
            refusal: what refuses.
            leg: the order.
            cycle: that led to it.
            once: what makes two refusals the same.
        """
        self.by = refusal.limit
        if self._said == once:
            return
        self._said = once
        log.warning(
            "risk.refused",
            venue=self._key.venue,
            symbol=self._key.symbol,
            limit=refusal.limit,
            value=refusal.value,
            side=str(leg.side),
            quantity=f"{leg.quantity:f}",
            reason=refusal.reason,
            cycle=cycle,
        )

    def forget(self) -> None:
        """Note that nothing is refused: there is nothing to send."""
        self.by = self._said = ""
