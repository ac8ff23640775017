"""The journal's rows as values: each function is a read, or a write inside the transaction that the caller holds.

Rows go by the names of their columns, which are the names of the values' fields.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from typing import TypeVar, assert_never

import msgspec

from portfoliod.journal import events
from portfoliod.journal.events import Document, Event, JournalState, Retirement, Switches
from portfoliod.model import ZERO, Book, Contribution, Decision, Fill, HighWater, Intent, IntentStatus, Key, Lock, Worth

RECENT = 10_000
"""Intents among which those are looked for that ended, or were sent, lately."""
OPEN = "status IN ('intended', 'unknown', 'working')"
"""As the index of open intents words it: SQLite uses it only where a query says the same."""
EVERY_EQUITY = 7 * 86_400.0
"""Seconds for which every equity that was read is kept; of each hour before, the last."""
CONFIRMED = "equity_confirmed"
"""The fact: when a person last said that the equity is right, in epoch seconds."""
HIGH_WATER = "high_water"
"""The fact: the equity that a drawdown is measured from."""
OF_KEY = "WHERE venue = ? AND symbol = ?"

Value = TypeVar("Value", bound=msgspec.Struct)


class Store:
    """Reads and writes on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def store(self, event: Event) -> Event | None:  # noqa: C901, PLR0912 - one case an event
        """Write what happened, and return what became true by it: None where nothing did."""
        match event:
            case events.Decided(decision):
                columns = _columns(decision)
                columns["contributions"] = msgspec.json.encode(columns["contributions"]).decode()
                self._put("INSERT INTO decisions", columns)
                self._replace("targets", {**decision.key._asdict(), "decision": decision.number})
            case events.Ascribed(_, number, contributions):
                text = msgspec.json.encode(contributions).decode()
                self.connection.execute("UPDATE decisions SET contributions = ? WHERE number = ?", (text, number))
            case events.Intended(number, intent):
                self._put("INSERT INTO intents", {"number": number, **_columns(intent)})
            case events.Settled():
                return self._settle(event)
            case events.Filled(fill):
                return event if self._fill(fill) else None
            case events.TakenOver(key, position, at):
                self._replace("books", {**_columns(Book(key, position, position)), "since": at})
            case events.Expected(key, position):
                return event if self._expect(key, position) else None
            case events.Locked(lock, about_book):
                if about_book and self.book(lock.key) is None:
                    return None
                self._replace("locks", _columns(lock))
            case events.Unlocked(key):
                self.connection.execute(f"DELETE FROM locks {OF_KEY}", key)
            case events.Released(key):
                self._release(key)
            case events.Dropped(key):
                self._release(key)
                self.connection.execute(f"DELETE FROM targets {OF_KEY}", key)
            case events.Believed(venue, at, equity):
                self._keep_equity(venue, at, equity)
                self._replace("capital", {"venue": venue, **_columns(event.after(self.worths().get(venue)))})
            case events.Doubted(venue):
                worth = self.worths().get(venue)
                if worth is None:
                    return None
                self._replace("capital", {"venue": venue, **_columns(event.after(worth))})
            case events.Marked(high_water):
                text = "" if high_water is None else msgspec.json.encode(high_water).decode()
                self._replace("meta", {"key": HIGH_WATER, "value": text})
            case events.Kept(document, at):
                self.put_document(document, at)
            case events.Retired(retirement, at):
                self._retire(retirement, at)
            case events.Forgotten(strategy):
                self.connection.execute("DELETE FROM retired WHERE strategy = ?", (strategy,))
            case events.Noted(key, value):
                self._replace("meta", {"key": key, "value": value})
            case _:
                assert_never(event)
        return event

    def state(self) -> JournalState:
        """Return what is true by the rows."""
        open_intents = {intent.client_id: intent for intent in self.open_intents()}
        return JournalState(
            targets={decision.key: decision for decision in self.targets()},
            books=self.books(),
            open_intents=open_intents,
            locks=self.locks(),
            worths=self.worths(),
            in_parts=self.in_parts(),
            high_water=self.high_water(),
            confirmed_at=self._confirmed_at(),
            filled={name: (intent.key, self.filled(intent.key, name)) for name, intent in open_intents.items()},
        )

    def switches(self) -> Switches:
        """Return what commands change."""
        rows = self.connection.execute(f"SELECT client_id FROM intents INDEXED BY intents_open WHERE {OPEN}")
        open_orders = frozenset(row["client_id"] for row in rows)
        targets = frozenset(map(_key, self.connection.execute("SELECT venue, symbol FROM targets")))
        return Switches(
            targets,
            self.locks(),
            self.books(),
            open_orders,
            self.high_water(),
            self._confirmed_at(),
            self.retirements(),
        )

    def _confirmed_at(self) -> float:
        return float(self.meta(CONFIRMED) or 0)

    def meta(self, key: str) -> str | None:
        """Return a fact, or None."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])

    def high_water(self) -> HighWater | None:
        """Return what a drawdown is measured from, None where that is whatever is looked at next."""
        text = self.meta(HIGH_WATER)
        return msgspec.json.decode(text, type=HighWater) if text else None

    def documents(self) -> list[Document]:
        """Return the last good content of every file."""
        return list(self._values(Document, "SELECT * FROM documents"))

    def put_document(self, document: Document, at: float) -> None:
        """Replace a file's last good content, unless its strategy was retired while the file was read."""
        strategy = document.name.split("/")[1] if document.name.startswith("strategies/") else None
        if self.connection.execute("SELECT 1 FROM retired WHERE strategy = ?", (strategy,)).fetchone() is None:
            self._replace("documents", {**_columns(document), "accepted_at": at})

    def retirements(self) -> list[Retirement]:
        """Return the retired strategies."""
        return list(self._values(Retirement, "SELECT * FROM retired"))

    def targets(self) -> Iterator[Decision]:
        """Yield the decision in force for each key."""
        for row in self.connection.execute(
            "SELECT d.* FROM targets t JOIN decisions d ON d.number = t.decision ORDER BY d.number"
        ):
            contributions = msgspec.json.decode(row["contributions"], type=tuple[Contribution, ...])
            yield _value(Decision, {**dict(row), "contributions": contributions})

    def last_numbers(self) -> tuple[int, int]:
        """Return the highest numbers of a decision and of an intent, 0 where there is none."""
        decision, intent = self.connection.execute(
            "SELECT (SELECT max(number) FROM decisions), (SELECT max(number) FROM intents)"
        ).fetchone()
        return decision or 0, intent or 0

    def open_intents(self) -> Iterator[Intent]:
        """Yield the intents whose outcome is not known to be final, oldest first."""
        # The order by number would tempt SQLite to read the whole table.
        return self._values(Intent, f"SELECT * FROM intents INDEXED BY intents_open WHERE {OPEN} ORDER BY number")

    def in_parts(self) -> dict[Key, int]:
        """Return the decision in force of each key whose last order is a part of a split one."""
        rows = self.connection.execute(
            "SELECT t.* FROM targets t WHERE"
            " (SELECT max(number) FROM intents WHERE decision = t.decision AND part = 1) IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM intents last WHERE last.decision = t.decision AND last.part = 0 AND last.number >"
            " (SELECT max(number) FROM intents WHERE decision = t.decision AND part = 1))"
        )
        return {_key(row): row["decision"] for row in rows}

    def sent_since(self, moment: float) -> list[float]:
        """Return when the orders were journaled that were since a moment, in epoch seconds, oldest first."""
        rows = self.connection.execute("SELECT at FROM intents ORDER BY number DESC LIMIT ?", (RECENT,))
        return sorted(row["at"] for row in rows if row["at"] >= moment)

    def ended_unfilled(self, key: Key, most: int) -> list[Intent]:
        """Return the last intents of a key that ended without being filled in whole, newest first."""
        # Among the newest only: the whole table may be long, and its index is of open ones.
        sql = (
            f"SELECT * FROM intents {OF_KEY} AND number > (SELECT max(number) FROM intents) - ?"
            " AND status IN ('refused', 'cancelled') ORDER BY number DESC LIMIT ?"
        )
        return list(self._values(Intent, sql, *key, RECENT, most))

    def knows_order(self, client_id: str) -> bool:
        """Return whether an order is one of ours."""
        return self.connection.execute("SELECT 1 FROM intents WHERE client_id = ?", (client_id,)).fetchone() is not None

    def fills_since(self, at: float) -> int:
        """Return how many fills there were since a moment, in epoch seconds."""
        return int(self.connection.execute("SELECT COUNT(*) FROM fills WHERE at > ?", (at,)).fetchone()[0])

    def filled(self, key: Key, client_id: str) -> Decimal:
        """Return the sum of the fills of an order."""
        sql = f"SELECT quantity FROM fills {OF_KEY} AND client_id = ?"
        rows = self.connection.execute(sql, (*key, client_id))
        return sum((Decimal(row["quantity"]) for row in rows), ZERO)

    def fills_of(self, key: Key, client_id: str) -> list[Fill]:
        """Return the fills of an order."""
        sql = f"SELECT * FROM fills {OF_KEY} AND client_id = ?"
        return list(self._values(Fill, sql, *key, client_id))

    def books(self) -> dict[Key, Book]:
        """Return what the position of each traded key must be."""
        return {book.key: book for book in self._values(Book, "SELECT * FROM books")}

    def book(self, key: Key) -> Book | None:
        """Return what the position of a key must be, None where it was never taken over."""
        return next(self._values(Book, f"SELECT * FROM books {OF_KEY}", *key), None)

    def locks(self) -> dict[Key, Lock]:
        """Return the keys that are not traded."""
        return {lock.key: lock for lock in self._values(Lock, "SELECT * FROM locks")}

    def worths(self) -> dict[str, Worth]:
        """Return what each venue is believed to be worth."""
        rows = self.connection.execute("SELECT * FROM capital")
        return {row["venue"]: _value(Worth, dict(row)) for row in rows}

    def _settle(self, event: events.Settled) -> events.Settled | None:
        """Record how far an order is known to have come, and return what is final already in its place."""
        changed = self.connection.execute(
            f"UPDATE intents SET status = ?, outcome = ? WHERE client_id = ? AND {OPEN}",
            (event.status, event.outcome, event.client_id),
        )
        if changed.rowcount:
            return event
        found = self.connection.execute("SELECT status FROM intents WHERE client_id = ?", (event.client_id,)).fetchone()
        return found and events.Settled(event.client_id, IntentStatus(found["status"]), event.outcome)

    def _fill(self, fill: Fill) -> bool:
        added = self._put("INSERT INTO fills", _columns(fill), "ON CONFLICT (venue, symbol, trade_id) DO NOTHING")
        if not added:
            return False
        self.connection.execute("UPDATE capital SET traded = traded + 1 WHERE venue = ?", (fill.key.venue,))
        sql = f"SELECT expected FROM books {OF_KEY}"
        for row in self.connection.execute(sql, fill.key).fetchall():
            self._expect(fill.key, Decimal(row["expected"]) + fill.moved)
        return True

    def _expect(self, key: Key, position: Decimal) -> bool:
        sql = f"UPDATE books SET expected = ? {OF_KEY}"
        return bool(self.connection.execute(sql, (str(position), *key)).rowcount)

    def _release(self, key: Key) -> None:
        for table in ("locks", "books"):
            self.connection.execute(f"DELETE FROM {table} {OF_KEY}", key)
        sql = f"UPDATE intents SET status = 'cancelled', outcome = 'given up by a person' {OF_KEY} AND {OPEN}"
        self.connection.execute(sql, key)

    def _retire(self, retirement: Retirement, at: float) -> None:
        self._replace("retired", {**_columns(retirement), "at": at})
        names = [f"strategies/{retirement.strategy}/{file}" for file in ("state.json", "stats.json")]
        self.connection.execute("DELETE FROM documents WHERE name IN (?, ?)", names)

    def _keep_equity(self, venue: str, at: float, equity: Decimal) -> None:
        """Record a venue's equity, and thin what becomes old."""
        self._replace("equity", {"venue": venue, "at": at, "equity": str(equity)})
        border = at - EVERY_EQUITY
        self.connection.execute(
            "DELETE FROM equity WHERE venue = ? AND at < ? AND at >= ? AND EXISTS (SELECT 1 FROM equity later"
            " WHERE later.venue = equity.venue AND later.at > equity.at AND later.at < ?"
            " AND CAST(later.at / 3600 AS INTEGER) = CAST(equity.at / 3600 AS INTEGER))",
            (venue, border, border - 7200, border),
        )

    def _values(self, kind: type[Value], sql: str, *parameters: object) -> Iterator[Value]:
        for row in self.connection.execute(sql, parameters):
            yield _value(kind, dict(row))

    def _replace(self, table: str, columns: dict[str, object]) -> None:
        self._put(f"INSERT OR REPLACE INTO {table}", columns)

    def _put(self, into: str, columns: dict[str, object], or_else: str = "") -> int:
        """Insert a row, and return how many there are more."""
        return self.connection.execute(_insert(into, tuple(columns), or_else), tuple(columns.values())).rowcount


@functools.cache
def _insert(into: str, columns: tuple[str, ...], or_else: str) -> str:
    return f"{into} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) {or_else}"


def _columns(value: msgspec.Struct) -> dict[str, object]:
    """Return the fields of a value as a row has them: numbers as text, a key in two columns."""
    columns: dict[str, object] = msgspec.to_builtins(value, builtin_types=(bytes,))
    if "key" in columns:
        del columns["key"]
        columns.update(value.key._asdict())  # type: ignore[attr-defined]
    return columns


def _value(kind: type[Value], row: dict[str, object]) -> Value:
    """Return a row as a value: what is NULL has the field's default, and columns that it does not know are left out."""
    fields = {name: found for name, found in row.items() if found is not None}
    if "symbol" in row:
        fields["key"] = (row["venue"], row["symbol"])
    return msgspec.convert(fields, kind, strict=False)


def _key(row: sqlite3.Row) -> Key:
    return Key(row["venue"], row["symbol"])
