"""The journal's rows as values: each function is a read, or a write inside the transaction that the caller holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from portfoliod.model import Book, Contribution, Decision, Fill, Intent, IntentStatus, Key, Lock, Side, Worth

RECENT = 10_000
"""Intents among which those are looked for that ended, or were sent, lately."""
OPEN = "status IN ('intended', 'unknown', 'working')"
"""As the index of open intents words it: SQLite uses it only where a query says the same."""
EVERY_EQUITY = 7 * 86_400.0
"""Seconds for which every equity that was read is kept; of each hour before, the last."""


class Document(msgspec.Struct, frozen=True):
    """The last good content of a file: `content` normalised by whoever keeps it, `hash` of the file's own bytes."""

    name: str
    content: bytes
    hash: str


class Retirement(msgspec.Struct, frozen=True):
    """A retired strategy, and the folder that still bore its name then."""

    strategy: str
    inode: int | None


class Store:
    """Reads and writes on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def meta(self, key: str) -> str | None:
        """Return a fact, or None."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put_meta(self, key: str, value: str) -> None:
        """Set a fact."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def documents(self) -> Iterator[Document]:
        """Yield the last good content of every file."""
        for name, content, digest in self.connection.execute("SELECT name, content, hash FROM documents"):
            yield Document(name, content, digest)

    def put_document(self, document: Document, at: float) -> None:
        """Replace a file's last good content, unless its strategy was retired while the file was read."""
        strategy = document.name.split("/")[1] if document.name.startswith("strategies/") else None
        self.connection.execute(
            "INSERT OR REPLACE INTO documents SELECT ?, ?, ?, ?"
            " WHERE NOT EXISTS (SELECT 1 FROM retired WHERE strategy = ?)",
            (document.name, document.content, document.hash, at, strategy),
        )

    def delete_document(self, name: str) -> None:
        """Forget a file's last good content."""
        self.connection.execute("DELETE FROM documents WHERE name = ?", (name,))

    def retirements(self) -> Iterator[Retirement]:
        """Yield the retired strategies."""
        for name, inode in self.connection.execute("SELECT strategy, inode FROM retired"):
            yield Retirement(name, inode)

    def retire(self, retirement: Retirement, at: float) -> None:
        """Take a strategy out of the portfolio, and its content out of the journal."""
        self.connection.execute(
            "INSERT OR REPLACE INTO retired VALUES (?, ?, ?)", (retirement.strategy, retirement.inode, at)
        )
        for file in ("state.json", "stats.json"):
            self.delete_document(f"strategies/{retirement.strategy}/{file}")

    def forget_retirement(self, strategy: str) -> None:
        """Let a name that was retired be a new strategy."""
        self.connection.execute("DELETE FROM retired WHERE strategy = ?", (strategy,))

    def targets(self) -> Iterator[Decision]:
        """Yield the decision in force for each key."""
        for row in self.connection.execute(
            "SELECT d.number, d.venue, d.symbol, d.at, d.exposure, d.account_value, d.notional, d.price, d.quantity,"
            " d.contributions, d.cycle FROM targets t JOIN decisions d ON d.number = t.decision ORDER BY d.number"
        ):
            number, venue, symbol, at, exposure, account_value, notional, price, quantity, contributions, cycle = row
            yield Decision(
                number,
                Key(venue, symbol),
                at,
                Decimal(exposure),
                Decimal(account_value),
                Decimal(notional),
                Decimal(price),
                Decimal(quantity),
                msgspec.json.decode(contributions, type=tuple[Contribution, ...]),
                cycle,
            )

    def put_decision(self, decision: Decision) -> None:
        """Add a decision and put it in force."""
        self.connection.execute(
            "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                decision.number,
                decision.at,
                *decision.key,
                str(decision.exposure),
                str(decision.account_value),
                str(decision.notional),
                str(decision.price),
                str(decision.quantity),
                msgspec.json.encode(decision.contributions).decode(),
                decision.cycle,
            ),
        )
        self.connection.execute("INSERT OR REPLACE INTO targets VALUES (?, ?, ?)", (*decision.key, decision.number))

    def put_contributions(self, decision: Decision) -> None:
        """Replace the contributions of a decision."""
        self.connection.execute(
            "UPDATE decisions SET contributions = ? WHERE number = ?",
            (msgspec.json.encode(decision.contributions).decode(), decision.number),
        )

    def last_numbers(self) -> tuple[int, int]:
        """Return the highest numbers of a decision and of an intent, 0 where there is none."""
        decision, intent = self.connection.execute(
            "SELECT (SELECT max(number) FROM decisions), (SELECT max(number) FROM intents)"
        ).fetchone()
        return decision or 0, intent or 0

    def open_intents(self) -> Iterator[Intent]:
        """Yield the intents whose outcome is not known to be final, oldest first."""
        # The order by number would tempt SQLite to read the whole table.
        return self._intents(f"INDEXED BY intents_open WHERE {OPEN} ORDER BY number")

    def in_parts(self) -> dict[Key, int]:
        """Return the decision in force of each key for which a part of a split order was sent."""
        rows = self.connection.execute(
            "SELECT DISTINCT t.venue, t.symbol, t.decision FROM targets t JOIN intents i ON i.decision = t.decision"
            " WHERE i.part = 1"
        )
        return {Key(venue, symbol): decision for venue, symbol, decision in rows}

    def sent_since(self, moment: float) -> list[float]:
        """Return when the orders were journaled that were since a moment, in epoch seconds, oldest first."""
        rows = self.connection.execute("SELECT at FROM intents ORDER BY number DESC LIMIT ?", (RECENT,))
        return sorted(at for (at,) in rows if at >= moment)

    def ended_unfilled(self, key: Key, most: int) -> Iterator[Intent]:
        """Yield the last intents of a key that ended without being filled in whole, newest first."""
        # Among the newest only: the whole table may be long, and its index is of open ones.
        return self._intents(
            "WHERE number > (SELECT max(number) FROM intents) - ? AND venue = ? AND symbol = ?"
            " AND status IN ('refused', 'cancelled') ORDER BY number DESC LIMIT ?",
            RECENT,
            *key,
            most,
        )

    def _intents(self, which: str, *parameters: object) -> Iterator[Intent]:
        for (
            client_id,
            at,
            venue,
            symbol,
            side,
            quantity,
            reduce_only,
            decision,
            reason,
            status,
            part,
            cycle,
        ) in self.connection.execute(
            "SELECT client_id, at, venue, symbol, side, quantity, reduce_only, decision, reason, status, part, cycle"  # noqa: S608
            f" FROM intents {which}",
            parameters,
        ):
            yield Intent(
                client_id,
                Key(venue, symbol),
                Side(side),
                Decimal(quantity),
                bool(reduce_only),
                decision,
                at,
                reason,
                IntentStatus(status),
                bool(part),
                cycle,
            )

    def knows_order(self, client_id: str) -> bool:
        """Return whether an order is one of ours."""
        return self.connection.execute("SELECT 1 FROM intents WHERE client_id = ?", (client_id,)).fetchone() is not None

    def put_intent(self, number: int, intent: Intent) -> None:
        """Add an order that is about to be sent."""
        self.connection.execute(
            "INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?)",
            (
                number,
                intent.client_id,
                intent.at,
                *intent.key,
                intent.side,
                str(intent.quantity),
                int(intent.reduce_only),
                intent.decision,
                intent.reason,
                intent.status,
                int(intent.part),
                intent.cycle,
            ),
        )

    def put_outcome(self, client_id: str, status: IntentStatus, outcome: str) -> None:
        """Record how far an order is known to have come, unless that is final already."""
        self.connection.execute(
            f"UPDATE intents SET status = ?, outcome = ? WHERE client_id = ? AND {OPEN}",  # noqa: S608
            (status, outcome, client_id),
        )

    def give_up_intents(self, key: Key) -> int:
        """Count a key's orders as over whose outcome nobody can tell, and return how many there were."""
        given_up = self.connection.execute(
            f"UPDATE intents SET status = ?, outcome = ? WHERE venue = ? AND symbol = ? AND {OPEN}",  # noqa: S608
            (IntentStatus.CANCELLED, "given up by a person", *key),
        )
        return given_up.rowcount

    def is_open(self, client_id: str) -> bool:
        """Return whether the outcome of an intent is not known to be final."""
        row = self.connection.execute(f"SELECT 1 FROM intents WHERE client_id = ? AND {OPEN}", (client_id,))  # noqa: S608
        return row.fetchone() is not None

    def put_fill(self, fill: Fill) -> bool:
        """Record a fill and what it changes. Return False where its trade id is known already."""
        added = self.connection.execute(
            "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (venue, symbol, trade_id) DO NOTHING",
            (
                *fill.key,
                fill.trade_id,
                fill.client_id,
                fill.side,
                str(fill.quantity),
                str(fill.price),
                str(fill.fee),
                fill.fee_currency,
                fill.at,
            ),
        ).rowcount
        if added:
            self.connection.execute("UPDATE capital SET traded = 1 WHERE venue = ?", (fill.key.venue,))
            book = self.book(fill.key)
            if book is not None:
                self.put_expected(fill.key, book.expected + fill.moved)
        return bool(added)

    def fills_since(self, at: float) -> int:
        """Return how many fills there were since a moment, in epoch seconds."""
        return int(self.connection.execute("SELECT COUNT(*) FROM fills WHERE at > ?", (at,)).fetchone()[0])

    def filled(self, key: Key, client_id: str) -> Decimal:
        """Return the sum of the fills of an order."""
        rows = self.connection.execute(
            "SELECT quantity FROM fills WHERE client_id = ? AND venue = ? AND symbol = ?", (client_id, *key)
        )
        return sum((Decimal(quantity) for (quantity,) in rows), Decimal(0))

    def books(self) -> Iterator[Book]:
        """Yield what the position of each traded key must be."""
        for venue, symbol, taken_over, expected in self.connection.execute(
            "SELECT venue, symbol, taken_over, expected FROM books"
        ):
            yield Book(Key(venue, symbol), Decimal(taken_over), Decimal(expected))

    def book(self, key: Key) -> Book | None:
        """Return what the position of a key must be, None where it was never taken over."""
        row = self.connection.execute(
            "SELECT taken_over, expected FROM books WHERE venue = ? AND symbol = ?", key
        ).fetchone()
        return None if row is None else Book(key, Decimal(row[0]), Decimal(row[1]))

    def put_book(self, key: Key, taken_over: Decimal, at: float) -> None:
        """Take a position over as it is."""
        self.connection.execute(
            "INSERT OR REPLACE INTO books VALUES (?, ?, ?, ?, ?)", (*key, str(taken_over), str(taken_over), at)
        )

    def put_expected(self, key: Key, expected: Decimal) -> None:
        """Set what the position of a key must be."""
        self.connection.execute("UPDATE books SET expected = ? WHERE venue = ? AND symbol = ?", (str(expected), *key))

    def locks(self) -> Iterator[Lock]:
        """Yield the keys that are not traded."""
        for venue, symbol, reason, expected, actual, since in self.connection.execute(
            "SELECT venue, symbol, reason, expected, actual, since FROM locks"
        ):
            yield Lock(Key(venue, symbol), reason, Decimal(expected), Decimal(actual), since)

    def put_lock(self, lock: Lock) -> None:
        """Stop trading a key."""
        self.connection.execute(
            "INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?, ?, ?)",
            (*lock.key, lock.reason, str(lock.expected), str(lock.actual), lock.since),
        )

    def delete_lock(self, key: Key) -> None:
        """Trade a key again."""
        self.connection.execute("DELETE FROM locks WHERE venue = ? AND symbol = ?", key)

    def delete_book(self, key: Key) -> None:
        """Forget what the position of a key must be: the next look takes it over as it is."""
        self.connection.execute("DELETE FROM books WHERE venue = ? AND symbol = ?", key)

    def worths(self) -> dict[str, Worth]:
        """Return what each venue is believed to be worth."""
        rows = self.connection.execute("SELECT venue, equity, at, traded, doubted, doubted_at FROM capital")
        return {
            venue: Worth(
                Decimal(equity), at, bool(traded), None if doubted is None else Decimal(doubted), doubted_at or 0.0
            )
            for venue, equity, at, traded, doubted, doubted_at in rows
        }

    def put_worth(self, venue: str, worth: Worth) -> None:
        """Set what a venue is believed to be worth."""
        self.connection.execute(
            "INSERT OR REPLACE INTO capital VALUES (?, ?, ?, ?, ?, ?)",
            (
                venue,
                str(worth.equity),
                worth.at,
                int(worth.traded),
                None if worth.doubted is None else str(worth.doubted),
                worth.doubted_at,
            ),
        )

    def put_equity(self, venue: str, at: float, equity: Decimal) -> None:
        """Record a venue's equity, and thin what becomes old."""
        self.connection.execute("INSERT OR REPLACE INTO equity VALUES (?, ?, ?)", (venue, at, str(equity)))
        border = at - EVERY_EQUITY
        self.connection.execute(
            "DELETE FROM equity WHERE venue = ? AND at < ? AND at >= ? AND EXISTS (SELECT 1 FROM equity later"
            " WHERE later.venue = equity.venue AND later.at > equity.at AND later.at < ?"
            " AND CAST(later.at / 3600 AS INTEGER) = CAST(equity.at / 3600 AS INTEGER))",
            (venue, border, border - 7200, border),
        )
