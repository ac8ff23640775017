"""The journal: what is written stays, once, in order, and is what the next process starts from."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfoliod.errors import JournalFailed
from portfoliod.journal import Document, Journal, Noted, Released, Retirement, Store, change
from portfoliod.journal.events import Intended
from portfoliod.model import ZERO, Book, Fill, HighWater, IntentStatus, Key, Lock, Worth
from tests.journal.rows import BTC, ETH, new_decision, new_fill, new_intent

NOT_FINAL = [IntentStatus.INTENDED, IntentStatus.UNKNOWN, IntentStatus.WORKING]
FINAL = [IntentStatus.DONE, IntentStatus.REFUSED, IntentStatus.CANCELLED]


def with_journal(path: Path, scenario: Callable[[Journal], Awaitable[None]]) -> None:
    """Run a scenario with the journal open."""

    async def run() -> None:
        async with asyncio.timeout(60), Journal(path) as journal:
            await scenario(journal)

    asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal may be."""
    return tmp_path / "journal.db"


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """Return what a query finds in the file, through a connection of its own."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_everything_written_is_there_after_reopening(path: Path) -> None:
    """Decisions, intents, books, locks, documents, retirements, facts and equity survive, value for value."""
    lock = Lock(ETH, "drift", Decimal("1.5"), Decimal("1.25"), 7.5)
    document = Document("strategies/carry/state.json", b'{"x":1}\x00\xff', "abc")
    written: dict[str, object] = {}

    async def write(journal: Journal) -> None:
        decisions = [new_decision(journal), new_decision(journal, ETH, "-2")]
        await journal.decide(decisions)
        number, intent = new_intent(journal)
        await journal.intend(number, intent)
        await journal.take_over(BTC, Decimal("0.25"), 5.0)
        await journal.record_fills([new_fill("1", "0.125")])
        await journal.lock(lock)
        journal.keep_document(document, 3.0)
        await journal.retire(Retirement("old", 42), 4.0)
        await journal.put_meta("fact", "value")
        await journal.believe("paper", 1.0, Decimal("10000.5"))
        await journal.believe("paper", 2.0, Decimal("9999.5"))
        await journal.doubt("paper", 3.0, Decimal("5000.5"))
        await journal.mark(HighWater(("paper",), Decimal("10000.5")))
        written.update(workspace=journal.workspace_id, targets=journal.targets, intents=journal.open_intents)

    async def read(journal: Journal) -> None:
        assert journal.workspace_id == written["workspace"] != ""
        assert journal.targets == written["targets"]
        assert journal.open_intents == written["intents"]
        assert journal.books == {BTC: Book(BTC, Decimal("0.25"), Decimal("0.375"))}
        assert journal.locks == {ETH: lock}
        assert journal.documents() == [document]
        assert journal.retirements() == [Retirement("old", 42)]
        assert await journal.meta("fact") == "value"
        assert journal.worths == {"paper": Worth(Decimal("9999.5"), 2.0, doubted=Decimal("5000.5"), doubted_at=3.0)}
        assert journal.high_water == HighWater(("paper",), Decimal("10000.5"))

    with_journal(path, write)
    with_journal(path, read)


@settings(deadline=None, max_examples=30)
@given(
    quantities=st.lists(
        st.decimals("-1e12", "1e12", places=12).filter(lambda value: value != 0), min_size=1, max_size=5
    )
)
def test_numbers_come_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, quantities: list[Decimal]
) -> None:
    """Quantities are decimal texts: no binary float rounds them on their way through the file."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"

    async def write(journal: Journal) -> None:
        for quantity in quantities:
            await journal.decide([new_decision(journal, ETH, str(quantity))])

    async def read(journal: Journal) -> None:
        assert str(journal.targets[ETH].quantity) == str(quantities[-1])

    with_journal(path, write)
    with_journal(path, read)


