"""The journal on a bad day: torn, foreign, newer, read-only, a full disk, a kill at any instant."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from portfoliod.errors import JournalFailed
from portfoliod.journal import Document, Journal, Noted, change
from portfoliod.journal.schema import MIGRATIONS
from tests.journal.rows import BTC, ETH, new_decision, new_fill, new_intent

STORM = textwrap.dedent("""
    import asyncio, pathlib, sys
    from decimal import Decimal
    from portfoliod.journal import Journal
    from portfoliod.model import Fill, Intent, IntentStatus, Key, Side

    KEY = Key("paper", "BTC/USDT:USDT")
    ONE = Decimal(1)

    async def writer(journal):
        while True:
            number, client_id = journal.next_client_id(KEY, 0.0)
            intent = Intent(client_id, KEY, Side.BUY, ONE, False, 1, 0.0, "open")
            await journal.intend(number, intent)
            fill = Fill(KEY, f"t{number}", client_id, Side.BUY, ONE, ONE, ONE, "USDT", 0.0)
            await journal.settle(intent, IntentStatus.DONE, "done", [fill])
            print(client_id, fill.trade_id, flush=True)

    async def main():
        async with Journal(pathlib.Path(sys.argv[1])) as journal:
            await journal.take_over(KEY, Decimal(0), 0.0)
            await asyncio.gather(*(writer(journal) for _ in range(4)))

    asyncio.run(main())
