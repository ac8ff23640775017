"""`portfoliod status`: what the daemon says of itself, or what the files and the journal say where none runs."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from portfoliod.host import holder
from portfoliod.intake import Intake
from portfoliod.journal import Journal, opened_to_read
from portfoliod.model import Key
from portfoliod.reconciler import Standing
from portfoliod.settings import Settings
from portfoliod.status import MarketStatus, Status, VenueStatus, describe, market
from portfoliod.switches import HaltSwitch
from portfoliod.workspace import Workspace


def daemon_status(workspace: Workspace) -> Status | None:
    """Return what the running daemon says of itself, None where none runs or it has not said anything yet."""
    pid = holder(workspace.lock_file)
    if pid is None:
        return None
    with suppress(OSError, msgspec.DecodeError):
        status = msgspec.json.decode(workspace.status_file.read_bytes(), type=Status)
        if status.pid == pid:
            return status
    return None


def current_status(workspace: Workspace, settings: Settings) -> Status:
    """Return what the running daemon says of itself, or what the files and the journal say where none runs."""
    running = daemon_status(workspace)
    if running is not None:
        return running
    with opened_to_read(workspace.journal_file) as journal:
        intake = Intake(workspace, journal, settings.risk.max_position)
        intake.read_all()
        reason = HaltSwitch(workspace).reason()
        markets = [] if journal is None else [_market_at_rest(key, journal) for key in sorted(journal.targets)]
        return describe(
            intake,
            journal,
            state="down",
            mode=settings.mode,
            halt_reason=reason or None,
            venues={
                name: VenueStatus(str(table["driver"]), False, None, None, None)
                for name, table in settings.venues.items()
            },
            markets=markets,
            problems=list(intake.problems.values()),
        )


def _market_at_rest(key: Key, journal: Journal) -> MarketStatus:
    book, lock = journal.books.get(key), journal.locks.get(key)
    return market(
        key,
        journal,
        target=None,
        position=None if book is None else book.expected,
        price=None,
        standing=Standing.UNKNOWN if lock is None else Standing.LOCKED,
        reason="down; position by the journal" if lock is None else lock.reason,
    )