def test_the_last_decision_of_a_key_is_in_force(path: Path) -> None:
    """A new decision replaces the key's, not another key's; numbers go on after a restart and are given once."""

    async def write(journal: Journal) -> None:
        await journal.decide([new_decision(journal, BTC, "1"), new_decision(journal, ETH, "2")])
        await journal.decide([new_decision(journal, BTC, "3")])

    async def read(journal: Journal) -> None:
        assert {key: decision.quantity for key, decision in journal.targets.items()} == {BTC: 3, ETH: 2}
        assert journal.targets[BTC].number == 3
        assert [journal.next_decision() for _ in range(3)] == [4, 5, 6]

    with_journal(path, write)
    with_journal(path, read)
    assert rows(path, "SELECT count(*) FROM decisions") == [(3,)]


def test_concurrent_writes_are_all_durable_and_in_order(path: Path) -> None:
    """Writers that do not wait for each other share commits; each is on disk when its await returns, in its turn."""

    async def scenario(journal: Journal) -> None:
        done: list[int] = []

        async def writer(number: int) -> None:
            await journal.believe("paper", float(number), Decimal(number))
            done.append(number)
            on_disk = {int(str(at)) for (at,) in rows(path, "SELECT CAST(at AS INTEGER) FROM equity")}
            assert on_disk.issuperset(done)

        await asyncio.gather(*(writer(number) for number in range(300)))
        assert done == list(range(300))

    with_journal(path, scenario)
    assert rows(path, "SELECT count(*) FROM equity") == [(300,)]


def test_writes_of_one_call_are_done_whole_or_not_at_all(path: Path) -> None:
    """A call whose second write fails leaves nothing of its first."""

    async def scenario(journal: Journal) -> None:
        intended = new_intent(journal)
        with pytest.raises(JournalFailed):
            await journal.write(Noted("half", "done"), Intended(*intended), Intended(*intended))
        assert await journal.meta("half") is None
        assert journal.open_intents == {}
        await journal.put_meta("next", "works")

    with_journal(path, scenario)


def test_a_document_is_on_disk_before_anything_written_later(path: Path) -> None:
    """`keep_document` returns at once, but a decision that follows from the document never outlives it."""

    async def scenario(journal: Journal) -> None:
        for number in range(20):
            journal.keep_document(Document("config", str(number).encode(), str(number)), 1.0)
            await journal.put_meta("decided on", str(number))
            assert rows(path, "SELECT hash FROM documents") == [(str(number),)]

    with_journal(path, scenario)


def test_a_write_that_raises_anything_reaches_its_caller_and_blocks_nobody(path: Path) -> None:
    """An exception that is no database error is told to the one who wrote it; the next write goes through."""

    async def scenario(journal: Journal) -> None:
        async with asyncio.timeout(5):
            with pytest.raises(UnicodeEncodeError):
                await journal.put_meta("\ud800", "no text")
            await journal.put_meta("next", "works")
        assert await journal.meta("next") == "works"

    async def run() -> None:
        journal = Journal(path)
        try:
            await scenario(journal)
        finally:
            await asyncio.wait_for(asyncio.gather(journal.close(), return_exceptions=True), 5)

    asyncio.run(run())


fills = st.lists(
    st.tuples(st.integers(1, 8), st.sampled_from(["0.5", "-0.25", "0.001", "-3"]), st.sampled_from([BTC, ETH])),
    max_size=30,
)


