"""One worker a key: each look reads everything afresh, does at most one thing about it, and says when to look again."""

from __future__ import annotations

import asyncio
import random
import time
from decimal import Decimal
from enum import StrEnum

import msgspec
import structlog

from portfoliod.errors import JournalFailed, KeysRefused, OrderRefused, UnknownSymbol, VenueError, VenueUnreachable
from portfoliod.model import ZERO, Decision, Intent, IntentStatus, Key, Lock, MarketRules
from portfoliod.planning import FLATTENED, Leg, nearest_step, plan
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.orders import Orders
from portfoliod.risk import Circumstances, Refusal, check

log: structlog.stdlib.BoundLogger = structlog.get_logger()

NOW = 0.0
LONGEST_BACK_OFF = 60.0
AFTER_REFUSED_BY_RATE = 5.0


class Standing(StrEnum):
    """Where a key stands after a look."""

    IN_STEP = "in_step"
    WORKING = "working"
    UNKNOWN = "unknown"
    LOCKED = "locked"
    REFUSED = "refused"


class Look(msgspec.Struct, frozen=True):
    """What a look found, and in how many seconds to look again; None: when something happens."""

    standing: Standing
    reason: str
    again: float | None = None


class Worker:
    """Brings the position of one key to its target, one look at a time."""

    def __init__(self, key: Key, desk: Desk, connection: Connection, orders: Orders) -> None:
        self.key = key
        self.last = Look(Standing.UNKNOWN, "not looked at yet")
        self.position: Decimal | None = None
        self.price: Decimal | None = None
        self._desk = desk
        self._journal = desk.journal
        self._connection = connection
        self._venue = connection.venue
        self._orders = orders
        self._woken = asyncio.Event()
        self._busy = asyncio.Lock()
        self._touched = time.monotonic()
        self._version = 0
        self._failures = 0
        self._not_before = 0.0
        """When the next order may be sent, on the monotonic clock, after one that came to nothing."""
        self.refused_by = ""
        """The limit of [risk] that refused the last order, if one did."""
        self._rules: MarketRules | None = None
        self._in_parts = 0
        """The decision whose order was split, until its last part is filled."""

    def wake(self) -> None:
        """Ask for a look; many wishes are one look."""
        self._woken.set()

    def touch(self) -> None:
        """Note that the position changed: what was read before is old."""
        self._touched = time.monotonic()
        self._version += 1

    def decided_anew(self) -> None:
        """Forget how long to back off: the target is another one."""
        self._failures, self._not_before = 0, 0.0

    def look_afresh(self) -> None:
        """Look, at a position that is read from now on."""
        self._touched = time.monotonic()
        self.wake()

    @property
    def idle(self) -> bool:
        """Whether no look is under way."""
        return not self._busy.locked()

    async def run(self) -> None:
        """Look whenever woken, until cancelled."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None
        while True:
            await self._woken.wait()
            self._woken.clear()
            if timer is not None:
                timer.cancel()
            look = await self.look()
            timer = None if look.again is None else loop.call_later(look.again, self.wake)

    async def look(self) -> Look:
        """Look once, and do what is to be done about it."""
        async with self._busy:
            try:
                look = await self._look()
                self._connection.answered()
            except OrderRefused as error:
                look = self._came_to_nothing(error.what)
            except KeysRefused as error:
                self._desk.keys_refused(error)
                look = Look(Standing.UNKNOWN, error.what, self._back_off())
            except (VenueError, UnknownSymbol) as error:
                if isinstance(error, VenueUnreachable):
                    self._connection.failed(error)
                look = Look(Standing.UNKNOWN, error.what, self._back_off())
            except JournalFailed as error:
                self._desk.trip(error.what)
                look = Look(Standing.REFUSED, error.what, self._back_off())
            except Exception as error:
                log.exception("look.failed", venue=self.key.venue, symbol=self.key.symbol)
                look = Look(Standing.UNKNOWN, repr(error), self._back_off())
            self.last = look
            if look.again != NOW:
                await self._desk.reduction_done(self.key)
            return look

    async def _look(self) -> Look:
        if not self._connection.known:
            return Look(Standing.UNKNOWN, "the venue was never reached")
        unresolved = await self._resolve()
        if unresolved is not None:
            return unresolved
        version = self._version
        self._rules = rules = self._venue.rules(self.key.symbol)
        position, drift = await self._read_position(rules)
        self.position = position
        if version != self._version:
            return Look(Standing.WORKING, "filled meanwhile", NOW)
        if drift is not None:
            return drift
        decision = self._journal.targets.get(self.key)
        if decision is None:
            return Look(Standing.IN_STEP, "no target")
        return await self._trade(decision, position, rules, version)

    async def _resolve(self) -> Look | None:
        """Find out what became of orders that are not final, and return the look that ends here where one is not."""
        for intent in self._journal.unresolved(self.key):
            if self._desk.halted() and not intent.reduce_only:
                await self._venue.cancel(intent)
            status = await self._orders.resolve(intent)
            if not status.terminal:
                return Look(Standing.UNKNOWN, f"order {intent.client_id} is not resolved yet", self._back_off())
            self.touch()
            if await self._journal.filled(intent) == 0:
                return self._came_to_nothing(f"order {intent.client_id} was not filled: {status}")
        return None

    def _came_to_nothing(self, reason: str) -> Look:
        """Return the look after an order that moved nothing: another one only after a while."""
        again = self._back_off()
        self._not_before = time.monotonic() + again
        return Look(Standing.REFUSED, reason, again)

    async def _read_position(self, rules: MarketRules) -> tuple[Decimal, Look | None]:
        """Return the position, and the look that ends here where it is not explained."""
        ledger = self._desk.settings.reconciler.position_source == "ledger"
        book = self._journal.books.get(self.key)
        if ledger and book is not None:
            return book.expected, None
        snapshot = await self._venue.positions(self._touched)
        actual = snapshot.quantities.get(self.key.symbol, ZERO)
        if book is None:
            taken = ZERO if ledger else actual
            await self._journal.take_over(self.key, taken, time.time())
            log.info("position.taken_over", venue=self.key.venue, symbol=self.key.symbol, position=f"{taken:f}")
            return taken, None
        if abs(actual - book.expected) < rules.step:
            if self.key in self._journal.locks:
                await self._journal.unlock(self.key)
                log.info("symbol.unlocked", venue=self.key.venue, symbol=self.key.symbol, reason="the position is back")
            return actual, None
        version = self._version
        snapshot = await self._venue.positions(time.monotonic())
        actual = snapshot.quantities.get(self.key.symbol, ZERO)
        book = self._journal.books.get(self.key)
        if book is None:
            return actual, Look(Standing.WORKING, "unlocked while it was looked at", NOW)
        expected = book.expected
        if version != self._version or abs(actual - expected) < rules.step:
            return actual, Look(Standing.WORKING, "the position moved while it was read", NOW)
        return actual, await self._drifted(expected, actual)

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

    async def _trade(self, decision: Decision, position: Decimal, rules: MarketRules, version: int) -> Look:
        target = ZERO if self._desk.halt.flattening() else decision.quantity
        self.price = price = await self._fresh_price()
        small = self._desk.thresholds
        if self._in_parts == decision.number:
            # What is left of a split order may be small: it is no adjustment of its own.
            small = msgspec.structs.replace(small, no_trade_band=ZERO)
        planned = plan(target, position, price, rules, small)
        if not planned.legs and price is None and planned.difference != 0:
            return Look(Standing.UNKNOWN, planned.reason, self._back_off())
        if not planned.legs:
            self._failures, self._not_before, self._in_parts, self.refused_by = 0, 0.0, 0, ""
            waits = decision.quantity != 0 and self._desk.halt.flattening()
            return Look(Standing.IN_STEP, f"{FLATTENED}; {planned.reason}" if waits else planned.reason)
        leg = self._checked(planned.legs[0], decision, position, rules)
        if isinstance(leg, Refusal):
            again = AFTER_REFUSED_BY_RATE if leg.limit == "max_orders_per_minute" else None
            return Look(Standing.REFUSED, leg.reason, again)
        if not leg.reduce_only:
            # Before waiting for the others: two flips would wait for each other's second leg.
            await self._desk.reduction_done(self.key)
            if await self._desk.reductions_done(self.key):
                return Look(Standing.WORKING, "reductions went first", NOW)
        wait = self._not_before - time.monotonic()
        if wait > 0:
            return Look(Standing.REFUSED, self.last.reason, wait)
        if leg.quantity < planned.legs[0].quantity:
            self._in_parts = decision.number
        return await self._send(leg, decision, version)

    def _obsolete(self, leg: Leg, decision: Decision, version: int) -> str:
        """Return why an order that is planned must not be sent any more, or an empty string."""
        if self._desk.stopping:
            return "the daemon stops"
        if version != self._version or self._journal.targets.get(self.key) is not decision:
            return "something changed meanwhile"
        if leg.reduce_only:
            return ""
        most = self._desk.limits.max_orders_per_minute
        if 0 < most <= self._desk.orders_last_minute():
            return "max_orders_per_minute"
        return self._desk.halted()

    async def _fresh_price(self) -> Decimal | None:
        try:
            price = await self._venue.price(self.key.symbol)
        except VenueUnreachable:
            return None
        too_old = time.monotonic() - price.at > self._desk.settings.reconciler.price_max_age_seconds
        return None if too_old or not price.value.is_finite() or price.value <= 0 else price.value

    def _checked(self, leg: Leg, decision: Decision, position: Decimal, rules: MarketRules) -> Leg | Refusal:
        desk = self._desk
        checked = check(
            leg,
            rules,
            Circumstances(
                position=position,
                price=self.price or decision.price,
                account_value=decision.account_value,
                gross_notional=desk.gross_notional(),
                orders_last_minute=desk.orders_last_minute(),
                halted=desk.halted(),
                stale=desk.stale(decision),
            ),
            desk.limits,
        )
        if isinstance(checked, Refusal) and checked.limit != self.refused_by:
            self.refused_by = checked.limit
            log.warning(
                "risk.refused",
                venue=self.key.venue,
                symbol=self.key.symbol,
                limit=checked.limit,
                value=checked.value,
                side=str(leg.side),
                quantity=f"{leg.quantity:f}",
                reason=checked.reason,
            )
        return checked

    async def _send(self, leg: Leg, decision: Decision, version: int) -> Look:
        obsolete = self._obsolete(leg, decision, version)
        if obsolete:
            return Look(Standing.WORKING, obsolete, None if self._desk.stopping else NOW)
        at = time.time()
        number, client_id = self._journal.next_client_id(self.key, at)
        intent = Intent(
            client_id=client_id,
            key=self.key,
            side=leg.side,
            quantity=leg.quantity,
            reduce_only=leg.reduce_only,
            decision=decision.number,
            at=at,
            reason=leg.reason,
        )
        self.last = Look(Standing.WORKING, leg.reason)
        status = await self._orders.send(number, intent, lambda: self._obsolete(leg, decision, version))
        if status is None:
            return Look(Standing.WORKING, "not sent", None if self._desk.stopping else NOW)
        self.touch()
        if status is IntentStatus.UNKNOWN:
            return Look(Standing.UNKNOWN, "the outcome of an order is not known", NOW)
        if not status.terminal:
            return Look(Standing.WORKING, leg.reason, self._back_off())
        if await self._journal.filled(intent) == 0:
            return self._came_to_nothing(f"order {client_id} was not filled: {status}")
        return Look(Standing.WORKING, leg.reason, NOW)

    def _back_off(self) -> float:
        """Return how long to wait after the next failure in a row: doubling, with jitter."""
        self._failures += 1
        return min(LONGEST_BACK_OFF, 0.25 * 2.0 ** min(self._failures, 20)) * random.uniform(0.8, 1.2)  # noqa: S311

    def shown_target(self) -> Decimal:
        """Return the target in whole steps."""
        decision = self._journal.targets.get(self.key)
        if decision is None or self._rules is None:
            return ZERO
        return nearest_step(decision.quantity, self._rules.step)
