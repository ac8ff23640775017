"""The places of the order's way where a process can die, and the hand that kills it there.

Installed in the daemon's process before it starts. While the file `armed` lies in the plane's folder, each passage of a
place is written to the file `trail`; at the one that `armed` names, the process kills itself with SIGKILL.
"""

from __future__ import annotations

import collections
import os
import signal
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from portfoliod.journal.events import Event
from portfoliod.journal.journal import Journal
from portfoliod.journal.writer import Writer, Written
from portfoliod.venues.ccxtpro.venue import CcxtVenue
from portfoliod.venues.paper.account import Account
from portfoliod.venues.paper.venue import PaperVenue

QUESTIONS = ("place", "find", "cancel", "positions")


class Plane:
    """Counts the passages of each place, from the moment it is armed."""

    def __init__(self, folder: Path) -> None:
        self._armed = folder / "armed"
        self._trail = folder / "trail"
        self._order: tuple[int, str] | None = None
        self._passed: collections.Counter[str] = collections.Counter()

    def pass_by(self, place: str) -> None:
        """Note that a place is passed, and die there if that is asked for."""
        try:
            found = self._armed.stat().st_mtime_ns
        except FileNotFoundError:
            self._order = None
            return
        if self._order is None or self._order[0] != found:
            self._order = found, self._armed.read_text()
            self._passed.clear()
        self._passed[place] += 1
        passage = f"{place}#{self._passed[place]}"
        with self._trail.open("a") as trail:
            trail.write(f"{passage}\n")
        if passage == self._order[1]:
            os.kill(os.getpid(), signal.SIGKILL)


class Transactions:
    """A connection that passes the plane around each transaction's begin and commit."""

    def __init__(self, connection: sqlite3.Connection, plane: Plane, name: Callable[[], str]) -> None:
        self._connection = connection
        self._plane = plane
        self._name = name

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """Run a statement."""
        name = self._name()
        if not name or not sql.startswith(("BEGIN", "COMMIT")):
            return self._connection.execute(sql, *parameters)
        self._plane.pass_by(f"{name}: before {sql.split(maxsplit=1)[0]}")
        done = self._connection.execute(sql, *parameters)
        if sql == "COMMIT":
            self._plane.pass_by(f"{name}: after COMMIT")
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def install_in(folder: str) -> None:
    """Wrap the journal, the venues and the atomic files of this process."""
    plane = Plane(Path(folder))
    _around_the_journal(plane)
    for kind in (CcxtVenue, PaperVenue):
        for question in QUESTIONS:
            setattr(kind, question, _asked(plane, question, getattr(kind, question)))
    _around_the_paper_account(plane)
    _around_files(plane)


def _around_the_journal(plane: Plane) -> None:
    commit, open_journal = Writer._commit, Journal.__init__
    writing = ""

    def named(self: Writer, batch: list[Sequence[Event]]) -> list[Written]:
        nonlocal writing
        writing = f"journal {'+'.join(sorted({type(event).__name__ for events in batch for event in events}))}"
        return commit(self, batch)

    def opened(self: Journal, path: Path, *, read_only: bool = False) -> None:
        open_journal(self, path, read_only=read_only)
        wrapped: Any = Transactions(self._store.connection, plane, lambda: writing)
        self._store.connection = wrapped

    Writer._commit = named  # type: ignore[method-assign]
    Journal.__init__ = opened  # type: ignore[method-assign]


def _asked(plane: Plane, name: str, question: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    async def asked(self: object, *arguments: object) -> object:
        plane.pass_by(f"venue {name}: before the request")
        answer = await question(self, *arguments)
        plane.pass_by(f"venue {name}: after the reply")
        return answer

    return asked


def _around_the_paper_account(plane: Plane) -> None:
    execute = Account.execute

    def executed(self: Account, *arguments: Any) -> Any:
        plane.pass_by("paper account: before a fill")
        fill = execute(self, *arguments)
        plane.pass_by("paper account: after a fill")
        return fill

    patched: Any = Account
    patched.execute = executed


def _around_files(plane: Plane) -> None:
    make, replace = tempfile.mkstemp, Path.replace

    def made(*arguments: Any, **named: Any) -> Any:
        prefix = named.get("prefix") or ""
        if prefix.startswith("."):
            plane.pass_by(f"file {prefix.strip('.')}: before it is written")
        return make(*arguments, **named)

    def replaced(self: Path, target: Any) -> Path:
        plane.pass_by(f"file {Path(target).name}: before the rename")
        done = replace(self, target)
        plane.pass_by(f"file {Path(target).name}: after the rename")
        return done

    patched: Any = tempfile
    patched.mkstemp = made
    Path.replace = replaced  # type: ignore[method-assign,assignment]
