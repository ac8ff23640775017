"""The reconciler: decisions wake workers, workers bring positions to them, venues and timers ask for looks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from decimal import Decimal

import structlog

from portfoliod.errors import JournalFailed, KeysRefused, VenueError
from portfoliod.mailbox import Mailbox
from portfoliod.model import ZERO, Decision, Fill, Key
from portfoliod.reconciler.decider import Decider
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.orders import Orders, log_fill
from portfoliod.reconciler.worker import Look, Standing, Worker
from portfoliod.venues import Filled, PositionMoved, VenueEvent

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DECIDE = "decide"
"""In the mailbox: compare what is wanted with what was decided. A Key there: look at it."""


STALLED_SECONDS = 30.0


class Reconciler:
    """Decides targets and owns the workers. `mailbox` is what others talk to."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.journal.on_failure = lambda error: desk.trip(error.what)
        self.mailbox: Mailbox[str | Key] = Mailbox()
        self.workers: dict[Key, Worker] = {}
        self._resync_due = time.monotonic()
        self._resynced_at = self._delivered_at = 0.0
        self._orders = {name: Orders(desk, connection) for name, connection in desk.connections.items()}
        self._tasks: asyncio.TaskGroup | None = None
        self._decider = Decider(desk)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            for connection in self.desk.connections.values():
                self._tasks.create_task(
                    connection.run(self.look_at_everything, self.happened, self.desk.keys_refused),
                    name=f"venue {connection.venue.name}",
                )
            self._tasks.create_task(self._resync_forever(), name="resync")
            self.note_switches()
            self.mailbox.put(DECIDE, *self._known_keys())
            while True:
                await self._deliver(await self.mailbox.take())

    async def once(self) -> dict[Key, Look]:
        """Decide, look at every key until nothing is left to do at once, and return where each stands.

        Raises:
            VenueUnreachable: a venue cannot be reached; the others were not tried.
            KeysRefused: likewise.
        """
        for connection in self.desk.connections.values():
            await connection.connect()
        self.note_switches()
        await self._decide()
        workers = [self.worker(key) for key in self._known_keys()]
        await asyncio.gather(*(_look_until_quiet(worker) for worker in workers))
        return {worker.key: worker.last for worker in workers}

    def look_at_everything(self) -> None:
        """Look at every key, at positions read from now on, and whether decisions are due.

        After a connection, a reconnection, a switch, and at every resync.
        """
        for worker in self.workers.values():
            worker.look_afresh()
        self.mailbox.put(DECIDE, *self._known_keys())

    def alive(self) -> bool:
        """Return whether resyncs happen when they are due, and what they ask for is dealt with."""
        now = time.monotonic()
        dealt_with = self._delivered_at >= self._resynced_at or now - self._resynced_at < STALLED_SECONDS
        return now < self._resync_due + STALLED_SECONDS and dealt_with

    def note_switches(self) -> None:
        """Take in that the daemon was halted or resumed, or a key unlocked: look at everything."""
        self.desk.note_halt()
        self.look_at_everything()

    async def happened(self, venue: str, event: VenueEvent) -> None:
        """Take in an event of a venue's streams."""
        if isinstance(event, Filled):
            if await self._is_news(event.fill):
                self._moved(event.fill.key)
        elif isinstance(event, PositionMoved):
            self._moved(Key(venue, event.symbol))

    async def _is_news(self, fill: Fill) -> bool:
        """Record a fill if it is of an order of ours, and return whether it was not known before."""
        journal = self.desk.journal
        try:
            if not await journal.knows_order(fill.client_id):
                return True
            new = await journal.record_fills([fill])
        except JournalFailed as error:
            # The intent is still open: its fills are asked for again once the journal can be written.
            self.desk.trip(error.what)
            return True
        for recorded in new:
            log_fill(recorded)
        return bool(new)

    def worker(self, key: Key) -> Worker:
        """Return the worker of a key, started where the reconciler runs."""
        if key not in self.workers:
            connection = self.desk.connections[key.venue]
            worker = Worker(key, self.desk, connection, self._orders[key.venue])
            self.workers[key] = worker
            if self._tasks is not None:
                self._tasks.create_task(worker.run(), name=f"worker {key}")
        return self.workers[key]

    def idle(self) -> bool:
        """Return whether no look is under way."""
        return all(worker.idle for worker in self.workers.values())

    async def _decide(self) -> None:
        """Decide, and wake the workers of what was decided; those that reduce are announced to the others first."""
        in_force = dict(self.desk.journal.targets)
        try:
            decisions = await self._decider.decide()
        except JournalFailed as error:
            self.desk.trip(error.what)
            return
        for decision in decisions:
            if _shrinks(decision, in_force.get(decision.key)):
                self.desk.announce_reduction(decision.key)
        for worker in self.workers.values():
            if worker.refused_by == "state_max_age_seconds":
                worker.wake()
        for decision in decisions:
            worker = self.worker(decision.key)
            worker.decided_anew()
            worker.wake()

    def _known_keys(self) -> list[Key]:
        journal = self.desk.journal
        unresolved = (intent.key for intent in journal.open_intents.values())
        return [key for key in dict.fromkeys([*journal.targets, *unresolved]) if key.venue in self.desk.connections]

    def _moved(self, key: Key) -> None:
        worker = self.workers.get(key)
        if worker is not None:
            worker.touch()
            worker.wake()

    async def _deliver(self, names: Iterable[str | Key]) -> None:
        names = set(names)
        if DECIDE in names:
            await self._decide()
        for key in names:
            if isinstance(key, Key):
                self.worker(key).wake()
        self._delivered_at = time.monotonic()

    async def _resync_forever(self) -> None:
        while True:
            seconds = self.desk.settings.reconciler.resync_seconds
            self._resync_due = time.monotonic() + seconds
            await asyncio.sleep(seconds)
            try:
                await self._record_equity()
            except JournalFailed as error:
                self.desk.trip(error.what)
            self.note_switches()
            self._resynced_at = time.monotonic()
            log.debug("resync.done", markets=len(self.workers))

    async def _record_equity(self) -> None:
        total, highest = ZERO, ZERO
        for name, connection in self.desk.connections.items():
            try:
                equity = await connection.read_equity() if connection.known else None
            except KeysRefused as error:
                self.desk.keys_refused(error)
                equity = None
            except VenueError as error:
                connection.failed(error)
                equity = None
            if equity is None:
                return
            await self.desk.journal.record_equity(name, time.time(), equity)
            total += equity
            highest += self.desk.journal.highest_equity[name]
        limit = Decimal(str(self.desk.settings.risk.max_drawdown))
        if limit > 0 and highest > 0 and total <= highest * (1 - limit) and not self.desk.halt.reason():
            self.desk.trip(
                f"max_drawdown: equity {total:.2f} is {(1 - total / highest) * 100:.1f} % below its high {highest:.2f}"
            )


def _shrinks(decision: Decision, last: Decision | None) -> bool:
    if last is None:
        return False
    return abs(decision.quantity) < abs(last.quantity) or decision.quantity * last.quantity < 0


async def _look_until_quiet(worker: Worker) -> None:
    look = await worker.look()
    while look.standing in {Standing.WORKING, Standing.UNKNOWN} and look.again is not None and look.again < 2:
        await asyncio.sleep(look.again)
        look = await worker.look()
