"""One market, as its worker knows it: the facts of a moment, and the actions that can be carried out."""

from __future__ import annotations

import time
from decimal import Decimal

import msgspec
import structlog

from portfoliod.errors import (
    KeysRefused,
    MarketGone,
    PortfoliodError,
    VenueError,
    VenuePaused,
    VenueStopped,
    VenueUnreachable,
)
from portfoliod.model import ZERO, Halt, Intent, Key, Lock, MarketRules
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.orders import Orders
from portfoliod.reconciler.patience import Patience
from portfoliod.reconciler.positions import PositionClock
from portfoliod.step import Availability, Exposure, Facts, Price, Reading, Recheck, Resolution, actions, decide_step

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DECIDED_PRICE_SECONDS = 1.0
"""For how long the price that a target was decided at need not be asked for again."""


class Learned(msgspec.Struct):
    """What was asked for in one look."""

    halt: Halt | None = None
    availability: Availability | None = None
    """None: neither this nor the halt was asked for yet. Each is asked for once, and once more before the wire."""
    cancelled: frozenset[str] = frozenset()
    resolution: Resolution | None = None
    snapshot: Reading | None = None
    version: int = 0
    """Of the position, when the snapshot was asked for."""
    recheck: Recheck | None = None
    price: Price | None = None
    exposure: Exposure | None = None


