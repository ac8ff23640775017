"""The paper account: cash, positions, orders and trades, on disk before an order is answered."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from portfoliod.errors import VenueUnreachable
from portfoliod.model import ZERO, Fill, IntentStatus, Key, Side

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (symbol TEXT PRIMARY KEY, quantity TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    client_id TEXT PRIMARY KEY, symbol TEXT NOT NULL, status TEXT NOT NULL, filled TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trades (
    id INTEGER PRIMARY KEY, client_id TEXT NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL, quantity TEXT NOT NULL,
    price TEXT NOT NULL, fee TEXT NOT NULL, fee_currency TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS trades_by_order ON trades (client_id);
"""


class PaperOrder(msgspec.Struct, frozen=True):
    """An order that the account took."""

    symbol: str
    status: IntentStatus
    filled: Decimal


class Account:
    """The account in a file; without a path in memory, for a look at an account that does not exist yet."""

    def __init__(self, venue: str, path: Path | None, balance: Decimal, now: float, *, read_only: bool) -> None:
        self._venue = venue
        try:
            self._connection = _connect(path, read_only=read_only)
            if not read_only or path is None or not path.exists():
                self._connection.executescript(SCHEMA)
                with self._connection:
                    self._connection.execute("INSERT OR IGNORE INTO facts VALUES ('cash', ?)", (str(balance),))
                    self._connection.execute("INSERT OR IGNORE INTO facts VALUES ('opened_at', ?)", (repr(now),))
        except sqlite3.Error as error:
            raise self._unreachable(error) from error
        self.opened_at = float(self._fact("opened_at"))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def cash(self) -> Decimal:
        """What is left of the balance after all purchases, sales and fees."""
        return Decimal(self._fact("cash"))

    def positions(self) -> dict[str, Decimal]:
        """Return every position that is not flat."""
        rows = self._read("SELECT symbol, quantity FROM positions")
        return {symbol: Decimal(quantity) for symbol, quantity in rows}

    def count_orders(self) -> int:
        """Return how many orders the account has taken."""
        return int(self._read("SELECT count(*) FROM orders")[0][0])

    def last_price(self, symbol: str) -> Decimal:
        """Return the price of the last trade in a market, 0 where there was none."""
        rows = self._read("SELECT price FROM trades WHERE symbol = ? ORDER BY id DESC LIMIT 1", symbol)
        return Decimal(rows[0][0]) if rows else ZERO

    def order(self, client_id: str) -> PaperOrder | None:
        """Return an order by its client order id."""
        rows = self._read("SELECT symbol, status, filled FROM orders WHERE client_id = ?", client_id)
        row = rows[0] if rows else None
        return None if row is None else PaperOrder(row[0], IntentStatus(row[1]), Decimal(row[2]))

    def fills(self, client_id: str) -> list[Fill]:
        """Return the trades of an order."""
        rows = self._read(
            "SELECT id, symbol, side, quantity, price, fee, fee_currency, at FROM trades WHERE client_id = ?", client_id
        )
        return [
            Fill(
                Key(self._venue, symbol),
                str(number),
                client_id,
                Side(side),
                Decimal(quantity),
                Decimal(price),
                Decimal(fee),
                fee_currency,
                at,
            )
            for number, symbol, side, quantity, price, fee, fee_currency, at in rows
        ]

    def execute(self, fill: Fill) -> Fill:
        """Fill an order whole, in one transaction, and return the trade with its id."""
        symbol = fill.key.symbol
        held = self.positions().get(symbol, ZERO) + fill.signed
        cash = self.cash - fill.signed * fill.price - fill.fee
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.execute("UPDATE facts SET value = ? WHERE key = 'cash'", (str(cash),))
                if held == 0:
                    self._connection.execute("DELETE FROM positions WHERE symbol = ?", (symbol,))
                else:
                    self._connection.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (symbol, str(held)))
                self._connection.execute(
                    "INSERT INTO orders VALUES (?, ?, ?, ?)",
                    (fill.client_id, symbol, IntentStatus.DONE, str(fill.quantity)),
                )
                number = self._connection.execute(
                    "INSERT INTO trades (client_id, symbol, side, quantity, price, fee, fee_currency, at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        fill.client_id,
                        symbol,
                        fill.side,
                        str(fill.quantity),
                        str(fill.price),
                        str(fill.fee),
                        fill.fee_currency,
                        fill.at,
                    ),
                ).lastrowid
        except sqlite3.Error as error:
            raise self._unreachable(error) from error
        return msgspec.structs.replace(fill, trade_id=str(number))

    def _fact(self, key: str) -> str:
        rows = self._read("SELECT value FROM facts WHERE key = ?", key)
        if not rows:
            raise self._unreachable(LookupError(f"it has no {key}"))
        return str(rows[0][0])

    def _read(self, query: str, *parameters: str) -> list[Any]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> VenueUnreachable:
        return VenueUnreachable(
            "the paper account cannot be used",
            where=f"venue {self._venue}",
            found=str(error),
            kept="targets stay as they are",
            mend="mend var/, or remove the account's file to start a new one",
        )


def _connect(path: Path | None, *, read_only: bool) -> sqlite3.Connection:
    if path is None or (read_only and not path.exists()):
        return sqlite3.connect(":memory:", isolation_level=None)
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None)
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    return connection
