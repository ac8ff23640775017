"""Events that are on disk, and then in memory, when they return.

All go through one thread. Those that wait while it commits share the next commit, so a burst of orders costs a few
flushes of the disk, not one each.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from portfoliod.errors import JournalFailed
from portfoliod.journal.events import Event
from portfoliod.journal.store import Store

Written = list[Event | None]
"""What became true by each of some events; None where one changed nothing."""


class _Waiting(NamedTuple):
    events: Sequence[Event]
    done: asyncio.Future[Written]


class Writer:
    """The one who writes into a store, which is in the file `path`."""

    def __init__(self, store: Store, path: Path, apply: Callable[[Event], None]) -> None:
        self.failed: JournalFailed | None = None
        """Set by a write that failed, until one succeeds; for good by what was written and not taken in."""
        self.on_failure: Callable[[JournalFailed], None] = lambda _: None
        """Called when a write failed, whether or not somebody waits for it."""
        self.on_recovery: Callable[[], None] = lambda: None
        """Called when a write succeeded after one that failed."""
        self.turn = asyncio.Lock()
        """Who holds it finds no commit under way, and what is in memory equal to what is on disk."""
        self._store = store
        self._path = path
        self._apply = apply
        self._identity = _identity(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: list[_Waiting] = []
        self._memory_lags = False
        self._flushing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Finish the writes that wait."""
        if self._flushing is not None:
            await self._flushing
        self._thread.shutdown()

    def queue(self, *events: Event) -> asyncio.Future[Written]:
        """Return what will have what became true once it is on disk, in one transaction, and applied; or JournalFailed.

        It is on disk before anything that is queued later.
        """
        done: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(events, done))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="journal")
        return done

    async def _flush(self) -> None:
        try:
            while self._waiting:
                async with self.turn:
                    batch, self._waiting = self._waiting, []
                    if not await self._write_together(batch, last_try=len(batch) == 1):
                        for one in batch:  # one bad write must not fail its neighbours
                            await self._write_together([one], last_try=True)
        finally:
            self._flushing = None

    async def _write_together(self, batch: list[_Waiting], *, last_try: bool) -> bool:
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, self._commit, [events for events, _ in batch])
        except Exception as error:  # noqa: BLE001 - whoever wrote it is told, and nobody waits for ever
            if last_try:
                self._fail(batch, error)
            return last_try
        try:
            for event in (event for written in results for event in written if event is not None):
                self._apply(event)
        except Exception as error:  # noqa: BLE001 - memory is not what is on disk: nothing may be traded by it
            self._memory_lags = True
            failure = JournalFailed("what was written could not be taken in", where=str(self._path), found=repr(error))
            self._fail(batch, failure)
            return True
        for (_, done), written in zip(batch, results, strict=True):
            if not done.done():
                done.set_result(written)
        if self.failed is not None and not self._memory_lags:
            self.failed = None
            _tell(self.on_recovery)
        return True

    def _fail(self, batch: list[_Waiting], error: Exception) -> None:
        if isinstance(error, JournalFailed):
            self.failed = error
        for _, done in batch:
            if not done.done():
                done.set_exception(error)
        if isinstance(error, JournalFailed):
            _tell(self.on_failure, error)

    def _require_its_file(self) -> None:
        """Refuse to write into a file that was removed or replaced: no restart would ever read that."""
        if _identity(self._path) != self._identity:
            raise OSError("another file is in its place")

    def _commit(self, batch: list[Sequence[Event]]) -> list[Written]:
        connection = self._store.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._require_its_file()
            results = [[self._store.store(event) for event in events] for events in batch]
            connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if not isinstance(error, (sqlite3.Error, OSError)):
                raise
            raise JournalFailed(
                "the journal cannot be written",
                where=str(self._path),
                found=str(error),
                kept="no order leaves until it can",
                mend="free the disk, or mend it, then: portfoliod resume",
            ) from error
        return results


def _tell(listener: Callable[..., None], *arguments: object) -> None:
    """Call a listener whose mistakes are the loop's to tell: nobody who waits for a write has to bear them."""
    try:
        listener(*arguments)
    except Exception as error:  # noqa: BLE001
        context = {"message": "a listener of the journal failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
