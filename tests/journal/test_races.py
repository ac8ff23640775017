"""Those who write, read and command at the same time, and those who give up or raise in between."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from portfoliod.commands.status import current_status
from portfoliod.commands.switches import resume, unlock
from portfoliod.errors import JournalFailed
from portfoliod.intake import Intake
from portfoliod.journal import Journal
from portfoliod.model import ZERO, HaltCause, HighWater, Intent, IntentStatus, Lock
from portfoliod.settings import load_settings
from portfoliod.switches import HaltSwitch
from portfoliod.watcher import Watcher
from portfoliod.workspace import Workspace
from tests.harness.workspace import Files
from tests.journal.rows import BTC, ETH, new_decision, new_fill, new_intent

ONE = Decimal(1)


@pytest.fixture
def workspace(files: Files) -> Workspace:
    """A workspace whose folders are there."""
    workspace = Workspace(files.root)
    workspace.create()
    return workspace


def with_journal(workspace: Workspace, scenario: Callable[[Journal], Awaitable[None]]) -> None:
    """Run a scenario with the journal open."""

    async def run() -> None:
        async with asyncio.timeout(60), Journal(workspace.journal_file) as journal:
            await scenario(journal)

    asyncio.run(run())


@contextlib.contextmanager
def busy(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold the journal's write lock, as another process does in the middle of a transaction."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        other.execute("COMMIT")


def test_a_read_waits_for_no_write_and_sees_none_that_is_not_committed(workspace: Workspace) -> None:
    """While a write waits for its turn the loop goes on, and what is read is what is on disk."""

    async def scenario(journal: Journal) -> None:
        number, intent = new_intent(journal)
        await journal.intend(number, intent)
        await journal.settle(intent, IntentStatus.REFUSED, "too small")
        await journal.put_meta("fact", "before")
        with busy(workspace.journal_file) as other:
            other.execute("UPDATE meta SET value = 'half' WHERE key = 'fact'")
            writing = asyncio.ensure_future(journal.put_meta("another", "x"))
            assert await journal.meta("fact") == "before"
            assert await journal.filled(intent) == 0
            assert await journal.knows_order(intent.client_id)
            assert not await journal.knows_order("foreign")
            assert [found.client_id for found in await journal.ended_unfilled(BTC, 3)] == [intent.client_id]
            assert not writing.done()
        await writing
        assert await journal.meta("fact") == "half"

    with_journal(workspace, scenario)


def test_a_fill_that_is_recorded_while_the_equity_is_written_keeps_its_mark(workspace: Workspace) -> None:
    """Otherwise the next jump, which the fill explains, would be doubted. A figure that is newer than it clears it."""

    async def scenario(journal: Journal) -> None:
        await journal.believe("paper", 1.0, ONE)
        await journal.record_fills([new_fill("1", "1")])
        before = journal.worths["paper"]
        await asyncio.gather(journal.record_fills([new_fill("2", "1")]), journal.believe("paper", 2.0, ONE))
        assert before.traded
        assert journal.worths["paper"].traded
        async with Journal(workspace.journal_file) as restarted:
            assert restarted.worths["paper"].traded
        await journal.believe("paper", 3.0, ONE)
        assert not journal.worths["paper"].traded

    with_journal(workspace, scenario)


def test_a_listener_that_raises_leaves_nobody_waiting(workspace: Workspace) -> None:
    """Whoever waits for the write that failed is told, the loop is told of the listener, and the next write goes on."""

    async def scenario(journal: Journal) -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        mistake = ValueError("a listener's mistake")

        def raises(_: JournalFailed) -> None:
            raise mistake

        journal.call_on_failure(raises)
        number, intent = new_intent(journal)
        await journal.intend(number, intent)
        for _ in range(2):
            with pytest.raises(JournalFailed):
                await asyncio.wait_for(journal.intend(number, intent), 20)
        assert told == [mistake, mistake]
        await asyncio.wait_for(journal.put_meta("next", "works"), 20)
        assert journal.failed is None

    with_journal(workspace, scenario)


def test_what_is_written_and_cannot_be_taken_in_stays_a_failure(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is behind the disk from then on: no later write makes that good, a restart does."""

    async def scenario(journal: Journal) -> None:
        told: list[str] = []
        journal.call_on_failure(lambda error: told.append(error.found))
        number, intent = new_intent(journal)
        with monkeypatch.context() as patch:
            patch.setattr(journal.state, "open_intents", None)
            with pytest.raises(JournalFailed):
                await journal.intend(number, intent)
        await asyncio.wait_for(journal.put_meta("next", "works"), 20)
        assert journal.failed is not None
        assert len(told) == 1

    async def restarted(journal: Journal) -> None:
        assert len(journal.open_intents) == 1
        await journal.put_meta("next", "works")
        assert journal.failed is None

    with_journal(workspace, scenario)
    with_journal(workspace, restarted)


def test_an_unlock_is_not_lost_to_a_lock_that_was_about_the_position_before_it(workspace: Workspace) -> None:
    """The daemon has not reread yet: its new lock is void, and the key is taken over anew."""

    async def scenario(journal: Journal) -> None:
        await journal.take_over(BTC, ONE, 1.0)
        await journal.lock(Lock(BTC, "drift", ONE, Decimal(2), 1.0))
        unlock(workspace, "BTCUSDT")
        await journal.lock(Lock(BTC, "more drift", ONE, Decimal(3), 2.0))
        await journal.reread_switches()
        assert (journal.locks, journal.books) == ({}, {})
        await journal.take_over(BTC, Decimal(3), 3.0)
        await journal.lock(Lock(BTC, "drift again", Decimal(3), Decimal(4), 4.0))
        await journal.reread_switches()
        assert journal.locks[BTC].reason == "drift again"

    with_journal(workspace, scenario)