@settings(deadline=None, max_examples=50)
@given(reported=fills, cuts=st.lists(st.integers(0, 30), max_size=4), taken_over=st.sampled_from(["0", "1.5", "-7"]))
def test_a_fill_counts_once_however_often_and_in_whatever_order_it_is_reported(
    tmp_path_factory: pytest.TempPathFactory, reported: list[tuple[int, str, Key]], cuts: list[int], taken_over: str
) -> None:
    """What a position must be is what was taken over plus each trade id's fill, once, also over restarts."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    first: dict[tuple[Key, str], Fill] = {}
    reports = [new_fill(str(trade), quantity, key=key) for trade, quantity, key in reported]
    for fill in reports:
        first.setdefault((fill.key, fill.trade_id), fill)
    expected = {
        key: Decimal(taken_over) + sum((fill.signed for (of, _), fill in first.items() if of == key), ZERO)
        for key in (BTC, ETH)
    }
    edges = sorted({0, *cuts, len(reports)})

    async def take_over(journal: Journal) -> None:
        for key in (BTC, ETH):
            await journal.take_over(key, Decimal(taken_over), 1.0)

    with_journal(path, take_over)
    counted: list[Fill] = []
    for start, end in itertools.pairwise(edges):

        async def report(journal: Journal, part: list[Fill] = reports[start:end]) -> None:
            counted.extend(await journal.record_fills(part))
            for fill in part:
                assert await journal.record_fills([fill]) == []

        with_journal(path, report)

    async def read(journal: Journal) -> None:
        assert {key: book.expected for key, book in journal.books.items()} == expected
        assert {key: book.taken_over for key, book in journal.books.items()} == dict.fromkeys(
            (BTC, ETH), Decimal(taken_over)
        )

    assert counted == list(first.values())
    with_journal(path, read)


def test_a_fill_from_two_sources_at_once_counts_once(path: Path) -> None:
    """The stream's fill and the reply's, recorded concurrently, move the book by one of them."""

    async def scenario(journal: Journal) -> None:
        await journal.take_over(BTC, ZERO, 1.0)
        number, intent = new_intent(journal)
        await journal.intend(number, intent)
        fill = new_fill("7", "0.5", client_id=intent.client_id)
        news = await asyncio.gather(
            journal.record_fills([fill]),
            journal.settle(intent, IntentStatus.DONE, "done", [fill, fill]),
            journal.record_fills([fill]),
        )
        assert sum(len(new) for new in news) == 1
        assert journal.books[BTC].expected == Decimal("0.5")

    with_journal(path, scenario)
    assert rows(path, "SELECT expected FROM books") == [("0.5",)]


def test_the_same_trade_id_in_two_markets_is_two_trades(path: Path) -> None:
    """Trade ids are unique within a market only."""

    async def scenario(journal: Journal) -> None:
        for key in (BTC, ETH):
            await journal.take_over(key, ZERO, 1.0)
        assert len(await journal.record_fills([new_fill("1", "1", key=key) for key in (BTC, ETH)])) == 2
        assert [journal.books[key].expected for key in (BTC, ETH)] == [Decimal(1), Decimal(1)]

    with_journal(path, scenario)


def test_client_ids_are_unique_and_follow_from_workspace_and_number(path: Path) -> None:
    """28 lowercase hexadecimal digits, each once, the same for the same workspace, number and key."""
    ids: list[str] = []

    async def first(journal: Journal) -> None:
        for _ in range(50):
            for key in (BTC, ETH):
                number, intent = new_intent(journal, key)
                await journal.intend(number, intent)
                ids.append(intent.client_id)

    async def never_journaled(journal: Journal) -> None:
        assert [journal.next_client_id(BTC, 0.0) for _ in range(3)] == [
            (101, third[0]),
            (102, third[1]),
            (103, third[2]),
        ]

    async def peek(journal: Journal) -> None:
        third.extend(journal.next_client_id(BTC, 0.0)[1] for _ in range(3))

    third: list[str] = []
    with_journal(path, first)
    with_journal(path, peek)
    with_journal(path, never_journaled)
    ids += third
    assert len(set(ids)) == len(ids) == 103
    assert all(len(client_id) == 28 and set(client_id) <= set("0123456789abcdef") for client_id in ids)


def test_two_workspaces_never_share_a_client_id(tmp_path: Path) -> None:
    """Two daemons on one account do not take each other's orders for their own."""
    ids: set[str] = set()

    async def collect(journal: Journal) -> None:
        ids.update(journal.next_client_id(BTC, 0.0)[1] for _ in range(20))

    with_journal(tmp_path / "one.db", collect)
    with_journal(tmp_path / "two.db", collect)
    assert len(ids) == 40


