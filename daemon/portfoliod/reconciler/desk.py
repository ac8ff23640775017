"""What all markets share: the workspace's content, the journal, the venues, the halt and what is counted over all."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from portfoliod.capital import CapitalView, Usage
from portfoliod.errors import KeysRefused, VenueError
from portfoliod.intake import Intake
from portfoliod.journal import Journal
from portfoliod.model import Decision
from portfoliod.reconciler.capital import Capital
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.halting import HaltController
from portfoliod.reconciler.order_rate import MINUTE, OrderRate
from portfoliod.reconciler.reductions import Reductions
from portfoliod.settings import Settings, policy_of
from portfoliod.step.facts import Exposure
from portfoliod.switches import HaltSwitch
from portfoliod.targets import gross_notional, stale_contributors


class Desk:
    """Shared by the decisions and the workers of all markets."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        journal: Journal,
        connections: Mapping[str, Connection],
        halt: HaltSwitch,
    ) -> None:
        self.intake = intake
        self.journal = journal
        self.connections = connections
        self.halt = HaltController(halt, journal)
        self.capital = Capital(journal)
        self.rate = OrderRate(journal.sent_since(time.time() - MINUTE))
        self.reductions = Reductions()
        self.adopt(settings)
        self.opened: set[str] = set()
        """The venues that somebody uses, or that are no paper ones: the others are not connected."""
        self.stopping = False
        """Set when the process winds down: orders that are not sent yet are not sent any more."""
        self._drivers = {name: connection.driver for name, connection in connections.items()}

    def adopt(self, settings: Settings) -> None:
        """Put other settings in force, all at once: a decision or a step that has begun goes by those before."""
        self.policy = policy_of(settings)
        self.intake.max_position = self.policy.max_position

    def usage(self) -> Usage:
        """Return who uses which venue now."""
        return self.intake.usage(self.policy.default_venue, self._drivers)

    def open_venues(self) -> set[str]:
        """Return the venues that are to be connected from now on, each once."""
        fresh = set(self.usage().opened(self._drivers) - self.opened)
        self.opened |= fresh
        return fresh

    def capital_view(self) -> CapitalView:
        """Return what sizes the portfolio as a whole, by what is believed of the venues."""
        usage = self.usage()
        worths = {name: worth.equity for name, worth in self.journal.worths.items()}
        return usage.view(usage.shown() & self.connections.keys(), worths, by_equity=self.policy.by_equity)

    def of_paper(self, venues: Iterable[str]) -> bool:
        """Return whether all the money on some venues is paper money."""
        return all(self._drivers.get(name) == "paper" for name in venues)

    def exposure(self, venue: str, decision: Decision | None) -> Exposure:
        """Return what an addition on a venue is measured against: of its own kind of money."""
        of_paper = self._drivers[venue] == "paper"
        targets = self.journal.targets.values()
        same = (one for one in targets if (self._drivers.get(one.key.venue) == "paper") is of_paper)
        stale = () if decision is None else self._stale(decision)
        return Exposure(gross_notional(same), self.rate.last_minute(), stale)

    def _stale(self, decision: Decision) -> tuple[str, ...]:
        """Return the strategies behind a decision whose state is older than it may be."""
        return stale_contributors(decision, self.intake.states, self.policy.oldest_state, time.time())

    def venue_failed(self, connection: Connection, error: VenueError) -> None:
        """Take in what an error says of a whole venue."""
        if isinstance(error, KeysRefused):
            self.halt.keys_refused(error)
        connection.failed(error)
