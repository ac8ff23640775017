"""The two interpreters of the journal's events: what is applied in memory is what a restart loads from the rows."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfoliod.journal import Document, Journal, Retirement, Store, change
from portfoliod.journal import events as kinds
from portfoliod.journal.events import Event, JournalState, apply
from portfoliod.journal.schema import connect
from portfoliod.model import Contribution, Decision, Fill, HighWater, Intent, IntentStatus, Key, Lock, Side, Worth
from tests.journal.rows import BTC, ETH, new_decision, new_fill, new_intent

DISK_ONLY = {kinds.Kept, kinds.Retired, kinds.Forgotten, kinds.Noted}
SPOT = Key("second", "BTC/USDT")
KEYS = st.sampled_from([BTC, ETH, SPOT])
NUMBERS = st.decimals("-1000", "1000", places=4)
MOMENTS = st.floats(0, 2e9, allow_nan=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@st.composite
def histories(draw: st.DrawFn) -> list[list[Event]]:
    """Return batches of events as a daemon and its commands may write them: numbers ascend, the rest is chance."""
    decision, intent = itertools.count(1), itertools.count(1)
    decisions: dict[Key, list[int]] = {key: [0] for key in (BTC, ETH, SPOT)}
    intents: list[Intent] = []

    def decided(key: Key) -> Event:
        number = next(decision)
        decisions[key].append(number)
        made = new_decision_numbered(number, key, draw(NUMBERS))
        return kinds.Decided(made)

    def ascribed(key: Key) -> Event:
        given = draw(st.lists(st.builds(Contribution, TEXT, NUMBERS, NUMBERS), max_size=2))
        return kinds.Ascribed(key, draw(st.sampled_from(decisions[key])), tuple(given))

    def intended(key: Key) -> Event:
        number = next(intent)
        found = Intent(
            f"order{number}", key, draw(st.sampled_from(Side)), abs(draw(NUMBERS)), draw(st.booleans()),
            draw(st.sampled_from(decisions[key])), draw(MOMENTS), draw(TEXT),
            part=draw(st.booleans()), cycle=draw(TEXT),
        )  # fmt: skip
        intents.append(found)
        return kinds.Intended(number, found)

    def settled(_key: Key) -> Event:
        name = draw(st.sampled_from([*(other.client_id for other in intents), "foreign"]))
        return kinds.Settled(name, draw(st.sampled_from(IntentStatus)), draw(TEXT))

    def filled(key: Key) -> Event:
        name = draw(st.sampled_from([*(other.client_id for other in intents), "foreign"]))
        trade, side = draw(st.sampled_from("abcdef")), draw(st.sampled_from(Side))
        fee, currency = draw(NUMBERS), draw(st.sampled_from(["USDT", "BTC"]))
        return kinds.Filled(Fill(key, trade, name, side, abs(draw(NUMBERS)), Decimal(3), fee, currency, 2.5))

    def believed(key: Key) -> Event:
        before = draw(st.none() | st.builds(Worth, NUMBERS, st.sampled_from([1.0, 2.0]), st.just(0)))
        return kinds.Believed(key.venue, draw(st.sampled_from([1.0, 2.0])), draw(NUMBERS), before)

    def locked(key: Key) -> Event:
        return kinds.Locked(Lock(key, draw(TEXT), draw(NUMBERS), draw(NUMBERS), draw(MOMENTS)), draw(st.booleans()))

    def marked(key: Key) -> Event:
        return kinds.Marked(draw(st.none() | st.builds(HighWater, st.just((key.venue,)), NUMBERS)))

    makers: list[Callable[[Key], Event]] = [
        decided, ascribed, intended, intended, settled, settled, filled, filled, believed, locked, marked,
        lambda key: kinds.TakenOver(key, draw(NUMBERS), draw(MOMENTS)),
        lambda key: kinds.Expected(key, draw(NUMBERS)),
        kinds.Unlocked,
        kinds.Released,
        kinds.Dropped,
        lambda key: kinds.Doubted(key.venue, draw(MOMENTS), draw(NUMBERS)),
        lambda _: kinds.Kept(Document(f"strategies/{draw(st.sampled_from('st'))}/state.json", b"\xff", "h"), 1.0),
        lambda _: kinds.Retired(Retirement(draw(st.sampled_from("st")), draw(st.none() | st.just(7))), 2.0),
        lambda _: kinds.Forgotten(draw(st.sampled_from("st"))),
        lambda _: kinds.Noted(draw(st.sampled_from("fact")), draw(TEXT)),
    ]  # fmt: skip
    sizes = draw(st.lists(st.integers(1, 6), max_size=8))
    return [[draw(st.sampled_from(makers))(draw(KEYS)) for _ in range(size)] for size in sizes]


def new_decision_numbered(number: int, key: Key, quantity: Decimal) -> Decision:
    """Return a decision by its number."""
    one = Decimal("0.10")
    return Decision(number, key, 1.5, one, Decimal(10_000), one, one, quantity, (), f"c{number}")


def comparable(state: JournalState) -> JournalState:
    """Return what a restart has to know of a state: of orders that ended it asks the disk."""
    filled = {name: state.filled[name] for name in state.open_intents}
    return msgspec.structs.replace(state, filled=filled, ended=type(state.ended)())


def loaded(path: Path) -> JournalState:
    """Return what the file says by itself."""
    connection = connect(path, read_only=True)
    try:
        return Store(connection).state()
    finally:
        connection.close()


@settings(deadline=None, max_examples=150)
@given(batches=histories(), reopened=st.sets(st.integers(0, 7)), together=st.booleans())
def test_memory_is_what_the_file_says_after_any_events(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]], reopened: set[int], *, together: bool
) -> None:
    """After each batch, whoever waits for it or not, and over restarts; a reread of what commands change adds nothing.

    A process that dies between two batches leaves the same file, so the next one starts from the same state.
    """
    path = tmp_path_factory.mktemp("journal") / "journal.db"

    async def go_on(parts: list[list[Event]]) -> None:
        async with Journal(path) as journal:
            assert journal.state == loaded(path)
            if together:
                await asyncio.gather(*(journal.write(*part) for part in parts))
                assert comparable(journal.state) == loaded(path)
            for part in [] if together else parts:
                await journal.write(*part)
                assert comparable(journal.state) == loaded(path)
            books = dict(journal.books)
            await journal.reread_switches()
            assert comparable(journal.state) == loaded(path)
            assert all(journal.books[key] is book for key, book in books.items())

    edges = sorted({0, len(batches), *(number for number in reopened if number < len(batches))})
    for start, end in itertools.pairwise([*edges, len(batches)]):
        asyncio.run(go_on(batches[start:end]))


@settings(deadline=None, max_examples=60)
@given(batches=histories(), commands=st.lists(st.tuples(st.integers(0, 7), KEYS), max_size=4))
def test_what_a_command_released_is_gone_after_a_reread_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]], commands: list[tuple[int, Key]]
) -> None:
    """Whatever the daemon writes before it hears of it, what it knows then is what the file says."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"

    async def scenario() -> None:
        async with Journal(path) as journal:
            for number, batch in enumerate(batches):
                for key in [key for when, key in commands if when == number]:
                    await asyncio.to_thread(change, path, lambda store, key=key: store.store(kinds.Released(key)))
                await asyncio.gather(journal.write(*batch), journal.reread_switches())
            await journal.reread_switches()
            assert comparable(journal.state) == loaded(path)

    asyncio.run(scenario())


