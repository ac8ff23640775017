"""The position of one key: read, compared with what our fills explain, and locked where they do not."""

from __future__ import annotations

import time
from decimal import Decimal

import structlog

from portfoliod.model import ZERO, Book, Key, Lock, MarketRules
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.look import NOW, Look, Standing
from portfoliod.reconciler.orders import Orders

log: structlog.stdlib.BoundLogger = structlog.get_logger()

FIRST_RE_READ = 0.05
LONGEST_RE_READ = 0.5
"""Seconds between two reads while the venue's positions may lag behind our fills."""
STREAM_SECONDS = 0.3
"""How long after a fill its position may still be on its way in the stream, so that it need not be asked for."""


class PositionReader:
    """Reads one key's position, and knows when what was read is old."""

    def __init__(self, key: Key, desk: Desk, connection: Connection, orders: Orders) -> None:
        self.key = key
        self.version = 0
        """Grows when the position moves: what was planned before is obsolete."""
        self._desk = desk
        self._journal = desk.journal
        self._connection = connection
        self._orders = orders
        self._newer_than = time.monotonic()
        self._afresh = True
        """Whether only a snapshot will do, whatever a stream says."""
        self._filled_at = time.monotonic()
        """When an own order last filled, as far as is known: at a start perhaps a moment ago."""
        self._re_reads = 0
        self._untold_since: float | None = None
        """Since when the venue counts fills of an order that had ended, and does not tell them."""

    def moved(self) -> None:
        """Note that the position moved: what was read before is old."""
        self.version += 1
        self._newer_than = time.monotonic()

    def filled(self) -> None:
        """Note that an order of ours moved the position."""
        self._filled_at = time.monotonic()
        self.moved()

    def expire(self) -> None:
        """Let the next read be of a snapshot that is made from now on."""
        self._newer_than = time.monotonic()
        self._afresh = True

    async def read(self, rules: MarketRules) -> tuple[Decimal, Look | None]:
        """Return the position, and the look that ends here where it cannot be traded from."""
        ledger = self._desk.settings.reconciler.position_source == "ledger"
        book = self._journal.books.get(self.key)
        if self._connection.read_only:
            return await self._look_only(book, ledger=ledger)
        if ledger and book is not None:
            return book.expected, None
        if book is None:
            actual = await self._snapshot(self._newer_than)
            return await self._take_over(ZERO if ledger else actual), None
        return self._streamed(book, rules) or await self._compared(book, rules)

    async def lock_in_doubt(self, reason: str, again: float) -> Look:
        """Lock the key because of an order whose outcome nothing tells, until something does or a person unlocks it."""
        if self.key not in self._journal.locks:
            book = self._journal.books.get(self.key)
            expected = ZERO if book is None else book.expected
            await self._journal.lock(Lock(self.key, reason, expected, expected, time.time()))
            mend = f"look at the venue, then: portfoliod unlock {self.key.symbol} (the order counts as over)"
            log.error("symbol.locked", venue=self.key.venue, symbol=self.key.symbol, reason=reason, mend=mend)
        lock = self._journal.locks.get(self.key)  # none where a person unlocked it meanwhile
        return Look(Standing.LOCKED, reason if lock is None else lock.reason, again)

    async def _compared(self, book: Book, rules: MarketRules) -> tuple[Decimal, Look | None]:
        actual = await self._snapshot(self._newer_than)
        if abs(actual - book.expected) < rules.step:
            self._re_reads = 0
            await self._unlock()
            return actual, None
        if self.key not in self._journal.locks and self._may_lag():
            return actual, self._read_anew()
        return await self._confirm(rules)

    def _streamed(self, book: Book, rules: MarketRules) -> tuple[Decimal, Look | None] | None:
        """Return the position that a stream tells, where our fills explain it; None where it has to be read.

        The venue and our own fills then agree, and were told apart from each other. Anything else is asked for, once
        the stream had its time: resyncs and reconnections always are.
        """
        if self._afresh or self.key in self._journal.locks:
            return None
        position = self._connection.venue.streamed_position(self.key.symbol)
        if position is None:
            return None
        if abs(position - book.expected) < rules.step:
            self._re_reads = 0
            return position, None
        if time.monotonic() - self._filled_at < STREAM_SECONDS:
            return position, Look(Standing.WORKING, "the stream does not show our last fill yet", FIRST_RE_READ)
        return None

    async def _snapshot(self, newer_than: float) -> Decimal:
        snapshot = await self._connection.venue.positions(newer_than)
        self._afresh = False
        self._connection.positions_at = snapshot.at
        return snapshot.quantities.get(self.key.symbol, ZERO)

    async def _look_only(self, book: Book | None, *, ledger: bool) -> tuple[Decimal, Look | None]:
        """Return the position of a key that is not traded: nothing is taken over, nothing compared."""
        if ledger:
            position = ZERO if book is None else book.expected
        else:
            position = await self._snapshot(self._newer_than)
        lock = self._journal.locks.get(self.key)
        return position, None if lock is None else Look(Standing.LOCKED, lock.reason)

    async def _take_over(self, position: Decimal) -> Decimal:
        await self._journal.take_over(self.key, position, time.time())
        log.info("position.taken_over", venue=self.key.venue, symbol=self.key.symbol, position=f"{position:f}")
        return position

    async def _unlock(self) -> None:
        if self.key in self._journal.locks:
            await self._journal.unlock(self.key)
            log.info("symbol.unlocked", venue=self.key.venue, symbol=self.key.symbol, reason="the position is back")

    def _may_lag(self) -> bool:
        return time.monotonic() - self._filled_at < self._connection.venue.snapshot_lag

    def _read_anew(self) -> Look:
        """Return the look that waits for the venue to count our last fill: to trade now would correct it twice."""
        self.expire()
        again = min(LONGEST_RE_READ, FIRST_RE_READ * 2.0 ** min(self._re_reads, 10))
        self._re_reads += 1
        return Look(Standing.WORKING, "the venue's positions do not show our last fill yet", again)

    async def _confirm(self, rules: MarketRules) -> tuple[Decimal, Look | None]:
        """Read a position that is not explained once more before that is called drift."""
        version = self.version
        actual = await self._snapshot(time.monotonic())
        book = self._journal.books.get(self.key)
        if book is None:
            return actual, Look(Standing.WORKING, "unlocked while it was looked at", NOW)
        if version != self.version or abs(actual - book.expected) < rules.step:
            return actual, Look(Standing.WORKING, "the position moved while it was read", NOW)
        lock = self._journal.locks.get(self.key)
        if lock is None or lock.actual != actual or self._untold_since is not None:
            all_told = await self._orders.ask_for_the_dead(self.key)
            if self._journal.books.get(self.key) is not book:
                self.filled()
                return actual, Look(Standing.WORKING, "an order that had ended filled after all", NOW)
            if self._waits_for_fills(all_told=all_told):
                reason = "an order that had ended filled after all; the venue does not tell its fills yet"
                return actual, Look(Standing.UNKNOWN, reason, LONGEST_RE_READ)
        return actual, await self._drifted(book.expected, actual)

    def _waits_for_fills(self, *, all_told: bool) -> bool:
        """Return whether fills that the venue counts may still be told. After the grace time the key is locked."""
        if all_told:
            self._untold_since = None
            return False
        now = time.monotonic()
        self._untold_since = self._untold_since or now
        return now - self._untold_since < self._connection.venue.absence_grace

    async def _drifted(self, expected: Decimal, actual: Decimal) -> Look | None:
        fields = {
            "venue": self.key.venue,
            "symbol": self.key.symbol,
            "expected": f"{expected:f}",
            "actual": f"{actual:f}",
        }
        if self._desk.settings.reconciler.on_drift == "adopt":
            log.warning("position.drifted", **fields, then="adopted: the difference to the target is traded")
            await self._journal.expect(self.key, actual)
            return None
        lock = self._journal.locks.get(self.key)
        reason = f"the position is {actual:f}, our fills explain {expected:f}"
        if lock is None or lock.actual != actual:
            await self._journal.lock(Lock(self.key, reason, expected, actual, time.time()))
            log.error("position.drifted", **fields)
            log.error("symbol.locked", **fields, mend=f"put it back, or: portfoliod unlock {self.key.symbol}")
        return Look(Standing.LOCKED, reason)
