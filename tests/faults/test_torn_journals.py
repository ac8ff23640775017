"""A journal that is torn, foreign, newer or older, under the real daemon: refused or updated, never blank."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portfoliod.journal.schema import MIGRATIONS
from tests.faults.file_world import COIN, FileWorld, market, targets
from tests.harness.daemon import Daemon
from tests.tasks.evidence import journal, query

pytestmark = pytest.mark.slow  # a daemon that trades first

Damage = Callable[[Path], None]


def cut_in_half(path: Path) -> None:
    """Lose the end."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def overwrite_the_beginning(path: Path) -> None:
    """Write something else over the first page."""
    with path.open("r+b") as file:
        file.write(b"\xa5" * 4096)


def empty(path: Path) -> None:
    """Lose everything but the name."""
    path.write_bytes(b"")


def vanish_beside_its_log(path: Path) -> None:
    """Lose the name, and leave a write-ahead log."""
    path.with_name("journal.db-wal").write_bytes(path.read_bytes())
    path.unlink()


def become_newer(path: Path) -> None:
    """Be written by a version that is not out yet."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def become_another_database(path: Path) -> None:
    """Be somebody else's."""
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")


DAMAGES: dict[str, Damage] = {
    damage.__name__: damage
    for damage in (
        cut_in_half,
        overwrite_the_beginning,
        empty,
        vanish_beside_its_log,
        become_newer,
        become_another_database,
    )
}


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose daemon bought something and stopped."""
    world = FileWorld(tmp_path_factory.mktemp("traded"))
    world.start({"one": (1.0, COIN)}, weight=0.5)
    targets(world)
    assert world.daemon.terminate() == 0
    return world.root


@pytest.fixture
def world(traded: Path, tmp_path: Path) -> Iterator[FileWorld]:
    """The same, in a folder of its own; no daemon runs."""
    root = tmp_path / "copy"
    shutil.copytree(traded, root, symlinks=True)
    world = FileWorld(root)
    yield world
    if hasattr(world, "daemon"):
        world.daemon.kill()


def contents(root: Path) -> dict[str, bytes]:
    """Return the files that hold what was traded."""
    return {path.name: path.read_bytes() for path in (root / "var").glob("journal.db*") if path.suffix != ".db-shm"}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_fault_41_a_torn_or_newer_journal_is_refused_and_left_as_it_is(world: FileWorld, damage: Damage) -> None:
    """The daemon exits with 1 and says what to mend; it does not start blank, and nothing is traded."""
    damage(world.root / "var/journal.db")
    before = contents(world.root)
    trades = query(world.root / "var/paper-paper.db", "SELECT * FROM trades")
    world.files.state("one", 2.0, f"{COIN}USDT")
    daemon = Daemon(world.root)
    assert daemon.wait() == 1
    said = "\n".join(daemon.other_output)
    assert "journal.db" in said
    assert "mend" in said
    assert contents(world.root) == before
    assert query(world.root / "var/paper-paper.db", "SELECT * FROM trades") == trades


def test_fault_41_an_older_journal_is_brought_up_to_date_beside_a_backup(world: FileWorld) -> None:
    """Positions and decisions stay: nothing is traded by the update, and trading goes on."""
    path = world.root / "var/journal.db"
    as_written_by_the_first_version(path)
    held = world.held()
    daemon = world.restart()
    targets(world)
    assert not daemon.named("order.intended")
    assert world.held() == held
    assert journal(world.root, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert query(path.with_name("journal.db.v1"), "PRAGMA user_version") == [(1,)]
    since = daemon.mark()
    world.files.state("one", 2.0, f"{COIN}USDT")
    daemon.wait_for("order.filled", since=since, symbol=market(COIN))


def as_written_by_the_first_version(path: Path) -> None:
    """Write a journal's rows into tables of the first schema."""
    old = path.with_name("old.db")
    with contextlib.closing(sqlite3.connect(old)) as connection:
        connection.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;")
        connection.execute("ATTACH ? AS new", (str(path),))
        tables = [name for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
        connection.commit()
    for leftover in path.parent.glob("journal.db*"):
        leftover.unlink()
    old.rename(path)
