"""One worker a key: each look reads everything afresh, does at most one thing about it, and says when to look again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import structlog

from portfoliod.errors import (
    JournalFailed,
    KeysRefused,
    OrderRefused,
    UnknownSymbol,
    VenueError,
    VenuePaused,
    VenueStopped,
    VenueUnreachable,
)
from portfoliod.model import ZERO, Decision, Intent, IntentStatus, Key, MarketRules
from portfoliod.planning import FLATTENED, Leg, Plan, nearest_step, plan
from portfoliod.reconciler.availability import State
from portfoliod.reconciler.connection import GO_LIVE, Connection
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.look import NOW, Look, Standing
from portfoliod.reconciler.orders import Orders
from portfoliod.reconciler.patience import Patience
from portfoliod.reconciler.positions import PositionReader
from portfoliod.reconciler.refusals import Refusals
from portfoliod.risk import Circumstances, Refusal, check

log: structlog.stdlib.BoundLogger = structlog.get_logger()

AFTER_REFUSED_BY_RATE = 5.0
LATER_THAN_ASKED = (0.05, 0.5)
"""Seconds, drawn anew each time: the markets of a venue do not all come back from a pause in the same moment."""


class Worker:
    """Brings the position of one key to its target, one look at a time."""

    def __init__(self, key: Key, desk: Desk, connection: Connection, orders: Orders) -> None:
        self.key = key
        self.last = Look(Standing.UNKNOWN, "not looked at yet")
        self.position: Decimal | None = None
        self.price: Decimal | None = None
        self.looks = 0
        """How many there were."""
        self._desk = desk
        self._journal = desk.journal
        self._connection = connection
        self._venue = connection.venue
        self._orders = orders
        self._reader = PositionReader(key, desk, connection, orders)
        self._woken = asyncio.Event()
        self._busy = asyncio.Lock()
        self._patience = Patience()
        self._refusals = Refusals(key)
        self._rules: MarketRules | None = None
        self._in_parts = desk.journal.in_parts.get(key, 0)
        """The decision whose order was split, until its last part is filled."""

    def wake(self) -> None:
        """Ask for a look; many wishes are one look."""
        self._woken.set()

    def moved(self) -> None:
        """Note that the position moved, and look."""
        self._reader.moved()
        self.wake()

    def filled(self) -> None:
        """Note that an order of ours moved the position, and look."""
        self._reader.filled()
        self.wake()

    def decided_anew(self) -> None:
        """Forget how long to back off: the target is another one."""
        self._patience.forget()

    def look_afresh(self) -> None:
        """Look, at a position that is read from now on."""
        self._reader.expire()
        self.wake()

    @property
    def refused_by(self) -> str:
        """What refused the last order, if something did: a limit of [risk], halt or mode."""
        return self._refusals.by

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
            look = self.last = self._held_up() or await self._try()
            self.looks += 1
            if look.again != NOW and self._connection.pause() <= 0:
                # In a pause nobody on the venue trades: it goes first afterwards.
                await self._desk.reduction_done(self.key)
            return look

    def _held_up(self) -> Look | None:
        """Return the look that ends before it began, where the venue cannot or must not be asked."""
        venue = self._connection.availability()
        if venue.usable:
            return None
        standing = Standing.REFUSED if venue.state is State.STOPPED else Standing.UNKNOWN
        again = venue.seconds + random.uniform(*LATER_THAN_ASKED) if venue.seconds else None  # noqa: S311
        return Look(standing, venue.reason, again)

    async def _try(self) -> Look:
        """Look, and turn what goes wrong into where the key stands."""
        try:
            look = await self._look()
        except OrderRefused as error:
            return self._came_to_nothing(error.what)
        except (VenuePaused, VenueStopped) as error:
            self._connection.failed(error)
            return self._held_up() or Look(Standing.UNKNOWN, error.what, self._patience.after_failure())
        except (VenueError, UnknownSymbol) as error:
            if isinstance(error, (KeysRefused, VenueUnreachable)):
                self._desk.venue_failed(self._connection, error)
            return Look(Standing.UNKNOWN, error.what, self._patience.after_failure())
        except JournalFailed as error:
            self._desk.trip(error.what)
            return Look(Standing.REFUSED, error.what, self._patience.after_failure())
        except Exception as error:
            log.exception("look.failed", venue=self.key.venue, symbol=self.key.symbol)
            return Look(Standing.UNKNOWN, repr(error), self._patience.after_failure())
        self._connection.answered()
        return look

    async def _look(self) -> Look:
        unresolved = await self._resolve()
        if unresolved is not None:
            return unresolved
        version = self._reader.version
        self._rules = rules = self._venue.rules(self.key.symbol)
        self.position, unexplained = await self._reader.read(rules)
        if version != self._reader.version:
            return Look(Standing.WORKING, "filled meanwhile", NOW)
        if unexplained is not None:
            return unexplained
        decision = self._journal.targets.get(self.key)
        if decision is None:
            return Look(Standing.IN_STEP, "no target")
        return await self._trade(decision, self.position, rules, version)

    async def _resolve(self) -> Look | None:
        """Find out what became of orders that are not final, and return the look that ends here where one is not."""
        for intent in self._journal.unresolved(self.key):
            if self._desk.halted() and not intent.reduce_only and not self._connection.read_only:
                await self._venue.cancel(intent)
            found = await self._orders.resolve(intent)
            if not found.status.terminal:
                again = self._patience.before_asking_again()
                if found.doubt:
                    return await self._reader.lock_in_doubt(found.doubt, again)
                return Look(Standing.UNKNOWN, f"order {intent.client_id} is not resolved yet", again)
            self._patience.know_the_outcome()
            self._reader.filled()
            if await self._journal.filled(intent) == 0:
                return self._came_to_nothing(f"order {intent.client_id} was not filled: {found.status}")
        return None

    def _came_to_nothing(self, reason: str) -> Look:
        """Return the look after an order that moved nothing: another one only after a while, and at a new snapshot."""
        self._reader.expire()
        return Look(Standing.REFUSED, reason, self._patience.hold_orders_back(reason))

    async def _trade(self, decision: Decision, position: Decimal, rules: MarketRules, version: int) -> Look:
        target = ZERO if self._desk.halt.flattening() else decision.quantity
        self.price = price = await self._price_now()
        small = self._desk.thresholds
        if self._in_parts == decision.number:
            # What is left of a split order may be small: it is no adjustment of its own.
            small = msgspec.structs.replace(small, no_trade_band=ZERO)
        planned = plan(target, position, price, rules, small)
        if not planned.legs:
            return self._nothing_to_send(planned, decision)
        if self._connection.read_only:
            return self._only_planned(planned.legs)
        leg = self._checked(planned.legs[0], decision, position, rules)
        if isinstance(leg, Refusal):
            again = AFTER_REFUSED_BY_RATE if leg.limit == "max_orders_per_minute" else None
            return Look(Standing.REFUSED, leg.reason, again)
        if not leg.reduce_only:
            # Before waiting for the others: two flips would wait for each other's second leg.
            await self._desk.reduction_done(self.key)
            if await self._desk.reductions_done(self.key):
                return Look(Standing.WORKING, "reductions went first", NOW)
        wait = self._patience.before_an_order()
        if wait > 0:
            return Look(Standing.REFUSED, self._patience.set_back, wait)
        part = leg.quantity < planned.legs[0].quantity
        if part:
            self._in_parts = decision.number
        return await self._send(leg, decision, version, part=part)

    def _nothing_to_send(self, planned: Plan, decision: Decision) -> Look:
        if self.price is None and planned.difference != 0:
            return Look(Standing.UNKNOWN, planned.reason, self._patience.after_failure())
        self._patience.forget()
        self._refusals.forget()
        self._in_parts = 0
        waits = decision.quantity != 0 and self._desk.halt.flattening()
        return Look(Standing.IN_STEP, f"{FLATTENED}; {planned.reason}" if waits else planned.reason)

    def _only_planned(self, legs: Sequence[Leg]) -> Look:
        """Say what would be sent if the venue were traded on."""
        would = ", then ".join(f"{leg.side} {leg.quantity.normalize():f} ({leg.reason})" for leg in legs)
        reason = f"read only: would {would}; {GO_LIVE}"
        self._refusals.say(Refusal("mode", self._desk.settings.mode, reason), legs[0], self._cycle(), once=would)
        return Look(Standing.REFUSED, reason)

    def _obsolete(self, leg: Leg, decision: Decision, version: int) -> str:
        """Return why an order that is planned must not be sent any more, or an empty string."""
        if self._desk.stopping:
            return "the daemon stops"
        if version != self._reader.version or self._journal.targets.get(self.key) is not decision:
            return "something changed meanwhile"
        if not self._connection.availability().usable:
            return "the venue is stopped or paused"
        if leg.reduce_only:
            return ""
        most = self._desk.limits.max_orders_per_minute
        if 0 < most <= self._desk.orders_last_minute():
            return "max_orders_per_minute"
        return self._desk.halted()

    async def _price_now(self) -> Decimal | None:
        """Return the price, None where there is none: to close needs none."""
        try:
            return await self._connection.fresh_price(self.key.symbol, self._desk.oldest_price)
        except VenuePaused:
            raise
        except VenueUnreachable:
            return None

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
        if isinstance(checked, Refusal):
            self._refusals.say(checked, leg, self._cycle(), once=checked.limit)
        return checked

    async def _send(self, leg: Leg, decision: Decision, version: int, *, part: bool) -> Look:
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
            part=part,
            cycle="" if self._desk.halt.flattening() else decision.cycle,  # then a person is the cause
        )
        self.last = Look(Standing.WORKING, leg.reason)
        status = await self._orders.send(number, intent, lambda: self._obsolete(leg, decision, version))
        if status is None:
            return Look(Standing.WORKING, "not sent", None if self._desk.stopping else NOW)
        self._reader.filled()
        if status is IntentStatus.UNKNOWN:
            return Look(Standing.UNKNOWN, "the outcome of an order is not known", NOW)
        if not status.terminal:
            return Look(Standing.WORKING, leg.reason, self._patience.before_asking_again())
        if await self._journal.filled(intent) == 0:
            return self._came_to_nothing(f"order {client_id} was not filled: {status}")
        return Look(Standing.WORKING, leg.reason, NOW)

    def _cycle(self) -> str:
        decision = self._journal.targets.get(self.key)
        return "" if decision is None else decision.cycle

    def shown_target(self) -> Decimal:
        """Return the target in whole steps."""
        decision = self._journal.targets.get(self.key)
        if decision is None or self._rules is None:
            return ZERO
        return nearest_step(decision.quantity, self._rules.step)
