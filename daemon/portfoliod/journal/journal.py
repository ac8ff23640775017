"""The journal as the daemon uses it: reads from memory, events that are on disk when they return."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

from portfoliod.errors import JournalFailed
from portfoliod.journal import events
from portfoliod.journal.events import Document, Event, Retirement, apply
from portfoliod.journal.reader import Reader
from portfoliod.journal.schema import connect
from portfoliod.journal.store import Store
from portfoliod.journal.writer import Writer, Written
from portfoliod.model import Decision, Fill, HighWater, Intent, IntentStatus, Key, Lock, Worth


class Journal:
    """What was decided, intended, filled and locked, in this process and the ones before it."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        with contextlib.ExitStack() as opened:
            connection = opened.enter_context(contextlib.closing(connect(path, read_only=read_only)))
            if not read_only:
                asked = opened.enter_context(contextlib.closing(connect(path, read_only=True)))
            self._store = Store(connection)
            self._reader = Reader(self._store if read_only else Store(asked), path)
            self.state, self.workspace_id, (self._last_decision, self._last_intent) = self._reader.read(
                lambda store: (store.state(), store.meta("workspace") or "", store.last_numbers())
            )
            opened.pop_all()
        self.targets, self.books, self.locks = self.state.targets, self.state.books, self.state.locks
        self.open_intents, self.worths, self.in_parts = self.state.open_intents, self.state.worths, self.state.in_parts
        self._writer = Writer(self._store, path, partial(apply, self.state))
        self._writer.on_recovery = self._keep_again
        self._unkept: dict[str, events.Kept] = {}
        """Documents that are not on disk yet, by name."""
        self._rereads_asked = self._rereads_done = 0

    async def close(self) -> None:
        """Finish the writes that wait and close the file."""
        await self._writer.close()
        self.close_files()

    def close_files(self) -> None:
        """Close the file of which nothing but reads was asked."""
        self._reader.close()
        self._store.connection.close()

    @property
    def failed(self) -> JournalFailed | None:
        """Why the last write failed, None where it did not."""
        return self._writer.failed

    @property
    def switches_due(self) -> bool:
        """Whether what commands changed was asked for, and is not read yet: the last attempt may have failed."""
        return self._rereads_done < self._rereads_asked

    @property
    def high_water(self) -> HighWater | None:
        """What a drawdown is measured from, None where that is whatever is looked at next."""
        return self.state.high_water

    def call_on_failure(self, call: Callable[[JournalFailed], None]) -> None:
        """Let a function hear of every write that fails, whether or not somebody waits for it."""
        self._writer.on_failure = call

    async def __aenter__(self) -> Journal:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def documents(self) -> list[Document]:
        """Return the last good content of every file, at a start."""
        return self._reader.read(Store.documents)

    def retirements(self) -> list[Retirement]:
        """Return the retired strategies, at a start."""
        return self._reader.read(Store.retirements)

    def sent_since(self, moment: float) -> list[float]:
        """Return when orders were journaled since a moment, in this process or before, in epoch seconds, at a start."""
        return self._reader.read(lambda store: store.sent_since(moment))

    async def meta(self, key: str) -> str | None:
        """Return a fact as it is on disk, or None."""
        return await self._reader.ask(lambda store: store.meta(key))

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

    def unresolved(self, key: Key) -> list[Intent]:
        """Return the intents of a key whose outcome is not known to be final, oldest first."""
        return [intent for intent in self.open_intents.values() if intent.key == key]

    def keep_document(self, document: Document, at: float) -> None:
        """Queue a file's last good content; it is on disk before anything that is written later.

        Where it cannot be written it is kept in memory, and written once the journal can be written again.
        """
        self._keep(events.Kept(document, at))

    async def write(self, *events: Event) -> Written:
        """Write events in one transaction, and return what became true by each once it is on disk and in memory.

        Raises:
            JournalFailed: nothing of it is written.
        """
        return await self._writer.queue(*events)

    async def decide(self, decisions: Iterable[Decision]) -> None:
        """Put decisions in force."""
        await self.write(*map(events.Decided, decisions))

    async def ascribe(self, decision: Decision) -> None:
        """Note whom a decision in force belongs to now."""
        await self.write(events.Ascribed(decision.key, decision.number, decision.contributions))

    async def intend(self, number: int, intent: Intent) -> None:
        """Record an order that is about to be sent."""
        await self.write(events.Intended(number, intent))

    async def settle(
        self, intent: Intent, status: IntentStatus, outcome: str, fills: Iterable[Fill] = ()
    ) -> list[Fill]:
        """Record how far an order has come, with its fills, and return those fills that are new."""
        return _new(await self.write(*map(events.Filled, fills), events.Settled(intent.client_id, status, outcome)))

    async def fills_of(self, intent: Intent) -> list[Fill]:
        """Return the journaled fills of an order."""
        return await self._reader.ask(lambda store: store.fills_of(intent.key, intent.client_id))

    async def fills_since(self, at: float) -> int:
        """Return how many fills there were since a moment, in epoch seconds."""
        return await self._reader.ask(lambda store: store.fills_since(at))

    async def record_fills(self, fills: Iterable[Fill]) -> list[Fill]:
        """Record fills of our own orders and return those that are new."""
        return _new(await self.write(*map(events.Filled, fills)))

    async def filled(self, intent: Intent) -> Decimal:
        """Return how much of an order the journaled fills add up to."""
        key, known = self.state.filled.get(intent.client_id, (None, None))
        if known is not None and key == intent.key:
            return known
        return await self._reader.ask(lambda store: store.filled(intent.key, intent.client_id))

    async def ended_unfilled(self, key: Key, most: int) -> list[Intent]:
        """Return the last intents of a key, in this process or before, that ended without being filled in whole."""
        return await self._reader.ask(lambda store: store.ended_unfilled(key, most))

    async def knows_order(self, client_id: str) -> bool:
        """Return whether an order is one of ours."""
        return client_id in self.state.filled or await self._reader.ask(lambda store: store.knows_order(client_id))

    async def take_over(self, key: Key, position: Decimal, at: float) -> None:
        """Take a position over as it is."""
        await self.write(events.TakenOver(key, position, at))

    async def expect(self, key: Key, position: Decimal) -> None:
        """Accept a position that our fills do not explain."""
        await self.write(events.Expected(key, position))

    async def lock(self, lock: Lock) -> None:
        """Stop trading a key, unless a person unlocked it since the position was compared with its book."""
        await self.write(events.Locked(lock, about_book=lock.key in self.books))

    async def unlock(self, key: Key) -> None:
        """Trade a key again."""
        await self.write(events.Unlocked(key))

    async def retire(self, retirement: Retirement, at: float) -> None:
        """Take a strategy out of the portfolio."""
        await self.write(events.Retired(retirement, at))

    async def forget_retirement(self, strategy: str) -> None:
        """Let a name that was retired be a new strategy."""
        await self.write(events.Forgotten(strategy))

    async def put_meta(self, key: str, value: str) -> None:
        """Set a fact."""
        await self.write(events.Noted(key, value))

    async def believe(self, venue: str, at: float, equity: Decimal, before: Worth | None = None) -> None:
        """Record what a venue is worth.

        Args:
            venue: the venue.
            at: when it was read, in epoch seconds.
            equity: in the quote currency.
            before: what was believed when the venue was asked; None: what is believed at this moment.
        """
        await self.write(events.Believed(venue, at, equity, before or self.worths.get(venue)))

    async def doubt(self, venue: str, at: float, equity: Decimal) -> None:
        """Record that a venue tells a figure that is not believed yet."""
        await self.write(events.Doubted(venue, at, equity))

    async def mark(self, high_water: HighWater) -> None:
        """Set what a drawdown is measured from."""
        await self.write(events.Marked(high_water))

    async def reread_switches(self) -> list[Retirement]:
        """Take in what commands change from outside, all at once, and return the retired strategies.

        That is: locks, what positions must be, orders that were given up, and what a drawdown is measured from.

        Raises:
            JournalFailed: it cannot be read, and is still due.
        """
        self._rereads_asked = asked = self._rereads_asked + 1
        async with self._writer.turn:
            switches = await self._reader.ask(Store.switches)
            self.state.take_in(switches)
            self._rereads_done = asked
        return switches.retirements

    def _keep(self, kept: events.Kept) -> None:
        self._unkept[kept.document.name] = kept
        self._writer.queue(kept).add_done_callback(partial(self._note_kept, kept))

    def _note_kept(self, kept: events.Kept, done: asyncio.Future[Written]) -> None:
        """Forget a document that is on disk. A failure is told by `failed` to whoever sends orders."""
        written = not done.cancelled() and done.exception() is None
        if written and self._unkept.get(kept.document.name) is kept:
            del self._unkept[kept.document.name]

    def _keep_again(self) -> None:
        for kept in list(self._unkept.values()):
            self._keep(kept)


@contextlib.contextmanager
def opened_to_read(path: Path) -> Iterator[Journal | None]:
    """Hold a journal open that is only read; None where there is none yet.

    Raises:
        JournalFailed: it cannot be used.
    """
    if not path.exists():
        yield None
        return
    journal = Journal(path, read_only=True)
    try:
        yield journal
    finally:
        journal.close_files()


def _new(written: Written) -> list[Fill]:
    return [event.fill for event in written if isinstance(event, events.Filled)]
