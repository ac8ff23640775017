"""Changes that a command makes beside a running daemon, or without one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from portfoliod.errors import JournalFailed
from portfoliod.journal.schema import connect
from portfoliod.journal.store import Store

Result = TypeVar("Result")


def change(path: Path, write: Callable[[Store], Result]) -> Result:
    """Do one change in a transaction of its own and return its result.

    Raises:
        JournalFailed: nothing was changed.
    """
    connection = connect(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        result = write(Store(connection))
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise JournalFailed(
            "the journal cannot be written",
            where=str(path),
            found=str(error),
            kept="nothing was changed",
            mend="free the disk, or mend it",
        ) from error
    else:
        return result
    finally:
        connection.close()
