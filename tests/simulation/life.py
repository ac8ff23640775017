"""The daemon, from its start until it stops or is killed: the real service, on virtual time and simulated venues."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import msgspec
import structlog
import watchfiles
from watchfiles import Change

import portfoliod.service
import portfoliod.watcher.watcher
from portfoliod.host import WorkspaceLock
from portfoliod.journal import Journal
from portfoliod.reconciler.desk import Desk
from portfoliod.service import Service
from portfoliod.settings import Settings, load_settings
from portfoliod.workspace import Workspace
from tests.simulation.clock import Clock, Killed, VirtualLoop

SCAN_SECONDS = 20.0
"""Scans are rarer than in earnest: they are most of what an hour costs."""
STATUS_SECONDS, SIGN_OF_LIFE_SECONDS = 20.0, 300.0

Changes = Callable[[Change, Path], None]


class SimulatedService(Service):
    """The service, without signals."""

    adopt: Callable[[Settings], None]
    desk: Desk

    def stop(self) -> None:
        """Do what SIGTERM does."""
        self._stop.set()

    def reload(self) -> None:
        """Do what SIGHUP does."""
        self._on_reload(self.adopt)

    def _listen(self, adopt: Callable[[Settings], None]) -> None:
        self.adopt = adopt

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Desk, Journal]]:
        async with super()._opened() as (desk, journal):
            self.desk = desk
            yield desk, journal


class Life:
    """One process's time."""

    def __init__(self, workspace: Workspace, clock: Clock, chance: random.Random) -> None:
        self.loop = VirtualLoop(clock, chance)
        settings = load_settings(workspace.settings_file)
        venues = {name: table for name, table in settings.venues.items() if name != "paper"}
        self.service = SimulatedService(workspace, msgspec.structs.replace(settings, venues=venues), live=True)
        self.notice: Changes = lambda _change, _path: None
        """What tells of changes of files."""
        self._locks: list[WorkspaceLock] = []

    @property
    def desk(self) -> Desk | None:
        """What the daemon works with, once it is up."""
        return getattr(self.service, "desk", None)

    def run(self, open_venue: Callable[..., object]) -> bool:
        """Run until the service stopped or was killed, and return whether it was killed.

        Raises:
            Exception: the daemon died of it.
        """
        locks = self._locks

        class Lock(WorkspaceLock):
            def acquire(self) -> None:
                locks.append(self)
                super().acquire()

        with (
            mock.patch.object(portfoliod.service, "open_venue", open_venue),
            mock.patch.object(portfoliod.service, "WorkspaceLock", Lock),
            # Nobody else optimizes here, and the kernel would not free the lock of those who only seem dead.
            mock.patch.object(Workspace, "sole_optimizer", contextlib.nullcontext),
            mock.patch.object(
                portfoliod.watcher.watcher,
                "watchfiles",
                SimpleNamespace(awatch=self._awatch, BaseFilter=watchfiles.BaseFilter),
            ),
        ):
            try:
                self.loop.run_until_complete(self.service.run())
            except Killed:
                self._bury()
                return True
            self.loop.close()
            return False

    def _bury(self) -> None:
        """Free what the kernel frees when a process is killed, and let nothing of it run any more."""
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        for lock in self._locks:
            lock.release()
        if self.desk is not None:
            self.desk.journal.close_files()
        GRAVEYARD.append(self)

    async def _awatch(
        self, *_folders: Path, watch_filter: Callable[[Change, str], bool], stop_event: asyncio.Event, **_: object
    ) -> AsyncIterator[set[tuple[Change, str]]]:
        changes: asyncio.Queue[tuple[Change, str] | None] = asyncio.Queue()

        def notice(change: Change, path: Path) -> None:
            if watch_filter(change, str(path)):
                changes.put_nowait((change, str(path)))

        async def stop() -> None:
            await stop_event.wait()
            changes.put_nowait(None)

        self.notice = notice
        stopping = asyncio.create_task(stop())
        try:
            while (change := await changes.get()) is not None:
                yield {change}
        finally:
            stopping.cancel()


GRAVEYARD: list[Life] = []
"""The killed, kept: to collect a coroutine as garbage would run its last lines."""


@contextlib.contextmanager
def simulated_process(clock: Clock, seed: int, hear: Callable[[structlog.typing.EventDict], None]) -> Iterator[None]:
    """Put the virtual clock, seeded chance and a listener in the place of this process's own."""
    chance = random.Random(f"ids {seed}")

    def collect(_logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        hear({**event, "level": method})
        raise structlog.DropEvent

    def identity() -> Any:
        return uuid.UUID(int=chance.getrandbits(128))

    before = structlog.get_config()
    random.seed(f"jitter {seed}")
    structlog.configure(processors=[collect], wrapper_class=structlog.make_filtering_bound_logger(20))
    with (
        mock.patch.object(time, "time", clock.wall),
        mock.patch.object(time, "monotonic", clock.monotonic),
        mock.patch.object(uuid, "uuid4", identity),
        mock.patch.object(portfoliod.service, "STATUS_SECONDS", STATUS_SECONDS),
        mock.patch.object(portfoliod.service, "SIGN_OF_LIFE_SECONDS", SIGN_OF_LIFE_SECONDS),
        mock.patch.object(portfoliod.watcher.watcher, "SCAN_SECONDS", SCAN_SECONDS),
    ):
        try:
            yield
        finally:
            structlog.configure(**before)
