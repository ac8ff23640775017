"""What the workers of all keys share."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from decimal import Decimal

from portfoliod.capital import CapitalView, Usage
from portfoliod.errors import KeysRefused, VenueError
from portfoliod.intake import Intake
from portfoliod.journal import Journal
from portfoliod.model import Decision, Key
from portfoliod.reconciler.capital import Capital
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.halting import HaltController
from portfoliod.settings import Settings, limits, thresholds
from portfoliod.switches import HaltSwitch
from portfoliod.targets import gross_notional, stale_contributors

REDUCTIONS_FIRST_SECONDS = 5.0
"""How long additions wait for the reductions that were decided with them."""
MINUTE = 60.0
"""Seconds."""


class Desk:
    """Settings, journal, venues and switches, and what is counted over all keys."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        journal: Journal,
        connections: Mapping[str, Connection],
        halt: HaltSwitch,
    ) -> None:
        self.settings = settings
        self.intake = intake
        self.journal = journal
        self.connections = connections
        self._drivers = {name: connection.driver for name, connection in connections.items()}
        self.halt = HaltController(halt, journal)
        self.capital = Capital(journal)
        self.adopt(settings)
        self.opened: set[str] = set()
        """The venues that somebody uses, or that are no paper ones: the others are not connected."""
        self.stopping = False
        """Set when the process winds down: orders that are not sent yet are not sent any more."""
        ago = (max(0.0, time.time() - at) for at in journal.sent_since(time.time() - MINUTE))
        self._sent = deque(time.monotonic() - seconds for seconds in ago)
        self._reducing: dict[str, set[Key]] = {}
        self._reduced = asyncio.Condition()

    def adopt(self, settings: Settings) -> None:
        """Put other settings in force."""
        self.settings = settings
        self.thresholds = thresholds(settings)
        self.limits = limits(settings)
        self.intake.max_position = settings.risk.max_position
        self.capital.sizes = settings.capital == "equity"
        self.capital.resync_seconds = settings.reconciler.resync_seconds

    @property
    def oldest_price(self) -> float:
        """How many seconds old a price may be."""
        return self.settings.reconciler.price_max_age_seconds

    def usage(self) -> Usage:
        """Return who uses which venue now."""
        return self.intake.usage(self.settings.default_venue, self._drivers)

    def open_venues(self) -> set[str]:
        """Return the venues that are to be connected from now on, each once."""
        fresh = set(self.usage().opened(self._drivers) - self.opened)
        self.opened |= fresh
        return fresh

    def capital_view(self) -> CapitalView:
        """Return what sizes the portfolio as a whole, by what is believed of the venues."""
        usage = self.usage()
        worths = {name: worth.equity for name, worth in self.journal.worths.items()}
        return usage.view(usage.shown() & self.connections.keys(), worths, by_equity=self.settings.capital == "equity")

    def gross_notional(self, venue: str) -> Decimal:
        """Return the sum of |target notional| over all keys of a venue's kind of money."""
        drivers = self._drivers
        of_paper = drivers[venue] == "paper"
        targets = self.journal.targets.values()
        return gross_notional(one for one in targets if (drivers.get(one.key.venue) == "paper") is of_paper)

    def stale(self, decision: Decision) -> tuple[str, ...]:
        """Return the strategies behind a decision whose state is older than it may be."""
        oldest = self.settings.risk.state_max_age_seconds
        return stale_contributors(decision, self.intake.states, oldest, time.time())

    def venue_failed(self, connection: Connection, error: VenueError) -> None:
        """Take in what an error says of a whole venue."""
        if isinstance(error, KeysRefused):
            self.halt.keys_refused(error)
        connection.failed(error)

    def count_order(self) -> None:
        """Count an order that is sent now."""
        self._sent.append(time.monotonic())

    def orders_last_minute(self) -> int:
        """Return how many orders were sent in the last 60 seconds."""
        while self._sent and self._sent[0] < time.monotonic() - MINUTE:
            self._sent.popleft()
        return len(self._sent)

    def announce_reduction(self, key: Key) -> None:
        """Let the additions on a key's venue wait until it was looked at."""
        self._reducing.setdefault(key.venue, set()).add(key)

    async def reduction_done(self, key: Key) -> None:
        """Let the additions go on, as far as this key is concerned."""
        waiting = self._reducing.get(key.venue, set())
        if key in waiting:
            waiting.discard(key)
            async with self._reduced:
                self._reduced.notify_all()

    async def reductions_done(self, key: Key) -> bool:
        """Wait for the announced reductions of other keys on the same venue, and return whether there were any."""
        others = self._reducing.get(key.venue, set())
        if not others - {key}:
            return False
        try:
            async with asyncio.timeout(REDUCTIONS_FIRST_SECONDS), self._reduced:
                await self._reduced.wait_for(lambda: not others - {key})
        except TimeoutError:
            others.clear()
        return True