@pytest.mark.parametrize("final", FINAL)
@pytest.mark.parametrize("later", [*NOT_FINAL, *FINAL])
def test_a_final_status_is_never_left(path: Path, final: IntentStatus, later: IntentStatus) -> None:
    """What is done, refused or cancelled stays that, whatever is reported late; its late fills still count."""

    async def scenario(journal: Journal) -> None:
        await journal.take_over(BTC, ZERO, 1.0)
        number, intent = new_intent(journal)
        await journal.intend(number, intent)
        await journal.settle(intent, final, "final")
        assert journal.unresolved(BTC) == []
        late = new_fill("9", "0.5", client_id=intent.client_id)
        assert await journal.settle(intent, later, "late", [late]) == [late]
        assert journal.unresolved(BTC) == []
        assert journal.books[BTC].expected == Decimal("0.5")

    with_journal(path, scenario)
    assert rows(path, "SELECT status, outcome FROM intents") == [(str(final), "final")]


@pytest.mark.parametrize("status", NOT_FINAL)
def test_an_unresolved_intent_is_found_by_the_next_process(path: Path, status: IntentStatus) -> None:
    """Whatever is not final when a process ends is what the next one resolves first; the final ones are not."""

    async def write(journal: Journal) -> None:
        kept, done = new_intent(journal), new_intent(journal)
        for number, intent in (kept, done):
            await journal.intend(number, intent)
        await journal.settle(kept[1], status, "?")
        await journal.settle(done[1], IntentStatus.DONE, "done")

    async def read(journal: Journal) -> None:
        (intent,) = journal.unresolved(BTC)
        assert intent.status is status
        assert await journal.knows_order(intent.client_id)
        assert journal.unresolved(ETH) == []

    with_journal(path, write)
    with_journal(path, read)


def test_orders_of_the_past_are_known_and_foreign_ones_are_not(path: Path) -> None:
    """A fill belongs to us by its order's id, open or final, in this process or an earlier one."""
    known: list[str] = []

    async def write(journal: Journal) -> None:
        number, intent = new_intent(journal)
        await journal.intend(number, intent)
        await journal.settle(intent, IntentStatus.DONE, "done")
        known.append(intent.client_id)

    async def read(journal: Journal) -> None:
        assert await journal.knows_order(known[0])
        assert not await journal.knows_order("x-foreign")
        assert not await journal.knows_order("")

    with_journal(path, write)
    with_journal(path, read)


def test_the_same_intent_cannot_be_journaled_twice(path: Path) -> None:
    """A client id stands in the journal once: a second intent under it is refused and nothing of it is kept."""

    async def scenario(journal: Journal) -> None:
        number, intent = new_intent(journal)
        await journal.intend(number, intent)
        with pytest.raises(JournalFailed):
            await journal.intend(number + 1, intent)

    with_journal(path, scenario)
    assert rows(path, "SELECT count(*) FROM intents") == [(1,)]


def test_locks_hold_until_unlocked(path: Path) -> None:
    """A lock survives restarts, is replaced by a newer one of its key, and is gone once it is lifted."""

    async def lock(journal: Journal) -> None:
        for actual in ("1", "2"):
            await journal.lock(Lock(BTC, f"drift to {actual}", ZERO, Decimal(actual), 1.0))
        await journal.lock(Lock(ETH, "drift", ZERO, Decimal(3), 1.0))

    async def unlock(journal: Journal) -> None:
        assert {key: found.actual for key, found in journal.locks.items()} == {BTC: 2, ETH: 3}
        await journal.unlock(BTC)
        await journal.unlock(BTC)

    async def read(journal: Journal) -> None:
        assert list(journal.locks) == [ETH]

    for scenario in (lock, unlock, read):
        with_journal(path, scenario)


