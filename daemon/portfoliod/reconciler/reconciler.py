"""The reconciler: decisions wake workers, workers bring positions to them, venues and timers ask for looks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial

import structlog

from portfoliod.capital import drawdown
from portfoliod.errors import JournalFailed, SettingsError, VenueError
from portfoliod.mailbox import Mailbox
from portfoliod.model import Decision, Fill, HaltCause, Key, Standing
from portfoliod.reconciler.accounts import Accounts
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.decider import Decider
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.look import Look
from portfoliod.reconciler.orders import Orders, log_fill
from portfoliod.reconciler.snapshot import EngineSnapshot, VenueSnapshot
from portfoliod.reconciler.worker import Worker
from portfoliod.venues import Filled, Liquidated, PositionMoved, VenueEvent

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DECIDE = "decide"
"""In the mailbox: compare what is wanted with what was decided. A Key there: look at it."""
STALLED_SECONDS = 30.0
SHARED_LIMITS = {"state_max_age_seconds", "max_gross_leverage"}
"""Limits that refuse no longer when something changes in another market, or in a state."""


class Reconciler:
    """Decides targets and owns the workers. `mailbox` is what others talk to."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        desk.journal.call_on_failure(desk.halt.journal_failed)
        self.mailbox: Mailbox[str | Key] = Mailbox()
        self.workers: dict[Key, Worker] = {}
        self._resync_due = time.monotonic()
        self._resynced_at = self._delivered_at = 0.0
        self._orders = {name: Orders(desk, connection) for name, connection in desk.connections.items()}
        self._tasks: asyncio.TaskGroup | None = None
        self._decider = Decider(desk)
        self._to_decide = {name: asyncio.Event() for name in desk.connections}
        self._accounts = Accounts(desk, recovered=self.look_at)
        self._accounts_due = asyncio.Event()
        self._decided_on: set[str] = set()
        """The venues that were decided on at least once since their markets are known."""

    async def run(self) -> None:
        """Reconcile until cancelled. What a venue keeps waiting waits in tasks of its own."""
        async with asyncio.TaskGroup() as self._tasks:
            self._open_venues(self._tasks, required=True)
            self._tasks.create_task(self._resync_forever(), name="resync")
            self._tasks.create_task(self._account_forever(), name="accounts")
            self.note_switches()
            while True:
                self._deliver(await self.mailbox.take())

    async def once(self, *, decide: bool = True) -> dict[Key, Look]:
        """Look at every key until nothing is left to do at once, and return where each stands.

        Args:
            decide: look at the accounts before that, which may halt, and decide what is wanted.

        Raises:
            VenueUnreachable: a venue cannot be reached; what can be done on the others was done.
            VenueStopped: likewise.
            KeysRefused: likewise, and this halts: on the others only reductions were sent.
            SettingsError: a venue's table does not fit; nothing was done.
        """
        self.desk.open_venues()
        names = self.desk.opened
        failures = [error for error in await asyncio.gather(*map(self._connect_once, names)) if error is not None]
        failures.sort(key=lambda error: error.exit_code, reverse=True)
        if failures and isinstance(failures[0], SettingsError):
            raise failures[0]
        self.note_switches()
        if decide:
            await self._accounts.look()
            await asyncio.gather(*map(self._decide, names))
        workers = [self.worker(key) for key in self._known_keys()]
        await asyncio.gather(*(_look_until_quiet(worker) for worker in workers))
        if failures:
            raise failures[0]
        return {worker.key: worker.last for worker in workers}

    def _open_venues(self, tasks: asyncio.TaskGroup, *, required: bool = False) -> None:
        """Follow the venues that are used and are not followed yet."""
        for name in sorted(self.desk.open_venues()):
            self.desk.connections[name].required = required
            follows = self.desk.connections[name].run(
                partial(self.look_at, name), self.happened, self.desk.halt.keys_refused
            )
            tasks.create_task(follows, name=f"venue {name}")
            tasks.create_task(self._decide_forever(name), name=f"decisions {name}")

    async def _connect_once(self, venue: str) -> VenueError | SettingsError | None:
        """Connect a venue and return the error that kept it from that."""
        connection = self.desk.connections[venue]
        try:
            await connection.connect()
        except VenueError as error:
            self.desk.venue_failed(connection, error)
            return error
        except SettingsError as error:
            return error
        return None

    def look_at(self, venue: str) -> None:
        """Look at every key of a venue, at positions read from now on: after a connection, or when a stop ended."""
        for key, worker in self.workers.items():
            if key.venue == venue:
                worker.look_afresh()
        self.mailbox.put(DECIDE, *(key for key in self._known_keys() if key.venue == venue))

    def look_at_everything(self) -> None:
        """Look at every key, at positions read from now on, and whether decisions are due.

        After a switch, and at every resync.
        """
        for venue in self.desk.connections:
            self.look_at(venue)

    def not_looked_at(self) -> list[str]:
        """Return the venues that were not looked at in full yet since the start; one that failed, and said so, was."""
        connections = self.desk.connections
        return [name for name in sorted(self.desk.opened) if not self._looked_at(name, connections[name])]

    def _looked_at(self, venue: str, connection: Connection) -> bool:
        if connection.problem is not None or connection.stopped is not None:
            return True
        looked = all(worker.looks > 0 for key, worker in self.workers.items() if key.venue == venue)
        return venue in self._decided_on and looked

    def alive(self) -> bool:
        """Return whether resyncs happen when they are due, and what they ask for is dealt with."""
        now = time.monotonic()
        dealt_with = self._delivered_at >= self._resynced_at or now - self._resynced_at < STALLED_SECONDS
        return now < self._resync_due + STALLED_SECONDS and dealt_with

    def note_switches(self) -> None:
        """Take in that the daemon was halted or resumed, or a key unlocked: look at everything."""
        self.desk.halt.note()
        self.look_at_everything()

    async def happened(self, venue: str, event: VenueEvent) -> None:
        """Take in an event of a venue's streams."""
        if isinstance(event, Filled):
            await self._take_in(event.fill)
        elif isinstance(event, Liquidated):
            self._liquidated(Key(venue, event.symbol), event.what)
        elif isinstance(event, PositionMoved):
            self._moved(Key(venue, event.symbol))

    async def _take_in(self, fill: Fill) -> None:
        """Record a fill if it is of an order of ours, and look at its key unless it was known before."""
        journal = self.desk.journal
        try:
            if not await journal.knows_order(fill.client_id):
                self._moved(fill.key)
                return
            intent = journal.open_intents.get(fill.client_id)
            new = await journal.record_fills([fill])
        except JournalFailed as error:
            # The intent is still open: its fills are asked for again once the journal can be written.
            self.desk.halt.journal_failed(error)
            self._moved(fill.key)
            return
        for recorded in new:
            log_fill(recorded, "" if intent is None else intent.cycle)
        if new and fill.key in self.workers:
            self.workers[fill.key].filled()

    def _liquidated(self, key: Key, what: str) -> None:
        log.error("position.liquidated", venue=key.venue, symbol=key.symbol, what=what)
        self.desk.halt.trip(f"liquidation of {key}: {what}", HaltCause.LIQUIDATION)
        self._moved(key)

    def snapshot(self) -> EngineSnapshot:
        """Return the engine at this moment."""
        desk, looks = self.desk, Counter[str]()
        for key, worker in self.workers.items():
            looks[key.venue] += worker.looks
        venues = {
            name: VenueSnapshot(
                driver=connection.driver,
                connected=connection.connected,
                equity=connection.equity,
                position_mode=connection.venue.position_mode if connection.known else None,
                problems=tuple(connection.problems),
                prices=connection.venue.describe() if connection.known else None,
                looks=looks[name],
                positions_at=connection.positions_at,
            )
            for name, connection in desk.connections.items()
            if name in desk.opened
        }
        capital, mark = desk.capital_view(), desk.journal.high_water
        known = {*self._known_keys(), *desk.journal.books}
        return EngineSnapshot(
            halt=desk.halt.now(),
            capital=capital,
            high_water=None if mark is None else mark.equity,
            drawdown=drawdown(mark, {name: worth.equity for name, worth in desk.journal.worths.items()}),
            markets=tuple(self.workers[key].snapshot() for key in sorted(self.workers.keys() & known)),
            venues=venues,
        )

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

    async def _decide(self, venue: str) -> None:
        """Decide, and wake the workers of what was decided; what is closed does not wait for the rest."""
        known = self.desk.connections[venue].known
        while await self._decided(venue):
            pass
        for worker in self.workers.values():
            if worker.refused_by in SHARED_LIMITS:
                worker.wake()
        if known:
            self._decided_on.add(venue)

    async def _decided(self, venue: str) -> bool:
        """Decide once, announce what reduces, wake the workers, and return whether there may be more to decide."""
        in_force = dict(self.desk.journal.targets)
        try:
            decisions = await self._decider.decide(venue)
        except JournalFailed as error:
            self.desk.halt.journal_failed(error)
            return False
        except Exception:
            # A mistake about one venue's targets must not end the others; the next change or resync tries again.
            log.exception("decisions.failed", venue=venue, kept="targets stay as they are")
            return False
        for decision in decisions:
            if _shrinks(decision, in_force.get(decision.key)):
                self.desk.reductions.announce(decision.key)
        for decision in decisions:
            # To close needs no price, and the one that it was decided at may be an old one.
            self.worker(decision.key).decided_anew(decision.price if decision.exposure else None)
        return bool(decisions) and all(decision.exposure == 0 for decision in decisions)

    def _known_keys(self) -> list[Key]:
        journal = self.desk.journal
        unresolved = (intent.key for intent in journal.open_intents.values())
        return [key for key in dict.fromkeys([*journal.targets, *unresolved]) if key.venue in self.desk.opened]

    def _moved(self, key: Key) -> None:
        worker = self.workers.get(key)
        if worker is not None:
            worker.moved()

    def _deliver(self, names: Iterable[str | Key]) -> None:
        for name in names:
            if isinstance(name, Key):
                self.worker(name).wake()
            else:
                if self._tasks is not None:
                    self._open_venues(self._tasks)
                for due in self._to_decide.values():
                    due.set()
        self._delivered_at = time.monotonic()

    async def _decide_forever(self, venue: str) -> None:
        """Decide on a venue's keys whenever that is due, and once more after a pause that the venue asked for."""
        due = self._to_decide[venue]
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None
        while True:
            await due.wait()
            due.clear()
            if timer is not None:
                timer.cancel()
            await self._decide(venue)
            pause = self.desk.connections[venue].pause()
            timer = loop.call_later(pause, due.set) if pause > 0 else None

    async def _resync_forever(self) -> None:
        while True:
            seconds = self.desk.policy.resync_seconds
            self._resync_due = time.monotonic() + seconds
            await asyncio.sleep(seconds)
            self.note_switches()
            self._accounts_due.set()
            self._resynced_at = time.monotonic()
            log.debug("resync.done", markets=len(self.workers))

    async def _account_forever(self) -> None:
        """Look at the accounts after each resync; looks at positions do not wait for that."""
        while True:
            await self._accounts_due.wait()
            self._accounts_due.clear()
            await self._accounts.look()


def _shrinks(decision: Decision, last: Decision | None) -> bool:
    if last is None:
        return False
    return abs(decision.quantity) < abs(last.quantity) or decision.quantity * last.quantity < 0


async def _look_until_quiet(worker: Worker) -> None:
    look = await worker.look()
    while look.standing in {Standing.WORKING, Standing.UNKNOWN} and look.again is not None and look.again < 2:
        await asyncio.sleep(look.again)
        look = await worker.look()
