"""halt, resume, flatten, unlock and retire: they change files and the journal, and return what to say."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress

from portfoliod.commands.status import current_status, daemon_status
from portfoliod.errors import JournalFailed, PortfoliodError
from portfoliod.host import holder
from portfoliod.journal import (
    CONFIRMED,
    Dropped,
    Marked,
    Noted,
    Released,
    Retired,
    Retirement,
    Store,
    change,
    opened_to_read,
)
from portfoliod.logs import start_log
from portfoliod.model import ZERO, HaltCause, Key, Standing
from portfoliod.service import Service, exit_code_of
from portfoliod.settings import Settings
from portfoliod.status import plain
from portfoliod.switches import HaltSwitch
from portfoliod.workspace import STRATEGY_NAME, Workspace, signature

FLATTEN_SECONDS = 60.0


def halt(workspace: Workspace, reason: str) -> str:
    """Create var/HALT and say so."""
    switch = HaltSwitch(workspace)
    if (before := switch.read()) is not None:
        return f"already halted: {before.reason}"
    reason = reason or "halted by the operator"
    switch.trip(reason)
    _require_halt(workspace)
    return f"halted: {reason}\nnothing that adds exposure is sent until: portfoliod resume"


def resume(workspace: Workspace) -> str:
    """Remove var/HALT and say so."""
    was = HaltSwitch(workspace).clear()
    halted = was is not None or _halted_in_memory(workspace)
    sentences = ["resumed: targets are traded again" if halted else "not halted"]
    try:
        sentences += _confirm(workspace, anew=was is not None and was.cause is HaltCause.DRAWDOWN)
    finally:
        _wake(workspace)
    return "\n".join(sentences)


def _halted_in_memory(workspace: Workspace) -> bool:
    """Return whether the daemon says that it is halted, in a status that is newer than the last resume."""
    running, written = daemon_status(workspace), signature(workspace.status_file)
    if running is None or running.state != "halted" or written is None:
        return False
    with suppress(JournalFailed), opened_to_read(workspace.journal_file) as journal:
        return journal is None or written.modified_ns / 1e9 > journal.state.confirmed_at
    return True  # a journal that fails is what halts in memory


def _confirm(workspace: Workspace, *, anew: bool) -> list[str]:
    """Stand by what the venues tell of their equity, and return what there is to say about it.

    Args:
        workspace: the daemon's.
        anew: measure the drawdown from now on.
    """
    if not workspace.journal_file.exists():
        return []

    def note(store: Store) -> list[str]:
        store.store(Noted(CONFIRMED, repr(time.time())))
        if anew:
            store.store(Marked(None))
        return [
            f"confirmed: the equity of {venue}, {worth.doubted:f} after {worth.equity:f}"
            for venue, worth in sorted(store.worths().items())
            if worth.doubted is not None
        ]

    return change(workspace.journal_file, note)


def flatten(workspace: Workspace, settings: Settings, *, verbose: bool) -> tuple[int, str]:
    """Halt, close every managed position, and return the exit code and what to say."""
    HaltSwitch(workspace).trip("flattened by the operator", flatten=True)
    _require_halt(workspace)
    again = "halted; after `portfoliod resume` the targets are traded again"
    if holder(workspace.lock_file) is None:
        start_log("auto", verbose=verbose)
        looks = asyncio.run(Service(workspace, settings, live=True).close_positions())
        code = exit_code_of(looks)
        open_keys = [str(key) for key, look in looks.items() if look.standing is not Standing.IN_STEP]
    else:
        _wake(workspace)
        open_keys = _wait_until_flat(workspace, settings)
        code = 1 if open_keys else 0
    if open_keys:
        return max(code, 1), f"not closed yet: {', '.join(open_keys)}\n{again}"
    return 0, f"every managed position is closed\n{again}"


def _wait_until_flat(workspace: Workspace, settings: Settings) -> list[str]:
    """Wait for a status of the running daemon that is newer than the halt and shows no position."""
    since = time.time()
    deadline = time.monotonic() + FLATTEN_SECONDS
    while True:
        status = current_status(workspace, settings)
        still = [row.symbol for row in status.markets if row.status is not Standing.IN_STEP or not row.flat]
        fresh = (found := signature(workspace.status_file)) is not None and found.modified_ns / 1e9 > since
        if (fresh and not still and status.state == "halted") or time.monotonic() > deadline or status.state == "down":
            return still
        time.sleep(0.1)


def unlock(workspace: Workspace, symbol: str) -> str:
    """Lift the locks of a symbol and say which. Orders there whose outcome nothing shows count as over from then on.

    Raises:
        PortfoliodError: nothing of that name is locked.
    """

    def lift(store: Store) -> tuple[list[Key], list[Key]]:
        locked = list(store.locks())
        meant = [key for key in locked if _names(key, symbol)]
        for key in meant:
            store.store(Released(key))
        return meant, locked

    lifted, locked = change(workspace.journal_file, lift) if workspace.journal_file.exists() else ([], [])
    if not lifted:
        names = ", ".join(str(key) for key in locked) or "nothing"
        raise PortfoliodError(
            "not locked", where=symbol, found=f"locked is: {names}", mend="portfoliod status shows the locks"
        )
    _wake(workspace)
    return "\n".join(f"unlocked: {key}; its position is taken over as it is" for key in lifted)


def forget(workspace: Workspace, symbol: str) -> str:
    """Take a market out of the books, whatever is wanted or held there, and say what is not followed any more.

    Raises:
        PortfoliodError: no market of that name is managed.
    """

    def drop(store: Store) -> tuple[list[str], list[Key]]:
        state = store.state()
        managed = sorted({*state.targets, *state.books, *(intent.key for intent in state.open_intents.values())})
        meant = [key for key in managed if _names(key, symbol)]
        said = []
        for key in meant:
            target, book = state.targets.get(key), state.books.get(key)
            orders = sum(intent.key == key for intent in state.open_intents.values())
            said.append(
                f"forgotten: {key}; its target was {plain(target.quantity if target else ZERO)}, "
                f"its position by our fills {plain(book.expected if book else ZERO)}, open orders {orders}"
            )
            store.store(Dropped(key))
        return said, managed

    said, managed = change(workspace.journal_file, drop) if workspace.journal_file.exists() else ([], [])
    if not said:
        found = f"managed is: {', '.join(map(str, managed)) or 'nothing'}"
        raise PortfoliodError("no such market", where=symbol, found=found, mend="portfoliod status lists them")
    _wake(workspace)
    return "\n".join(
        [*said, "what is held there is yours to close; a strategy that names the market takes it up again"]
    )


def retire(workspace: Workspace, name: str) -> str:
    """Take a strategy out for good and say so.

    Raises:
        PortfoliodError: there is no such strategy.
    """
    folder = workspace.strategies / name
    found = signature(folder) if STRATEGY_NAME.fullmatch(name) else None
    prefix = f"strategies/{name}/"

    def take_out(store: Store) -> bool:
        known = found is not None or any(document.name.startswith(prefix) for document in store.documents())
        if known:
            store.store(Retired(Retirement(name, None if found is None else found.inode), time.time()))
        return known

    workspace.create()
    if not change(workspace.journal_file, take_out):
        raise PortfoliodError(
            "no such strategy", where=str(folder), kept="nothing was changed", mend="portfoliod status lists them"
        )
    _wake(workspace)
    if found is None:
        return f"retired: {name}; what it held is closed, and a folder of that name is a new strategy"
    return f"retired: {name}; what it held is closed, and its folder is ignored until it was away"


def _require_halt(workspace: Workspace) -> None:
    if not workspace.halted():
        raise PortfoliodError(
            "var/HALT cannot be written",
            where=str(workspace.halt_file),
            kept="the daemon is not halted",
            mend="free the disk, mend var/, or run it as the daemon's user",
        )


def _wake(workspace: Workspace) -> None:
    """Let a running daemon look at the journal and the switches."""
    with suppress(OSError):
        workspace.wake_file.touch()
        os.utime(workspace.wake_file)


def _names(key: Key, symbol: str) -> bool:
    """Return whether a person who writes a symbol means a market."""
    return _letters(symbol) in {_letters(key.symbol), _letters(key.symbol.partition(":")[0])}


def _letters(symbol: str) -> str:
    return "".join(letter for letter in symbol.upper() if letter.isalnum())