def test_an_adopted_position_is_what_fills_are_added_to(path: Path) -> None:
    """`expect` replaces what the position must be, keeps what was taken over, and later fills move it from there."""

    async def scenario(journal: Journal) -> None:
        await journal.take_over(BTC, Decimal(1), 1.0)
        await journal.expect(BTC, Decimal(5))
        await journal.record_fills([new_fill("1", "-2")])
        assert journal.books[BTC] == Book(BTC, Decimal(1), Decimal(3))

    async def read(journal: Journal) -> None:
        assert journal.books[BTC] == Book(BTC, Decimal(1), Decimal(3))

    with_journal(path, scenario)
    with_journal(path, read)


def test_retiring_removes_the_strategys_documents_and_no_others(path: Path) -> None:
    """A retired strategy's content does not come back with a restart; its namesakes' and the portfolio's stay."""
    names = [
        "strategies/a/state.json",
        "strategies/a/stats.json",
        "strategies/ab/state.json",
        "config/portfolio_config.json",
    ]

    async def write(journal: Journal) -> None:
        for name in names:
            journal.keep_document(Document(name, b"{}", name), 1.0)
        await journal.retire(Retirement("a", 5), 2.0)
        await journal.retire(Retirement("a", None), 3.0)
        journal.keep_document(Document(names[0], b"{}", "read while it was retired"), 4.0)

    async def read(journal: Journal) -> None:
        assert {document.name for document in journal.documents()} == set(names[2:])
        assert journal.retirements() == [Retirement("a", None)]
        await journal.forget_retirement("a")
        assert journal.retirements() == []

    with_journal(path, write)
    with_journal(path, read)


def test_a_document_is_replaced_by_its_newer_content(path: Path) -> None:
    """One content a file: the last one."""

    async def write(journal: Journal) -> None:
        for number in range(10):
            journal.keep_document(Document("file", str(number).encode(), str(number)), float(number))

    async def read(journal: Journal) -> None:
        assert journal.documents() == [Document("file", b"9", "9")]

    with_journal(path, write)
    with_journal(path, read)


def test_a_change_from_outside_is_seen_and_neither_side_loses_a_write(path: Path) -> None:
    """A command changes the file beside a running daemon, which reads it when told; both sides' writes stay."""

    async def scenario(journal: Journal) -> None:
        await journal.take_over(BTC, Decimal(1), 1.0)
        await journal.lock(Lock(BTC, "drift", Decimal(1), Decimal(2), 1.0))

        def lift(store: Store) -> int:
            store.store(Released(BTC))
            return len(list(store.locks()))

        outside = asyncio.to_thread(change, path, lift)
        busy = asyncio.gather(*(journal.put_meta(f"m{number}", "x") for number in range(100)))
        assert await outside == 0
        await busy
        await journal.reread_switches()
        assert journal.locks == {}
        assert journal.books == {}

    with_journal(path, scenario)
    assert rows(path, "SELECT count(*) FROM meta WHERE key LIKE 'm%'") == [(100,)]


def test_a_change_from_outside_that_fails_changes_nothing(path: Path) -> None:
    """Whatever a change raises half-way, nothing of it is kept, and the journal is free for the daemon."""

    def half(error: Exception) -> Callable[[Store], None]:
        def write(store: Store) -> None:
            store.store(Noted("half", "done"))
            raise error

        return write

    async def scenario(journal: Journal) -> None:
        with pytest.raises(JournalFailed):
            change(path, half(sqlite3.OperationalError("disk I/O error")))
        with pytest.raises(ZeroDivisionError):
            change(path, half(ZeroDivisionError()))
        await journal.put_meta("next", "works")
        assert await journal.meta("half") is None

    with_journal(path, scenario)


def test_a_write_that_was_given_up_is_still_written_whole(path: Path) -> None:
    """A caller that is cancelled while it waits takes nothing out of the journal, and leaves the others alone."""

    async def scenario(journal: Journal) -> None:
        given_up = asyncio.create_task(journal.put_meta("given up", "1"))
        other = asyncio.create_task(journal.put_meta("other", "1"))
        await asyncio.sleep(0)
        given_up.cancel()
        await other
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert await journal.meta("other") == "1"

    with_journal(path, scenario)
