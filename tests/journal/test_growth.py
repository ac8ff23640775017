"""A journal that has grown for years: it starts as quickly, and what nobody needs does not grow."""

from __future__ import annotations

import asyncio
import sqlite3
from decimal import Decimal
from pathlib import Path

from portfoliod.journal import Journal
from portfoliod.journal.schema import VERSION_1, connect
from portfoliod.journal.store import Store
from portfoliod.model import Worth
from tests.journal.rows import BTC, new_decision, new_intent

GROWING = ("decisions", "intents", "fills", "equity")
HOUR, DAY = 3600.0, 86_400.0


class Explained:
    """A connection that answers, and keeps how SQLite goes about each query."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self.steps: list[str] = []

    def execute(self, sql: str, parameters: object = ()) -> sqlite3.Cursor:
        """Run a query, and note its plan."""
        plan = self._connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)  # type: ignore[arg-type]
        self.steps += [f"{row[3]}  <-  {sql}" for row in plan]
        return self._connection.execute(sql, parameters)  # type: ignore[arg-type]


def test_no_query_of_a_start_reads_a_whole_table_that_grows(tmp_path: Path) -> None:
    """They go by a key or an index; a scan by the key that ends after some rows is none."""
    path = tmp_path / "journal.db"
    connection = Explained(path)
    store = Store(connection)  # type: ignore[arg-type]
    for read in (store.targets, store.books, store.open_intents, store.locks, store.in_parts, store.worths):
        list(read())
    store.last_numbers()
    scans = [
        step
        for step in connection.steps
        if any(f"SCAN {table}" in step or f"SCAN {table[0]} " in step for table in GROWING)
        and "USING INDEX" not in step
    ]
    assert len(connection.steps) > 8
    assert scans == []


def test_old_equity_is_thinned_to_the_last_of_each_hour(tmp_path: Path) -> None:
    """The last 7 days stay as they were read."""
    path = tmp_path / "journal.db"
    start = 500_000 * HOUR

    async def read_every_quarter_of_an_hour() -> None:
        async with Journal(path) as journal:
            for quarter in range(9 * 24 * 4):
                await journal.believe("main", start + quarter * HOUR / 4, Decimal(quarter))

    asyncio.run(read_every_quarter_of_an_hour())
    connection = sqlite3.connect(path)
    ages = [(start + 9 * DAY - at) / DAY for (at,) in connection.execute("SELECT at FROM equity ORDER BY at")]
    connection.close()
    old = [age for age in ages if age > 7.2]
    assert len(old) == len({round(age * 24 + 0.5) for age in old}) >= 40
    assert len([age for age in ages if age <= 7]) == 7 * 24 * 4


def test_a_journal_of_the_first_schema_is_brought_up_to_date_beside_a_backup(tmp_path: Path) -> None:
    """Orders, decisions and what the accounts were worth go on; the first jump after it is not doubted."""
    path = tmp_path / "journal.db"
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("PRAGMA journal_mode = WAL")
    old.executescript(f"BEGIN; {VERSION_1}; PRAGMA user_version = 1; COMMIT;")
    old.execute("INSERT INTO meta VALUES ('workspace', 'w')")
    old.execute(
        "INSERT INTO intents VALUES (7, 'id', 1.5, 'paper', ?, 'buy', '0.5', 0, 1, 'open', 'unknown', '')", BTC[1:]
    )
    old.executemany("INSERT INTO equity VALUES ('paper', ?, ?)", [(1.0, "10000.5"), (2.0, "9000.25")])
    old.close()

    async def go_on() -> None:
        async with Journal(path) as journal:
            assert journal.worths == {"paper": Worth(Decimal("9000.25"), 2.0, traded=True)}
            (intent,) = journal.unresolved(BTC)
            assert (intent.client_id, intent.quantity, intent.part) == ("id", Decimal("0.5"), False)
            await journal.decide([new_decision(journal)])
            number, _ = new_intent(journal)
            assert number == 8

    asyncio.run(go_on())
    backup = sqlite3.connect(tmp_path / "journal.db.v1")
    assert backup.execute("PRAGMA user_version").fetchone() == (1,)
    assert backup.execute("SELECT count(*) FROM equity").fetchone() == (2,)
    backup.close()
