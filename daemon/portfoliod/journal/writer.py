"""Writes that are on disk when they return.

All go through one thread. Those that wait while it commits share the next commit, so a burst of orders costs a few
flushes of the disk, not one each.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from portfoliod.errors import JournalFailed
from portfoliod.journal.store import Store

Write = Callable[[Store], object]
_Waiting = tuple[list[Write], "asyncio.Future[list[object]]"]


class Writer:
    """The one who writes into a store, which is in the file `path`."""

    def __init__(self, store: Store, path: Path) -> None:
        self.failed: JournalFailed | None = None
        """Set by a write that failed, until one succeeds."""
        self.on_failure: Callable[[JournalFailed], None] = lambda _: None
        """Called when a write failed, whether or not somebody waits for it."""
        self.on_recovery: Callable[[], None] = lambda: None
        """Called when a write succeeded after one that failed."""
        self._store = store
        self._path = path
        self._identity = _identity(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiting: list[_Waiting] = []
        self._flushing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Finish the writes that wait."""
        if self._flushing is not None:
            await self._flushing
        self._thread.shutdown()

    def queue(self, *writes: Write) -> asyncio.Future[list[object]]:
        """Return what will have the results of the writes once they are on disk, in one transaction, or JournalFailed.

        They are on disk before anything that is queued later.
        """
        done: asyncio.Future[list[object]] = asyncio.get_running_loop().create_future()
        self._waiting.append((list(writes), done))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="journal")
        return done

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            if not await self._write_together(batch, last_try=len(batch) == 1):
                for one in batch:  # one bad write must not fail its neighbours
                    await self._write_together([one], last_try=True)
        self._flushing = None

    async def _write_together(self, batch: list[_Waiting], *, last_try: bool) -> bool:
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, self._commit, [writes for writes, _ in batch])
        except Exception as error:  # noqa: BLE001 - whoever wrote it is told, and nobody waits for ever
            if last_try:
                if isinstance(error, JournalFailed):
                    self.failed = error
                    self.on_failure(error)
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            return last_try
        if self.failed is not None:
            self.failed = None
            self.on_recovery()
        for (_, done), result in zip(batch, results, strict=True):
            if not done.done():
                done.set_result(result)
        return True

    def _require_its_file(self) -> None:
        """Refuse to write into a file that was removed or replaced: no restart would ever read that."""
        if _identity(self._path) != self._identity:
            raise OSError("another file is in its place")

    def _commit(self, batch: list[list[Write]]) -> list[list[object]]:
        connection = self._store.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._require_its_file()
            results = [[write(self._store) for write in writes] for writes in batch]
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


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