class Market:
    """The facts of one key, and what can be done about it."""

    def __init__(self, key: Key, desk: Desk, connection: Connection, orders: Orders) -> None:
        self.key = key
        self.clock = PositionClock()
        self.patience = Patience()
        self.rules: MarketRules | None = None
        self.price: Decimal | None = None
        self.availability = connection.availability()
        self._desk = desk
        self._journal = desk.journal
        self._connection = connection
        self._venue = connection.venue
        self._orders = orders
        self._had_book = False
        self._decided_at: tuple[Decimal, float] | None = None
        """A price, and when a target was decided at it."""
        self._in_parts = desk.journal.in_parts.get(key, 0)
        """The decision whose order was split, until its last part is filled."""

    def decided_at(self, price: Decimal | None) -> None:
        """Note the price that a target was decided at just now, None where the worker has to ask for one."""
        self._decided_at = None if price is None else (price, time.monotonic())

    def in_step(self) -> None:
        """Note that the position is where it is to be: nothing is left of an order that was split."""
        self._in_parts = 0
        self.clock.explained()

    @property
    def cycle(self) -> str:
        """The cycle of the decision in force."""
        decision = self._journal.targets.get(self.key)
        return "" if decision is None else decision.cycle

    def gather(self, learned: Learned, *, own: str = "") -> Facts:
        """Return the facts of this moment.

        Args:
            learned: what was asked for in this look.
            own: an order of this look that was journaled and not sent yet: it is no fact.
        """
        desk, journal, clock = self._desk, self._journal, self.clock
        book, lock, decision = journal.books.get(self.key), journal.locks.get(self.key), journal.targets.get(self.key)
        if book is None and self._had_book:
            clock.expire()  # it was unlocked: what is taken over has to be read after that
            learned.snapshot = None
        self._had_book = book is not None
        connection = self._connection
        if learned.availability is None or own:
            learned.halt, learned.availability = desk.halt.now(), connection.availability()
        self.availability = learned.availability
        self.rules, gone, no_rules = self._rules() if connection.known else (None, False, "")
        return Facts(
            policy=desk.policy,
            availability=self.availability,
            read_only=connection.read_only,
            halt=learned.halt,
            rules=self.rules,
            gone=gone,
            no_rules=no_rules,
            book=book,
            lock=lock,
            decision=decision,
            pending=tuple(intent for intent in journal.unresolved(self.key) if intent.client_id != own),
            stopping=desk.stopping,
            cancelled=learned.cancelled,
            resolution=learned.resolution,
            moved=learned.snapshot is not None and learned.version != clock.version,
            streamed=None if clock.needs_snapshot else self._venue.streamed_position(self.key.symbol),
            snapshot=learned.snapshot,
            since_fill=clock.since_fill(),
            snapshot_lag=self._venue.snapshot_lag,
            fills_missing=clock.fills_missing,
            recheck=learned.recheck,
            price=learned.price,
            in_parts=decision is not None and self._in_parts == decision.number,
            exposure=learned.exposure,
            others_reduce=desk.reductions.others(self.key),
            held_back=self.patience.before_an_order(),
            set_back=self.patience.set_back,
        )

    def _rules(self) -> tuple[MarketRules | None, bool, str]:
        """Return the market's rules; None, whether it is gone, and why else they cannot be had."""
        try:
            return self._venue.rules(self.key.symbol), False, ""
        except MarketGone:
            return None, True, ""
        except PortfoliodError as error:
            return None, False, error.what

    async def carry_out(self, action: actions.Action, learned: Learned) -> None:
        """Do what was decided, and note in `learned` what it brought."""
        journal, key = self._journal, self.key
        match action:
            case actions.Cancel():
                learned.cancelled |= {action.intent.client_id}
                await self._cancel(action.intent)
            case actions.Resolve():
                learned.resolution = await self._resolved(action.intent)
            case actions.ReadPosition():
                learned.version = self.clock.version
                newer_than = time.monotonic() if action.confirm else self.clock.newer_than
                learned.snapshot = Reading(await self._snapshot(newer_than), confirmed=action.confirm)
            case actions.ReadPrice():
                learned.price = await self._price_now()
                self.price = learned.price.value
            case actions.MeasureExposure():
                learned.exposure = self._desk.exposure(key.venue, journal.targets.get(key))
            case actions.RecheckFinished():
                all_told, filled = await self._orders.ask_for_the_dead(key)
                waiting = not filled and self.clock.wait_for_fills(self._venue.absence_grace, all_told=all_told)
                if filled:
                    self.clock.filled()
                    learned.version = self.clock.version
                learned.recheck = Recheck(filled, waiting)
            case actions.TakeOver():
                await journal.take_over(key, action.quantity, time.time())
                position = f"{action.quantity:f}"
                log.info("position.taken_over", venue=key.venue, symbol=key.symbol, position=position)
            case actions.Adopt():
                then = "adopted: the difference to the target is traded"
                log.warning("position.drifted", **self._drift(action.quantity), then=then)
                await journal.expect(key, action.quantity)
            case actions.LockMarket():
                await self._lock(action)
            case actions.Unlock():
                await journal.unlock(key)
                log.info("symbol.unlocked", venue=key.venue, symbol=key.symbol, reason="the position is back")

    async def _cancel(self, intent: Intent) -> None:
        """Ask for a cancellation. What comes of it is for the look-up to say; that it failed, too."""
        try:
            await self._venue.cancel(intent)
        except (VenuePaused, VenueStopped, KeysRefused):
            raise
        except (VenueError, MarketGone) as error:
            named = {"client_id": intent.client_id, "venue": self.key.venue, "symbol": self.key.symbol}
            log.warning("order.not_cancelled", **named, error=error.what, found=error.found, kept="it is looked up")

    async def _resolved(self, intent: Intent) -> Resolution:
        try:
            found = await self._orders.resolve(intent)
        except MarketGone as error:
            doubt = f"{error.what}: nothing tells what became of order {intent.client_id}"
            return Resolution(intent.client_id, intent.status, ZERO, doubt)
        if not found.status.terminal:
            return found
        self.patience.know_the_outcome()
        self.clock.filled()
        return msgspec.structs.replace(found, filled=await self._journal.filled(intent))

    async def _snapshot(self, newer_than: float) -> Decimal:
        snapshot = await self._venue.positions(newer_than)
        self.clock.needs_snapshot = False
        self._connection.positions_at = snapshot.at
        return snapshot.quantity(self.key.symbol)

    async def _price_now(self) -> Price:
        """Return the price, that of a decision of this moment where there is one; none where none is to be had."""
        decided, self._decided_at = self._decided_at, None
        if decided is not None and time.monotonic() - decided[1] < DECIDED_PRICE_SECONDS:
            return Price(decided[0])
        try:
            return Price(await self._connection.fresh_price(self.key.symbol, self._desk.policy.oldest_price))
        except VenuePaused:
            raise
        except VenueUnreachable:
            return Price(None)

    async def _lock(self, action: actions.LockMarket) -> None:
        book = self._journal.books.get(self.key)
        expected = action.actual if book is None else book.expected
        await self._journal.lock(Lock(self.key, action.reason, expected, action.actual, time.time()))
        if self.key not in self._journal.locks:
            await self._journal.reread_switches()  # a person unlocked it meanwhile: that stands
            return
        if action.drifted:
            fields = self._drift(action.actual)
            log.error("position.drifted", **fields)
            log.error("symbol.locked", **fields, mend=f"put it back, or: portfoliod unlock {self.key.symbol}")
        else:
            mend = f"look at the venue, then: portfoliod unlock {self.key.symbol} (the order counts as over)"
            named = {"venue": self.key.venue, "symbol": self.key.symbol}
            log.error("symbol.locked", **named, reason=action.reason, mend=mend)

    def _drift(self, actual: Decimal) -> dict[str, str]:
        book = self._journal.books.get(self.key)
        expected = "" if book is None else f"{book.expected:f}"
        return {"venue": self.key.venue, "symbol": self.key.symbol, "expected": expected, "actual": f"{actual:f}"}

    async def send(self, action: actions.Send, learned: Learned, *, flattening: bool) -> Resolution | None:
        """Journal an order, send it and return what is known of it; None where the facts changed before the wire."""
        leg, at = action.leg, time.time()
        if not leg.reduce_only:
            await self._desk.reductions.done(self.key)
        number, client_id = self._journal.next_client_id(self.key, at)
        intent = Intent(
            client_id=client_id,
            key=self.key,
            side=leg.side,
            quantity=leg.quantity,
            reduce_only=leg.reduce_only,
            decision=action.decision,
            at=at,
            reason=leg.reason,
            part=action.part,
            cycle="" if flattening else self.cycle,  # then a person is the cause
        )

        def obsolete() -> str:
            if learned.exposure is not None:
                learned.exposure = self._desk.exposure(self.key.venue, self._journal.targets.get(self.key))
            now = decide_step(self.gather(learned, own=client_id))
            if now == action:
                return ""
            return now.reason if isinstance(now, (actions.Wait, actions.Done)) else "something changed meanwhile"

        if action.part:
            self._in_parts = action.decision
        status = await self._orders.send(number, intent, obsolete)
        if status is None:
            return None
        self.clock.filled()
        filled = await self._journal.filled(intent) if status.terminal else ZERO
        return Resolution(client_id, status, filled)