def one_of_each(journal: Journal) -> list[Event]:
    """Return an event of each kind that changes something after those before it."""
    decision = new_decision(journal)
    number, intent = new_intent(journal)
    worth = Decimal(10)
    return [
        kinds.Decided(decision),
        kinds.Ascribed(BTC, decision.number, ()),
        kinds.TakenOver(BTC, worth, 1.0),
        kinds.Expected(BTC, Decimal(7)),
        kinds.Intended(number, intent),
        kinds.Settled(intent.client_id, IntentStatus.WORKING, "resting"),
        kinds.Filled(new_fill("1", "0.1", client_id=intent.client_id)),
        kinds.Believed("paper", 1.0, worth, None),
        kinds.Doubted("paper", 2.0, Decimal(5)),
        kinds.Locked(Lock(BTC, "drift", worth, worth, 1.0), about_book=True),
        kinds.Unlocked(BTC),
        kinds.Released(BTC),
        kinds.Dropped(BTC),
        kinds.Marked(HighWater(("paper",), worth)),
        kinds.Kept(Document("strategies/a/state.json", b"{}", "h"), 1.0),
        kinds.Retired(Retirement("a", 5), 2.0),
        kinds.Forgotten("a"),
        kinds.Noted("fact", "value"),
    ]


def test_each_event_changes_the_rows_and_the_memory(tmp_path: Path) -> None:
    """A kind of event that one of the two interpreters leaves out, or this test, fails here."""
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with Journal(path) as journal:
            each = one_of_each(journal)
            assert [type(event) for event in each] == list(dict.fromkeys(map(type, each)))
            assert {type(event) for event in each} == set(get_args(Event))
            for event in each:
                rows, before = journal._store.connection.total_changes, copy.deepcopy(journal.state)
                assert await journal.write(event) == [event]
                assert journal._store.connection.total_changes > rows, event
                assert (journal.state != before) == (type(event) not in DISK_ONLY), event

    asyncio.run(scenario())


def test_what_is_no_event_is_refused_by_both_interpreters(tmp_path: Path) -> None:
    """Nothing falls through either of them in silence."""
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with Journal(path) as journal:
            with pytest.raises(AssertionError):
                await journal.write("no event")  # type: ignore[arg-type]
            with pytest.raises(AssertionError):
                apply(journal.state, "no event")  # type: ignore[arg-type]

    asyncio.run(scenario())


def test_a_fill_that_is_known_changes_neither_memory_nor_rows(tmp_path: Path) -> None:
    """Its book, its order's sum and the mark of its venue stay."""
    path = tmp_path / "journal.db"

    async def scenario() -> None:
        async with Journal(path) as journal:
            number, intent = new_intent(journal)
            await journal.intend(number, intent)
            await journal.take_over(BTC, Decimal(0), 1.0)
            await journal.believe("paper", 1.0, Decimal(10))
            fill = new_fill("1", "0.1", client_id=intent.client_id)
            assert await journal.record_fills([fill]) == [fill]
            rows, before = journal._store.connection.total_changes, copy.deepcopy(journal.state)
            assert await journal.record_fills([fill, msgspec.structs.replace(fill, quantity=Decimal(9))]) == []
            assert journal._store.connection.total_changes == rows
            assert journal.state == before

    asyncio.run(scenario())
