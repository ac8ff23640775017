"""`portfoliod status`: what the daemon says of itself, or what the files and the journal say where none runs."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from portfoliod.capital import drawdown
from portfoliod.host import holder
from portfoliod.intake import Intake
from portfoliod.journal import Journal, opened_to_read
from portfoliod.model import Key, Standing
from portfoliod.reconciler import EngineSnapshot, MarketSnapshot, VenueSnapshot
from portfoliod.settings import Settings, drivers
from portfoliod.status import Status, describe
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
        return describe(intake, _at_rest(workspace, settings, intake, journal), state="down", mode=settings.mode)


def _at_rest(workspace: Workspace, settings: Settings, intake: Intake, journal: Journal | None) -> EngineSnapshot:
    """Return the engine as it was left."""
    usage = intake.usage(settings.default_venue, drivers(settings))
    worths = {} if journal is None else {name: worth.equity for name, worth in journal.worths.items()}
    capital = usage.view(usage.shown() & drivers(settings).keys(), worths, by_equity=settings.capital == "equity")
    mark, opened = None if journal is None else journal.high_water, usage.opened(drivers(settings))
    return EngineSnapshot(
        halt=HaltSwitch(workspace).read(),
        capital=capital,
        high_water=None if mark is None else mark.equity,
        drawdown=drawdown(mark, worths),
        markets=() if journal is None else tuple(_market_at_rest(key, journal) for key in sorted(journal.targets)),
        venues={name: VenueSnapshot(driver) for name, driver in drivers(settings).items() if name in opened},
    )


def _market_at_rest(key: Key, journal: Journal) -> MarketSnapshot:
    book, lock = journal.books.get(key), journal.locks.get(key)
    return MarketSnapshot(
        key,
        journal.targets[key],
        rules=None,
        position=None if book is None else book.expected,
        price=None,
        standing=Standing.UNKNOWN if lock is None else Standing.LOCKED,
        reason="down; position by the journal" if lock is None else lock.reason,
    )
