"""The process: starts the tasks, wires their mailboxes, keeps status.json and the watchdog, and stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping

import msgspec
import structlog

from portfoliod import __version__
from portfoliod.errors import Halted, SettingsError
from portfoliod.host import WorkspaceLock, notify
from portfoliod.intake import Intake, Kind, Source
from portfoliod.journal import Journal
from portfoliod.logs import say_what_was_lost
from portfoliod.model import Key, Standing
from portfoliod.optimizer import Optimizer
from portfoliod.outlets import Outlets, open_outlets
from portfoliod.reconciler import Look, Reconciler
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.reconciler import DECIDE
from portfoliod.settings import Settings, load_settings
from portfoliod.status import Reporter, Status
from portfoliod.step.decide import GO_LIVE
from portfoliod.supervision import Supervision, reloading
from portfoliod.switches import HaltSwitch
from portfoliod.venues import VenueContext, open_venue
from portfoliod.watcher import Watcher, told
from portfoliod.workspace import Workspace, write_atomically

log: structlog.stdlib.BoundLogger = structlog.get_logger()

STATUS_SECONDS = 1.0
SIGN_OF_LIFE_SECONDS = 5.0
NEED_RESTART = ("mode", "default_venue", "venues", "metrics", "notify")
"""Settings that a running daemon keeps."""
IN_FLIGHT_SECONDS = 10.0
"""How long a stop waits for orders whose reply is on its way."""


class Service:
    """The daemon in one workspace."""

    def __init__(self, workspace: Workspace, settings: Settings, *, live: bool) -> None:
        self.workspace = workspace
        self.settings = settings
        self._live = live
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        Raises:
            LockHeld: another daemon works here.
            SettingsError: a venue's table does not fit.
            JournalFailed: the journal cannot be used.
        """
        async with self._opened() as (desk, journal):
            with open_outlets(self.settings) as outlets:
                await self._run(desk, journal, outlets)

    async def _run(self, desk: Desk, journal: Journal, outlets: Outlets) -> None:
        intake = desk.intake
        reconciler = Reconciler(desk)
        optimizer = Optimizer(self.settings, intake, journal)
        watcher = Watcher(
            intake,
            journal,
            changed=lambda source: _route(source, reconciler, optimizer),
            switched=reconciler.note_switches,
            retire_removed=self.settings.reconciler.on_removed == "close",
        )
        supervision = Supervision(reconciler, watcher)
        self._listen(lambda fresh: _adopt(fresh, reconciler, optimizer, watcher))
        reporter = Reporter(self.settings.mode, intake)
        log.info("daemon.started", version=__version__, root=str(self.workspace.root), mode=self.settings.mode)
        _say_read_only(desk.connections)
        await watcher.first_look()
        intaking = asyncio.create_task(self._intaking(watcher, optimizer), name="intake")
        trading = asyncio.create_task(self._trading(reconciler, reporter, supervision, outlets), name="trading")
        optimizer.mailbox.put("start")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait({intaking, trading, stop}, return_when=asyncio.FIRST_COMPLETED)
        await self._wind_down(intaking, trading, reconciler, reporter)
        for task in (intaking, trading):
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def once(self) -> dict[Key, Look]:
        """Optimize if stats changed, reconcile until nothing is left to do, and return where each key stands.

        Raises:
            PortfoliodError: as `run`, and VenueUnreachable or KeysRefused.
        """
        async with self._opened() as (desk, journal):
            for event, problem in desk.intake.read_all():
                log.error(event, **told(problem))
            _say_read_only(desk.connections)
            await Optimizer(self.settings, desk.intake, journal).look({"--once"})
            desk.intake.read_all()
            return await Reconciler(desk).once()

    async def close_positions(self) -> dict[Key, Look]:
        """Reconcile what the journal knows, as `flatten` needs it: no file is read, nothing is optimized or decided.

        Raises:
            PortfoliodError: as `once`.
        """
        async with self._opened() as (desk, _):
            _say_read_only(desk.connections)
            return await Reconciler(desk).once(decide=False)

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Desk, Journal]]:
        """Hold the lock, the journal and the venues."""
        self.workspace.create()
        lock = WorkspaceLock(self.workspace.lock_file)
        lock.acquire()
        try:
            async with Journal(self.workspace.journal_file) as journal:
                intake = Intake(self.workspace, journal, self.settings.risk.max_position)
                connections = open_connections(self.workspace, self.settings, live=self._live)
                halt = HaltSwitch(self.workspace)
                try:
                    yield Desk(self.settings, intake, journal, connections, halt), journal
                finally:
                    await asyncio.gather(*(connection.venue.close() for connection in connections.values()))
        finally:
            lock.release()

    async def _intaking(self, watcher: Watcher, optimizer: Optimizer) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watcher.run(), name="watcher")
            tasks.create_task(optimizer.run(), name="optimizer")

    async def _trading(
        self, reconciler: Reconciler, reporter: Reporter, supervision: Supervision, outlets: Outlets
    ) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reconciler.run(), name="reconciler")
            tasks.create_task(self._report(reconciler, reporter, supervision, outlets), name="status")
            tasks.create_task(supervision.run(), name="supervision")

    async def _wind_down(
        self, intaking: asyncio.Task[None], trading: asyncio.Task[None], reconciler: Reconciler, reporter: Reporter
    ) -> None:
        """Stop taking on work, wait for what is in flight, and stop the rest."""
        notify("STOPPING=1")
        reconciler.desk.stopping = True
        intaking.cancel()
        deadline = time.monotonic() + IN_FLIGHT_SECONDS
        while not reconciler.idle() and not trading.done() and time.monotonic() < deadline:  # noqa: ASYNC110 - bounded
            await asyncio.sleep(0.01)
        try:
            await self._write(reporter.status(reconciler.snapshot(), stopping=True))
        finally:
            trading.cancel()
            await asyncio.wait({intaking, trading})
        self._write_down(reporter.status(reconciler.snapshot(), stopping=True))
        log.info("daemon.stopped", pid=os.getpid())

    async def _report(
        self, reconciler: Reconciler, reporter: Reporter, supervision: Supervision, outlets: Outlets
    ) -> None:
        """Write the status when something in it is new, and now and then as a sign of life."""
        timeless, written, lag = b"", 0.0, 0.0
        while True:
            engine = reconciler.snapshot()
            status = reporter.status(engine, stopping=False)
            fresh = status.timeless()
            if fresh != timeless or time.monotonic() - written >= SIGN_OF_LIFE_SECONDS:
                await self._write(status)
                timeless, written = fresh, time.monotonic()
            supervision.tell(status)
            say_what_was_lost()
            await outlets.show(status, engine, reconciler.desk.intake, lag)
            due = time.monotonic() + STATUS_SECONDS
            await asyncio.sleep(STATUS_SECONDS)
            lag = time.monotonic() - due

    async def _write(self, status: Status) -> None:
        content = msgspec.json.format(msgspec.json.encode(status), indent=2)
        with contextlib.suppress(OSError):
            # Off the loop and not flushed: a status is worth no order's wait.
            await asyncio.to_thread(write_atomically, self.workspace.status_file, content, durable=False)

    def _write_down(self, status: Status) -> None:
        down = msgspec.structs.replace(status, state="down", pid=None)
        with contextlib.suppress(OSError):
            write_atomically(self.workspace.status_file, msgspec.json.format(msgspec.json.encode(down), indent=2))

    def _listen(self, adopt: Callable[[Settings], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload, adopt)

    def _on_stop(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            os._exit(128 + number)
        self._stop.set()

    def _on_reload(self, adopt: Callable[[Settings], None]) -> None:
        """Re-read the settings; what does not fit leaves those in force."""
        with reloading():
            self._reload(adopt)

    def _reload(self, adopt: Callable[[Settings], None]) -> None:
        try:
            fresh = load_settings(self.workspace.settings_file)
        except SettingsError as error:
            kept = "the settings in force"
            log.error("settings.rejected", what=error.what, where=error.where, found=error.found, kept=kept)
            return
        restart = [name for name in NEED_RESTART if getattr(fresh, name) != getattr(self.settings, name)]
        before = self.settings
        kept_ones = {name: getattr(self.settings, name) for name in NEED_RESTART}
        source = self.settings.reconciler.position_source
        if fresh.reconciler.position_source != source:
            # The driver was opened for it, and the books began by it.
            restart.append("reconciler.position_source")
            kept_ones["reconciler"] = msgspec.structs.replace(fresh.reconciler, position_source=source)
        self.settings = msgspec.structs.replace(fresh, **kept_ones)
        adopt(self.settings)
        log.info("settings.accepted", changed=self.settings != before, after_a_restart=", ".join(restart))


def exit_code_of(looks: Mapping[Key, Look]) -> int:
    """Return the exit code for where the keys stand after `once`."""
    standings = {look.standing for look in looks.values()}
    if standings & {Standing.REFUSED, Standing.LOCKED}:
        return Halted.exit_code
    return 0 if standings <= {Standing.IN_STEP} else 1


def open_connections(
    workspace: Workspace, settings: Settings, *, live: bool, read_only: bool = False
) -> dict[str, Connection]:
    """Return a connection, not connected yet, for each venue of the settings.

    An exchange is traded on only where the settings say mode = "live" and the command line says so too.

    Raises:
        SettingsError: a venue's table does not fit.
    """
    connections = {}
    for name, table in settings.venues.items():
        driver = str(table["driver"])
        allowed = driver == "paper" or (settings.mode == "live" and live)
        looked_at = read_only or not allowed
        ledger = settings.reconciler.position_source == "ledger"
        context = VenueContext(name, workspace.var, workspace.settings_file, looked_at, ledger)
        connections[name] = Connection(open_venue(context, table), driver, read_only=looked_at)
    return connections


def _say_read_only(connections: Mapping[str, Connection]) -> None:
    for name, connection in connections.items():
        if connection.read_only:
            log.warning("venue.read_only", venue=name, reason="looked at, not traded on", mend=GO_LIVE)


def _adopt(settings: Settings, reconciler: Reconciler, optimizer: Optimizer, watcher: Watcher) -> None:
    """Put re-read settings in force, and let every market be looked at by them."""
    reconciler.desk.adopt(settings)
    reconciler.look_at_everything()
    optimizer.settings = settings
    watcher.retire_removed = settings.reconciler.on_removed == "close"
    optimizer.mailbox.put("portfoliod.toml")


def _route(source: Source, reconciler: Reconciler, optimizer: Optimizer) -> None:
    """Put a change into the mailboxes of those whom it concerns."""
    optimizer.notice(source)
    if source.kind is not Kind.STATS:
        reconciler.mailbox.put(DECIDE)