""")

COMMITS = textwrap.dedent("""
    import asyncio, os, pathlib, signal, sys
    from portfoliod.journal import Journal

    async def main():
        journal = Journal(pathlib.Path(sys.argv[1]))
        for number in range(int(sys.argv[2])):
            await journal.put_meta(f"commit {number}", "done")
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())
""")

KILLED_AT_CREATION = """
    import asyncio, os, pathlib, signal, sys
    from portfoliod.journal import Journal

    calls = 0

    def count(event, arguments):
        global calls
        if event in {"sqlite3.connect", "os.rename", "open", "os.remove", "os.utime", "sqlite3.connect/handle"}:
            if calls == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1

    sys.addaudithook(count)
    Journal(pathlib.Path(sys.argv[1]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with something of everything in it, larger than a few pages."""
    path = tmp_path / "journal.db"

    async def fill() -> None:
        async with Journal(path) as journal:
            for number in range(40):
                await journal.decide([new_decision(journal, key) for key in (BTC, ETH)])
                await journal.intend(*new_intent(journal))
                await journal.record_fills([new_fill(str(number), "1")])
                journal.keep_document(Document(f"strategies/s{number}/state.json", b"x" * 500, "h"), 1.0)

    asyncio.run(fill())
    return path


def refused(path: Path, *, read_only: bool = False) -> JournalFailed:
    """Return the error with which a journal is refused; fail where it opens."""

    async def open_it() -> None:
        async with Journal(path, read_only=read_only):
            pass

    with pytest.raises(JournalFailed) as caught:
        asyncio.run(open_it())
    assert str(path) in caught.value.where
    assert caught.value.found
    assert caught.value.kept
    assert caught.value.mend
    return caught.value


@pytest.mark.parametrize("read_only", [False, True])
def test_an_empty_file_is_refused(tmp_path: Path, *, read_only: bool) -> None:
    """A file of 0 bytes is a torn journal: it is never started blank."""
    path = tmp_path / "journal.db"
    path.touch()
    refused(path, read_only=read_only)
    assert path.stat().st_size == 0


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    """A journal of a newer portfoliod is not touched: the error says which versions meet."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    assert str(len(MIGRATIONS) + 1) in refused(path).found
    assert path.read_bytes() == before
    with pytest.raises(JournalFailed):
        change(path, lambda store: store.store(Noted("x", "y")))
    assert path.read_bytes() == before


def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Somebody else's SQLite file does not get our tables."""
    path = tmp_path / "journal.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    refused(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"\0" * 4096, b"not a database " * 1000, b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 8000, b"\n"],
    ids=["zeros", "text", "header only", "header and garbage", "a newline"],
)
def test_garbage_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """What is no journal is told as such, and kept for whoever mends it."""
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    refused(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_journal_that_lost_its_end_is_refused(path: Path, share: float) -> None:
    """A file that was cut off is refused as JournalFailed: nothing is traded on the half that is left."""
    content = path.read_bytes()
    pages = max(1, int(len(content) * share) // 4096)
    path.write_bytes(content[: pages * 4096])
    refused(path)


@pytest.mark.parametrize("seed", range(6))
def test_a_journal_with_garbage_in_it_is_refused_or_right(path: Path, seed: int) -> None:
    """Pages that were overwritten are JournalFailed, and nothing else; where nothing we read was hit, all is there."""
    chance = random.Random(seed)
    content = bytearray(path.read_bytes())
    pages = len(content) // 4096
    for page in chance.sample(range(1, pages), max(1, pages // 2)):
        content[page * 4096 : (page + 1) * 4096] = chance.randbytes(4096)
    path.write_bytes(content)

    async def open_it() -> None:
        async with Journal(path) as journal:
            assert set(journal.targets) == {BTC, ETH}
            assert len(journal.open_intents) == 40
            assert len(journal.documents()) == 40

    with contextlib.suppress(JournalFailed):
        asyncio.run(open_it())


def test_a_journal_whose_file_vanished_is_not_started_blank_beside_its_log(path: Path) -> None:
    """journal.db-wal without journal.db is what is left of a journal, not a new workspace."""
    process = subprocess.run(
        [sys.executable, "-c", COMMITS, str(path), "3"], capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    log = path.with_name("journal.db-wal")
    assert log.stat().st_size > 0
    path.unlink()
    refused(path)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    """A journal path that is a folder, or below a file, is JournalFailed."""
    (tmp_path / "journal.db").mkdir()
    refused(tmp_path / "journal.db")
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "journal.db")
    refused(tmp_path / "no" / "such" / "folder" / "journal.db")


def run_on_small_disk(script: str, disk: Path) -> None:
    """Run a script that finds a disk of 512 KiB at its first argument; the disk goes when the script ends."""
    disk.mkdir()
    private = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=512k tmpfs "$0" && exec "$@"', str(disk)]
    if subprocess.run([*private, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here")
    command = [*private, sys.executable, "-c", textwrap.dedent(script), str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_read_only_disk_is_refused(tmp_path: Path) -> None:
    """On a disk that cannot be written no new journal opens, and an existing one takes no write."""
    script = """
        import asyncio, pathlib, subprocess, sys
        from portfoliod.errors import JournalFailed
        from portfoliod.journal import Journal, Noted, change

        disk = pathlib.Path(sys.argv[1])

        async def write(name, value):
            async with Journal(disk / name) as journal:
                await journal.put_meta("x", value)

        asyncio.run(write("journal.db", "y"))
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        attempts = [
            lambda: asyncio.run(write("new.db", "y")),
            lambda: asyncio.run(write("journal.db", "z")),
            lambda: change(disk / "journal.db", lambda store: store.store(Noted("x", "z"))),
        ]
        for attempt in attempts:
            try:
                attempt()
            except JournalFailed as error:
                assert error.found and error.mend
            else:
                raise AssertionError("written")
    """
    run_on_small_disk(script, tmp_path / "disk")


def test_a_full_disk_fails_the_write_and_says_so_until_there_is_room(tmp_path: Path) -> None:
    """JournalFailed for who waits, `failed` for who sends orders; what was written before stays; room clears it."""
    script = """
        import asyncio, contextlib, pathlib, sys
        from portfoliod.errors import JournalFailed
        from portfoliod.journal import Document, Journal
        from portfoliod.model import ZERO, IntentStatus
        from tests.journal.rows import BTC, new_fill, new_intent

        disk = pathlib.Path(sys.argv[1])
        LARGE = "x" * 600_000

        async def fails(journal, attempt):
            try:
                await attempt
            except JournalFailed as error:
                assert journal.failed is error
            else:
                raise AssertionError("written")

        async def main():
            async with Journal(disk / "journal.db") as journal:
                await journal.intend(*new_intent(journal))
                await journal.take_over(BTC, ZERO, 1.0)
                ballast = (disk / "ballast").open("wb", buffering=0)
                with contextlib.suppress(OSError), ballast:
                    while True:
                        ballast.write(b"x" * 512)
                number, unwritten = new_intent(journal)
                await fails(journal, journal.put_meta("large", LARGE))
                fill = new_fill("1", "1")
                await fails(journal, journal.settle(unwritten, IntentStatus.DONE, LARGE, [fill]))
                assert journal.books[BTC].expected == 0
                journal.keep_document(Document("file", b"x" * 60_000, "h"), 1.0)
                await fails(journal, journal.put_meta("large", LARGE))
                (disk / "ballast").unlink()
                await journal.intend(number, unwritten)
                assert journal.failed is None
                assert await journal.record_fills([fill]) == [fill]
            async with Journal(disk / "journal.db") as journal:
                assert len(journal.unresolved(BTC)) == 2
                assert journal.books[BTC].expected == 1
                assert await journal.meta("large") is None
                assert [document.name for document in journal.documents()] == ["file"]

        asyncio.run(main())
    """
    run_on_small_disk(script, tmp_path / "disk")


def test_a_file_that_may_not_grow_fails_the_write_and_says_so_until_it_may(tmp_path: Path) -> None:
    """The same by a limit on file sizes: an error of the operating system in the middle of a commit."""
    script = """
        import asyncio, pathlib, resource, sys
        from portfoliod.errors import JournalFailed
        from portfoliod.journal import Journal

        async def main():
            async with Journal(pathlib.Path(sys.argv[1])) as journal:
                await journal.put_meta("before", "1")
                _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
                try:
                    await journal.put_meta("large", "x" * 500_000)
                except JournalFailed as error:
                    assert journal.failed is error
                else:
                    raise AssertionError("written")
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
                await journal.put_meta("after", "1")
                assert journal.failed is None

        asyncio.run(main())
    """
    path = tmp_path / "journal.db"
    done = run_script(script, path)
    assert done.returncode == 0, done.stderr

    async def read() -> None:
        async with Journal(path) as journal:
            assert [await journal.meta(key) for key in ("before", "large", "after")] == ["1", None, "1"]

    asyncio.run(read())


def run_script(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("lines", [1, 7, 40, 150])
def test_what_was_written_survives_a_kill(tmp_path: Path, lines: int) -> None:
    """SIGKILL in the middle of a storm of writes: each write whose await returned is there, whole, counted once."""
    path = tmp_path / "journal.db"
    process = subprocess.Popen([sys.executable, "-c", STORM, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        said = [output.readline() for _ in range(lines)]
        process.kill()
        said += output.readlines()
    assert process.wait() == -signal.SIGKILL
    whole = [line.split() for line in said if line.endswith("\n")]
    assert len(whole) >= lines

    async def read() -> None:
        async with Journal(path) as journal:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                trades = {trade for (trade,) in connection.execute("SELECT trade_id FROM fills")}
                done = {client for (client,) in connection.execute("SELECT client_id FROM intents")}
            assert {trade for _, trade in whole} <= trades
            assert {client for client, _ in whole} <= done
            assert all([await journal.knows_order(client) for client, _ in whole])
            assert journal.books[BTC].expected == len(trades)
            assert journal.next_client_id(BTC, 0.0)[1] not in done

    asyncio.run(read())


@pytest.mark.slow
def test_a_kill_while_a_journal_is_created_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    """The first start may be killed at any write: the next one has a journal that works, never a torn one."""
    path = tmp_path / "journal.db"
    for number in range(12):
        killed = run_script(KILLED_AT_CREATION, path, number)
        assert killed.returncode in {0, -signal.SIGKILL}, killed.stderr

        async def use() -> None:
            async with Journal(path) as journal:
                assert journal.workspace_id
                await journal.put_meta("works", "1")

        asyncio.run(use())
        for file in tmp_path.iterdir():
            file.unlink()
