"""`portfoliod status`: what the daemon says of itself, or what the files and the journal say where none runs."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from portfoliod.host import holder
from portfoliod.intake import Intake
from portfoliod.journal import Journal
from portfoliod.model import Key
from portfoliod.reconciler import Standing
from portfoliod.settings import Settings, drivers
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
    journal = Journal(workspace.journal_file, read_only=True) if workspace.journal_file.exists() else None
    intake = Intake(workspace, journal, settings.risk.max_position)
    intake.read_all()
    halt = HaltSwitch(workspace).read()
    usage = intake.usage(settings.default_venue, drivers(settings))
    worths = {} if journal is None else {name: worth.equity for name, worth in journal.worths.items()}
    closed = {
        name: VenueStatus(driver, connected=False, equity=None, position_mode=None, problem=None)
        for name, driver in drivers(settings).items()
        if name in usage.opened(drivers(settings))
    }
    markets = [] if journal is None else [_market_at_rest(key, journal) for key in sorted(journal.targets)]
    return describe(
        intake,
        account_value=usage.view(usage.shown(), worths, by_equity=settings.capital == "equity").account_value,
        state="down",
        mode=settings.mode,
        halt_reason=None if halt is None else halt.reason,
        venues=closed,
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
        flat=book is not None and book.expected == 0,
    )
