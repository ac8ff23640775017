"""Reads off the event loop, on a connection that cannot write: no read waits for a commit, none sees half of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from portfoliod.journal.schema import reading
from portfoliod.journal.store import Store

Result = TypeVar("Result")


class Reader:
    """The one who reads in a store, which is in the file `path`."""

    def __init__(self, store: Store, path: Path) -> None:
        self.store = store
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal-reads")

    async def ask(self, read: Callable[[Store], Result]) -> Result:
        """Return what a read finds, all of one moment.

        Raises:
            JournalFailed: the journal cannot be read.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.read, read)

    def read(self, read: Callable[[Store], Result]) -> Result:
        """Do the same at once, in the thread that asks: for who has nothing else to do, such as a start."""
        with reading(self._path):
            self.store.connection.execute("BEGIN")
            try:
                return read(self.store)
            finally:
                self.store.connection.execute("COMMIT")

    def close(self) -> None:
        """Wait for the read that goes on, and close the connection."""
        self._thread.shutdown()
        self.store.connection.close()
