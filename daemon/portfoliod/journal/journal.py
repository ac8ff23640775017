"""The journal as the daemon uses it: reads from memory, writes that are on disk when they return."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import cast

import msgspec

from portfoliod.errors import JournalFailed
from portfoliod.journal.schema import connect, reading
from portfoliod.journal.store import Document, Retirement, Store
from portfoliod.journal.writer import Write, Writer
from portfoliod.model import Book, Decision, Fill, HighWater, Intent, IntentStatus, Key, Lock, Worth

CONFIRMED = "equity_confirmed"
"""The fact: when a person last said that the equity is right, in epoch seconds."""
HIGH_WATER = "high_water"
"""The fact: the equity that a drawdown is measured from."""


class Journal:
    """What was decided, intended, filled and locked, in this process and the ones before it."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._store = Store(connect(path, read_only=read_only))
        self._writer = Writer(self._store, path)
        self._writer.on_recovery = self._keep_again
        self._unkept: dict[str, tuple[Document, float]] = {}
        """Documents that are not on disk yet, by name."""
        with reading(path):
            self.workspace_id = self._store.meta("workspace") or ""
            self.targets: dict[Key, Decision] = {decision.key: decision for decision in self._store.targets()}
            self.books: dict[Key, Book] = {book.key: book for book in self._store.books()}
            self.open_intents: dict[str, Intent] = {intent.client_id: intent for intent in self._store.open_intents()}
            self.locks: dict[Key, Lock] = {lock.key: lock for lock in self._store.locks()}
            self.in_parts: dict[Key, int] = self._store.in_parts()
            """The decision of each key for which a part of a split order was sent before this process."""
            self.worths: dict[str, Worth] = self._store.worths()
            self.high_water = self._high_water()
            self._last_decision, self._last_intent = self._store.last_numbers()

    async def close(self) -> None:
        """Finish the writes that wait and close the file."""
        await self._writer.close()
        self._store.connection.close()

    @property
    def failed(self) -> JournalFailed | None:
        """Why the last write failed, None where it did not."""
        return self._writer.failed

    def call_on_failure(self, call: Callable[[JournalFailed], None]) -> None:
        """Let a function hear of every write that fails, whether or not somebody waits for it."""
        self._writer.on_failure = call

    async def __aenter__(self) -> Journal:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def documents(self) -> list[Document]:
        """Return the last good content of every file."""
        with reading(self.path):
            return list(self._store.documents())

    def retirements(self) -> list[Retirement]:
        """Return the retired strategies."""
        with reading(self.path):
            return list(self._store.retirements())

    def meta(self, key: str) -> str | None:
        """Return a fact, or None."""
        with reading(self.path):
            return self._store.meta(key)

    def next_decision(self) -> int:
        """Return the number for a new decision; each is given once."""
        self._last_decision += 1
        return self._last_decision

    def next_client_id(self, key: Key, at: float) -> tuple[int, str]:
        """Return the number of a new intent and the client order id that follows from it.

        28 hexadecimal digits fit every exchange that ccxt covers but one, and tell workspaces apart. The moment tells
        the order from one that bore its number before a backup of the journal was restored.
        """
        self._last_intent += 1
        text = f"{self.workspace_id}/{self._last_intent}/{key.venue}/{key.symbol}/{at!r}"
        return self._last_intent, hashlib.blake2b(text.encode(), digest_size=14).hexdigest()

    def sent_since(self, moment: float) -> list[float]:
        """Return when orders were journaled since a moment, in this process or before, in epoch seconds."""
        with reading(self.path):
            return self._store.sent_since(moment)

    def unresolved(self, key: Key) -> list[Intent]:
        """Return the intents of a key whose outcome is not known to be final, oldest first."""
        return [intent for intent in self.open_intents.values() if intent.key == key]

    def keep_document(self, document: Document, at: float) -> None:
        """Queue a file's last good content; it is on disk before anything that is written later.

        Where it cannot be written it is kept in memory, and written once the journal can be written again.
        """
        self._unkept[document.name] = document, at
        done = self._writer.queue(lambda store: store.put_document(document, at))
        done.add_done_callback(partial(self._note_kept, document))

    async def write(self, *writes: Write) -> list[object]:
        """Do writes in one transaction and return their results once they are on disk.

        Raises:
            JournalFailed: nothing of it is written.
        """
        return await self._writer.queue(*writes)

    async def decide(self, decisions: Iterable[Decision]) -> None:
        """Put decisions in force."""
        decided = list(decisions)
        await self.write(*(_put_decision(decision) for decision in decided))
        self.targets.update({decision.key: decision for decision in decided})

    async def ascribe(self, decision: Decision) -> None:
        """Note whom a decision in force belongs to now."""
        await self.write(lambda store: store.put_contributions(decision))
        self.targets[decision.key] = decision

    async def intend(self, number: int, intent: Intent) -> None:
        """Record an order that is about to be sent."""
        await self.write(lambda store: store.put_intent(number, intent))
        self.open_intents[intent.client_id] = intent

    async def settle(
        self, intent: Intent, status: IntentStatus, outcome: str, fills: Iterable[Fill] = ()
    ) -> list[Fill]:
        """Record how far an order has come, with its fills, and return those fills that are new."""
        recorded = list(fills)
        results = await self.write(
            *(_put_fill(fill) for fill in recorded),
            lambda store: store.put_outcome(intent.client_id, status, outcome),
        )
        new = [fill for fill, added in zip(recorded, results, strict=False) if added]
        self._count(new)
        if status.terminal:
            self.open_intents.pop(intent.client_id, None)
        elif intent.client_id in self.open_intents:
            self.open_intents[intent.client_id] = msgspec.structs.replace(intent, status=status)
        return new

    async def filled(self, intent: Intent) -> Decimal:
        """Return how much of an order the journaled fills add up to."""
        (total,) = await self.write(lambda store: store.filled(intent.key, intent.client_id))
        return cast("Decimal", total)

    async def fills_since(self, at: float) -> int:
        """Return how many fills there were since a moment, in epoch seconds."""
        (count,) = await self.write(lambda store: store.fills_since(at))
        return cast("int", count)

    async def ended_unfilled(self, key: Key, most: int) -> list[Intent]:
        """Return the last intents of a key, in this process or before, that ended without being filled in whole."""
        (found,) = await self.write(lambda store: list(store.ended_unfilled(key, most)))
        return cast("list[Intent]", found)

    async def record_fills(self, fills: Iterable[Fill]) -> list[Fill]:
        """Record fills of our own orders and return those that are new."""
        recorded = list(fills)
        results = await self.write(*(_put_fill(fill) for fill in recorded))
        new = [fill for fill, added in zip(recorded, results, strict=True) if added]
        self._count(new)
        return new

    async def knows_order(self, client_id: str) -> bool:
        """Return whether an order is one of ours."""
        if client_id in self.open_intents:
            return True
        return bool((await self.write(lambda store: store.knows_order(client_id)))[0])

    async def take_over(self, key: Key, position: Decimal, at: float) -> None:
        """Take a position over as it is."""
        await self.write(lambda store: store.put_book(key, position, at))
        self.books[key] = Book(key, position, position)

    async def expect(self, key: Key, position: Decimal) -> None:
        """Accept a position that our fills do not explain."""
        await self.write(lambda store: store.put_expected(key, position))
        if key in self.books:
            self.books[key] = msgspec.structs.replace(self.books[key], expected=position)

    async def lock(self, lock: Lock) -> None:
        """Stop trading a key."""
        await self.write(lambda store: store.put_lock(lock))
        self.locks[lock.key] = lock

    async def unlock(self, key: Key) -> None:
        """Trade a key again."""
        await self.write(lambda store: store.delete_lock(key))
        self.locks.pop(key, None)

    async def retire(self, retirement: Retirement, at: float) -> None:
        """Take a strategy out of the portfolio."""
        await self.write(lambda store: store.retire(retirement, at))

    async def forget_retirement(self, strategy: str) -> None:
        """Let a name that was retired be a new strategy."""
        await self.write(lambda store: store.forget_retirement(strategy))

    async def put_meta(self, key: str, value: str) -> None:
        """Set a fact."""
        await self.write(lambda store: store.put_meta(key, value))

    async def believe(self, venue: str, at: float, equity: Decimal) -> None:
        """Record what a venue is worth."""
        worth = Worth(equity, at)
        await self.write(lambda store: store.put_equity(venue, at, equity), lambda store: store.put_worth(venue, worth))
        self.worths[venue] = worth

    async def doubt(self, venue: str, at: float, equity: Decimal) -> None:
        """Record that a venue tells a figure that is not believed yet."""
        worth = msgspec.structs.replace(self.worths[venue], doubted=equity, doubted_at=at)
        await self.write(lambda store: store.put_worth(venue, worth))
        self.worths[venue] = worth

    async def mark(self, high_water: HighWater) -> None:
        """Set what a drawdown is measured from."""
        await self.put_meta(HIGH_WATER, msgspec.json.encode(high_water).decode())
        self.high_water = high_water

    async def reread_switches(self) -> None:
        """Read again what commands change from outside: locks, what positions must be, orders that were given up."""
        known = list(self.open_intents)
        locks, books, over = await self.write(
            lambda store: list(store.locks()),
            lambda store: list(store.books()),
            lambda store: [client_id for client_id in known if not store.is_open(client_id)],
        )
        self.locks = {lock.key: lock for lock in cast("list[Lock]", locks)}
        self.books = {book.key: book for book in cast("list[Book]", books)}
        for client_id in cast("list[str]", over):
            self.open_intents.pop(client_id, None)

    async def reread_retirements(self) -> list[Retirement]:
        """Return the retired strategies, those that a command retired meanwhile included."""
        (found,) = await self.write(lambda store: list(store.retirements()))
        return cast("list[Retirement]", found)

    def _note_kept(self, document: Document, done: asyncio.Future[list[object]]) -> None:
        """Forget a document that is on disk. A failure is told by `failed` to whoever sends orders."""
        kept = not done.cancelled() and done.exception() is None
        if kept and self._unkept.get(document.name, (None, 0.0))[0] is document:
            del self._unkept[document.name]

    def _keep_again(self) -> None:
        for document, at in list(self._unkept.values()):
            self.keep_document(document, at)

    def _high_water(self) -> HighWater | None:
        text = self._store.meta(HIGH_WATER)
        return None if not text else msgspec.json.decode(text, type=HighWater)

    def _count(self, fills: Iterable[Fill]) -> None:
        for fill in fills:
            worth = self.worths.get(fill.key.venue)
            if worth is not None:
                self.worths[fill.key.venue] = msgspec.structs.replace(worth, traded=True)
            book = self.books.get(fill.key)
            if book is not None:
                self.books[fill.key] = msgspec.structs.replace(book, expected=book.expected + fill.moved)


def _put_decision(decision: Decision) -> Write:
    return lambda store: store.put_decision(decision)


def _put_fill(fill: Fill) -> Write:
    return lambda store: store.put_fill(fill)
