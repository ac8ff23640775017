"""The tables of journal.db, and how an older one becomes a newer one.

Money and quantities are decimal texts: SQLite's numbers are binary floats.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from portfoliod.errors import JournalFailed

VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- the last good content of each file of the workspace
CREATE TABLE documents (
    name TEXT PRIMARY KEY, content BLOB NOT NULL, hash TEXT NOT NULL, accepted_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE retired (strategy TEXT PRIMARY KEY, inode INTEGER, at REAL NOT NULL) WITHOUT ROWID;

CREATE TABLE decisions (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, venue TEXT NOT NULL, symbol TEXT NOT NULL, exposure TEXT NOT NULL,
    account_value TEXT NOT NULL, notional TEXT NOT NULL, price TEXT NOT NULL, quantity TEXT NOT NULL,
    contributions TEXT NOT NULL
);
-- the decision in force for each key
CREATE TABLE targets (
    venue TEXT, symbol TEXT, decision INTEGER NOT NULL REFERENCES decisions, PRIMARY KEY (venue, symbol)
) WITHOUT ROWID;

CREATE TABLE intents (
    number INTEGER PRIMARY KEY, client_id TEXT NOT NULL UNIQUE, at REAL NOT NULL, venue TEXT NOT NULL,
    symbol TEXT NOT NULL, side TEXT NOT NULL, quantity TEXT NOT NULL, reduce_only INTEGER NOT NULL,
    decision INTEGER NOT NULL, reason TEXT NOT NULL, status TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT ''
);
CREATE INDEX intents_open ON intents (venue, symbol) WHERE status IN ('intended', 'unknown', 'working');

CREATE TABLE fills (
    venue TEXT, symbol TEXT, trade_id TEXT, client_id TEXT NOT NULL, side TEXT NOT NULL, quantity TEXT NOT NULL,
    price TEXT NOT NULL, fee TEXT NOT NULL, fee_currency TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (venue, symbol, trade_id)
) WITHOUT ROWID;
CREATE INDEX fills_by_order ON fills (client_id);

-- what the position of a key must be: what was taken over, plus every fill since
CREATE TABLE books (
    venue TEXT, symbol TEXT, taken_over TEXT NOT NULL, expected TEXT NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (venue, symbol)
) WITHOUT ROWID;

CREATE TABLE locks (
    venue TEXT, symbol TEXT, reason TEXT NOT NULL, expected TEXT NOT NULL, actual TEXT NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (venue, symbol)
) WITHOUT ROWID;

CREATE TABLE equity (venue TEXT, at REAL, equity TEXT NOT NULL, PRIMARY KEY (venue, at)) WITHOUT ROWID;
"""

VERSION_2 = """
-- whether more of the same order was to follow: then what is left of it is no adjustment of its own
ALTER TABLE intents ADD COLUMN part INTEGER NOT NULL DEFAULT 0;
CREATE INDEX intents_in_parts ON intents (decision) WHERE part = 1;

-- what each venue is believed to be worth; `traded`: whether an order of ours filled there since;
-- `doubted`: another figure that it told, at `doubted_at`, and that nobody confirmed yet
CREATE TABLE capital (
    venue TEXT PRIMARY KEY, equity TEXT NOT NULL, at REAL NOT NULL, traded INTEGER NOT NULL DEFAULT 1,
    doubted TEXT, doubted_at REAL
) WITHOUT ROWID;
INSERT INTO capital (venue, equity, at) SELECT venue, equity, max(at) FROM equity GROUP BY venue;
"""

VERSION_3 = """
-- which change of a file it follows from, for whoever reads the log
ALTER TABLE decisions ADD COLUMN cycle TEXT NOT NULL DEFAULT '';
ALTER TABLE intents ADD COLUMN cycle TEXT NOT NULL DEFAULT '';
"""

MIGRATIONS = (VERSION_1, VERSION_2, VERSION_3)
"""The script that leads to each version, from the one before it."""
LATEST = len(MIGRATIONS)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Return a connection to the journal, created or migrated where needed.

    A new journal gets its name only once it is whole: an empty file of that name is a torn one, never a new one.

    Raises:
        JournalFailed: it cannot be opened, is torn, or was written by a newer portfoliod.
    """
    with reading(path, "free the disk or mend its permissions; if it is torn, restore a backup"):
        if not read_only and not path.exists():
            _refuse_orphans(path)
            _create(path)
        if path.stat().st_size == 0:
            mend = "restore it from a backup; only if nothing was ever traded, delete it"
            raise _failed(path, "the file is empty", mend)
        connection = _open(path, read_only=read_only)
        try:
            return _brought_up_to_date(connection, path, read_only=read_only)
        except BaseException:
            connection.close()
            raise


def schema_of(path: Path) -> int:
    """Return the version of the schema that a journal was written with.

    Raises:
        JournalFailed: it cannot be opened, or is torn.
    """
    with reading(path), contextlib.closing(_open(path, read_only=True)) as connection:
        return _version(connection)


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _brought_up_to_date(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Return a connection to a journal of the latest schema: this one, or to a copy where it may not be written."""
    version = _version(connection)
    if version == 0:
        raise _failed(path, "a database without portfoliod's tables", "restore it from a backup")
    if version > LATEST:
        found = f"schema {version}; this version knows {LATEST}"
        raise _failed(path, found, "start the newer portfoliod that wrote it")
    if version == LATEST:
        return connection
    if read_only:
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        copy.row_factory = sqlite3.Row
        connection.backup(copy)
        connection.close()
        _migrate(copy, version)
        return copy
    _back_up(connection, path.with_name(f"{path.name}.v{version}"))
    _migrate(connection, version)
    return connection


@contextlib.contextmanager
def reading(path: Path, mend: str = "restore a backup; never delete it while positions are open") -> Iterator[None]:
    """Turn what a torn or locked journal raises into JournalFailed."""
    try:
        yield
    except (OSError, sqlite3.Error, ValueError, ArithmeticError, msgspec.DecodeError) as error:
        if "readonly" in str(error):
            mend = "run it as the user that the daemon runs as, or free the disk"
        raise _failed(path, str(error), mend) from error


def _refuse_orphans(path: Path) -> None:
    """Start no blank journal beside the write-ahead log of one that vanished: the log may hold the last orders."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size > 0:
        raise _failed(path, f"it is gone, but {log.name} is there", "restore it; or, to start anew, remove both")


def _open(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    # Another thread than this one uses it: Python's own check would forbid it.
    connection = sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    connection = _open(unfinished)
    connection.execute("PRAGMA journal_mode = WAL")
    _migrate(connection, 0)
    connection.execute("INSERT INTO meta (key, value) VALUES ('workspace', ?)", (uuid.uuid4().hex,))
    connection.close()
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")


def _back_up(connection: sqlite3.Connection, copy: Path) -> None:
    target = sqlite3.connect(copy)
    connection.backup(target)
    target.close()


def _failed(path: Path, found: str, mend: str) -> JournalFailed:
    return JournalFailed(
        "the journal cannot be used", where=str(path), found=found, kept="nothing is traded", mend=mend
    )