def test_a_mark_that_a_person_gave_up_is_reread(workspace: Workspace) -> None:
    """`resume` after a drawdown starts the mark anew in the daemon that runs, too."""

    async def scenario(journal: Journal) -> None:
        await journal.mark(HighWater(("paper",), Decimal(100)))
        HaltSwitch(workspace).trip("far below its high", HaltCause.DRAWDOWN)
        resume(workspace)
        await journal.reread_switches()
        assert journal.high_water is None

    with_journal(workspace, scenario)


def test_a_reread_among_writes_undoes_none_of_them_and_keeps_what_is_equal(workspace: Workspace) -> None:
    """Memory is what is on disk after each of them, and a book that did not change is the same object."""

    async def scenario(journal: Journal) -> None:
        for key in (BTC, ETH):
            await journal.take_over(key, ZERO, 1.0)
        still = journal.books[ETH]
        seen: list[Decimal] = []

        async def reread() -> None:
            await journal.reread_switches()
            seen.append(journal.books[BTC].expected)

        writes = [journal.record_fills([new_fill(str(number), "1")]) for number in range(100)]
        await asyncio.gather(*(task for write in writes for task in (write, reread())))
        assert seen == sorted(seen)
        assert journal.books[BTC].expected == 100
        assert journal.books[ETH] is still

    with_journal(workspace, scenario)


def test_a_caller_that_gives_up_leaves_memory_and_disk_alike(workspace: Workspace) -> None:
    """What it asked for is written all the same, so it is in force."""

    async def scenario(journal: Journal) -> None:
        given_up = asyncio.create_task(journal.decide([new_decision(journal)]))
        other = asyncio.create_task(journal.put_meta("other", "1"))
        await asyncio.sleep(0)
        given_up.cancel()
        await other
        async with Journal(workspace.journal_file) as restarted:
            assert journal.targets == restarted.targets != {}

    with_journal(workspace, scenario)


def test_a_reread_that_failed_is_repeated_by_the_next_scan(files: Files, workspace: Workspace) -> None:
    """An unlock whose signal was seen takes effect once the journal can be read again."""
    files.state("trend", 1.0)

    async def scenario(journal: Journal) -> None:
        await journal.take_over(BTC, ONE, 1.0)
        await journal.lock(Lock(BTC, "drift", ONE, ZERO, 1.0))
        intake = Intake(workspace, journal, 10.0)
        looks: list[bool] = []
        watcher = Watcher(
            intake, journal, changed=lambda _: None, switched=lambda: looks.append(True), retire_removed=False
        )
        await watcher.first_look()
        looks.clear()
        unlock(workspace, "BTCUSDT")
        with contextlib.closing(sqlite3.connect(workspace.journal_file)) as other:
            other.execute("ALTER TABLE retired RENAME TO away")
            await watcher._scan_in_spite_of_all()
            assert (list(journal.locks), looks) == ([BTC], [])
            other.execute("ALTER TABLE away RENAME TO retired")
        await watcher._scan_in_spite_of_all()
        assert (journal.locks, looks) == ({}, [True])
        await watcher._scan_in_spite_of_all()
        assert looks == [True], "what was read is not read again"

    with_journal(workspace, scenario)


@pytest.mark.parametrize(("parts", "left"), [([True, True, False], False), ([True, True], True), ([False], False)])
def test_a_split_order_is_in_parts_until_its_last_part(workspace: Workspace, parts: list[bool], left: bool) -> None:
    """So that after a restart a decision that was carried out long ago keeps to the band."""
    numbers: list[int] = []

    async def send(journal: Journal) -> None:
        decision = new_decision(journal)
        numbers.append(decision.number)
        await journal.decide([decision])
        for part in parts:
            number, intent = new_intent(journal)
            sent = Intent(intent.client_id, BTC, intent.side, ONE, False, decision.number, 1.0, "open", part=part)
            await journal.intend(number, sent)
            await journal.settle(sent, IntentStatus.DONE, "done")

    async def restarted(journal: Journal) -> None:
        assert journal.in_parts == ({BTC: numbers[0]} if left else {})
        await journal.decide([new_decision(journal)])
        assert journal.in_parts == {}

    with_journal(workspace, send)
    with_journal(workspace, restarted)


def test_commands_that_read_leave_no_file_open(files: Files, workspace: Workspace) -> None:
    """A status that is shown every second for days opens as many journals as it closes."""
    files.state("trend", 1.0)
    files.settings("")
    settings = load_settings(workspace.settings_file)

    async def scenario(journal: Journal) -> None:
        await journal.decide([new_decision(journal)])

    with_journal(workspace, scenario)
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            current_status(workspace, settings)
            Intake.at_rest(workspace, settings.risk.max_position)
        workspace.journal_file.write_bytes(b"torn" * 5000)
        for _ in range(5):
            with pytest.raises(JournalFailed):
                current_status(workspace, settings)
        assert len(os.listdir("/proc/self/fd")) == before
    finally:
        gc.enable()
