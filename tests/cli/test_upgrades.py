"""What a newer version finds: `check` says before a restart whether it reads the settings and the journal."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from portfoliod.journal import LATEST, Journal
from portfoliod.journal.schema import MIGRATIONS
from tests.harness.canaries import CANARIES
from tests.harness.daemon import run_command
from tests.harness.workspace import Files
from tests.journal.rows import new_decision

pytestmark = pytest.mark.slow  # a command or a daemon in each test


def older_journal(root: Path, version: int = 1) -> Path:
    """Write a journal as an earlier version did, with a decision in force."""
    path = root / "var/journal.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for script in MIGRATIONS[:version]:
            connection.executescript(script)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("INSERT INTO meta VALUES ('workspace', 'w')")
        row = (1, 1.5, "paper", "BTC/USDT:USDT", "1", "10000", "10000", "50000", "0.2", "[]")
        connection.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.execute("INSERT INTO targets VALUES ('paper', 'BTC/USDT:USDT', 1)")
    return path


def fine(root: Path) -> str:
    """Return what `check` finds right."""
    done = run_command(root, "check", "--json")
    return "\n".join(json.loads(done.stdout)["fine"])


@pytest.mark.parametrize("version", range(1, LATEST))
def test_check_says_that_a_start_will_migrate_an_older_journal_and_changes_nothing(files: Files, version: int) -> None:
    path = older_journal(files.root, version)
    before = path.read_bytes()
    said = f"journal: schema {version}; a start brings it to {LATEST}, and leaves a copy in var/journal.db.v{version}"
    assert said in fine(files.root)
    status = json.loads(run_command(files.root, "status", "--json").stdout)
    assert [row["target"] for row in status["markets"]] == ["0.2"]
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.v*"))


def test_check_says_that_a_journal_is_of_this_version(files: Files) -> None:
    (files.root / "var").mkdir()

    async def write() -> None:
        async with Journal(files.root / "var/journal.db") as journal:
            await journal.decide([new_decision(journal)])

    asyncio.run(write())
    assert f"journal: schema {LATEST}, this version's" in fine(files.root)


def test_check_refuses_a_journal_of_a_later_version(files: Files) -> None:
    path = older_journal(files.root)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {LATEST + 1}")
    done = run_command(files.root, "check")
    assert done.returncode == 1
    assert f"schema {LATEST + 1}; this version knows {LATEST}" in done.stdout
    assert "start the newer portfoliod" in done.stdout


def test_check_finds_what_keeps_notifications_from_being_sent(files: Files) -> None:
    """Without a word of the url."""
    token = CANARIES["a notification's token"]
    files.settings(f'[notify]\nurls = ["json://127.0.0.1/a", "nonsense://{token}"]\n')
    done = run_command(files.root, "check")
    assert done.returncode == 78
    assert "notify.urls[1]" in done.stdout
