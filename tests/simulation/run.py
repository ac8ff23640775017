"""One run: a seed's actions on a daemon, its exchanges and its files, with the invariants asserted all along."""

from __future__ import annotations

import collections
import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog
from watchfiles import Change

from portfoliod.model import Intent
from portfoliod.venues import VenueContext
from portfoliod.workspace import Workspace
from tests.simulation.actions import HOUR, QUIET, Action
from tests.simulation.clock import START, Clock
from tests.simulation.exchange import Exchange
from tests.simulation.files import SimulatedFiles
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.life import Life, simulated_process
from tests.simulation.people import People
from tests.simulation.venue import SimulatedVenue, Weather

KEPT_EVENTS = 20_000
SHOWN = (
    "venue",
    "symbol",
    "strategy",
    "side",
    "quantity",
    "reduce_only",
    "client_id",
    "status",
    "reason",
    "error",
    "found",
)
"""Fields of events that the trace shows."""


class Finished(Exception):
    """The time is over."""


class Outcome(msgspec.Struct):
    """What became of a run."""

    violation: str = ""
    trace: list[str] = []
    """The last events before the violation."""
    digest: str = ""
    """Of everything that was logged: the same for the same run."""
    counts: dict[str, int] = {}


class Run:
    """A workspace, two exchanges and one daemon after the other."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        self.clock = Clock()
        self.chance = random.Random(f"world {seed}")
        self.workspace = Workspace(folder)
        self.files = SimulatedFiles(self.workspace, self.clock, random.Random(f"files {seed}"))
        self.exchanges = {
            name: Exchange(name, self.clock, random.Random(f"{name} {seed}"), finds_orders=finds_orders)
            for name, finds_orders in (("alpha", True), ("beta", seed % 3 != 0))
        }
        self.weather = {name: Weather() for name in self.exchanges}
        self.venues: dict[str, SimulatedVenue] = {}
        self.life: Life | None = None
        self.invariants = Invariants(self)
        self.people = People(self)
        self.counts: collections.Counter[str] = collections.Counter()
        self.trace: collections.deque[str] = collections.deque(maxlen=KEPT_EVENTS)
        self.dies_at = 0
        """How many places to pass before the daemon is killed at one; 0: at none."""
        self._digest = hashlib.blake2b(digest_size=16)
        self._starts = 0

    def perform(self, actions: Sequence[Action], hours: int) -> Outcome:
        """Do everything, and return what became of it."""
        violation = ""
        with simulated_process(self.clock, self.seed, self._hear):
            for action in actions:
                self.clock.after(action.at, self._doing(action))
            for hour in range(1, hours + 1):
                self.clock.after(hour * HOUR - QUIET, self.people.go_quiet)
                self.clock.after(hour * HOUR - QUIET + 60, self.people.resume_mostly)
                self.clock.after(hour * HOUR - QUIET + 120, self.people.unlock_everything)
                self.clock.after(hour * HOUR, self.invariants.check_in_peace)
                self.clock.after(hour * HOUR + 0.001, self.people.end_quiet)
            self.clock.after(hours * HOUR + 0.01, self._finish)
            self._move_prices()
            try:
                self._live()
            except Finished:
                pass
            except Violation as error:
                violation = str(error)
            except Exception as error:  # noqa: BLE001 - whatever the daemon dies of is what was looked for
                violation = f"the daemon died: {error!r}"
        return Outcome(violation, list(self.trace), self._digest.hexdigest(), dict(self.counts))

    def note(self, what: str) -> None:
        """Put something into the trace."""
        line = f"{self.clock.now - START:10.3f}  {what}"
        self.trace.append(line)
        self._digest.update(line.encode())

    def kill(self) -> None:
        """Kill the daemon, if one runs."""
        if self.life is not None:
            self.note("killed")
            self.counts["kills"] += 1
            self.life.loop.kill()

    def _live(self) -> None:
        """Start one daemon after the other."""
        while True:
            self.life = life = Life(self.workspace, self.clock, random.Random(f"threads {self.seed} {self._starts}"))
            self._starts += 1
            self.counts["starts"] += 1
            life.loop.passing = self._passing
            self.files.tell = self._tell
            life.run(self._open_venue)
            self.life = None
            self.files.tell = lambda _change, _path: None
            for exchange in self.exchanges.values():
                exchange.tell = lambda _: None
            self.clock.pass_by(5.0 if self.people.quiet else self.chance.uniform(0.2, 60))

    def _tell(self, change: Change, path: Path) -> None:
        if self.life is not None:
            self.life.notice(change, path)

    def _open_venue(self, context: VenueContext, _table: object) -> SimulatedVenue:
        assert self.life is not None
        exchange = self.exchanges[context.name]
        venue = SimulatedVenue(
            exchange,
            self.weather[context.name],
            self.life.loop,
            streams_positions=context.name == "alpha",
        )
        venue.sends = self._sent
        self.venues[context.name] = venue
        return venue

    def _sent(self, intent: Intent) -> None:
        self.counts["orders"] += 1
        self.invariants.check_sent(intent)

    def _passing(self, place: str) -> bool:
        if self.dies_at == 0:
            return False
        self.dies_at -= 1
        if self.dies_at > 0:
            return False
        self.note(f"at {place}")
        self.counts[f"killed at {place}"] += 1
        self.kill()
        return True

    def _doing(self, action: Action) -> Callable[[], None]:
        def do() -> None:
            self.note(f"{action.kind} {action.draw}")
            self.counts[action.kind] += 1
            self.counts["actions"] += 1
            self.people.do(action)

        return do

    def _move_prices(self) -> None:
        for exchange in self.exchanges.values():
            exchange.move_prices(0.0005)
        self.clock.after(30.0, self._move_prices)

    def _hear(self, event: structlog.typing.EventDict) -> None:
        fields = " ".join(f"{name}={event[name]}" for name in SHOWN if event.get(name) not in (None, ""))
        self.note(f"{event['event']} {fields}")
        self.invariants.hear(event)

    def _finish(self) -> None:
        raise Finished
