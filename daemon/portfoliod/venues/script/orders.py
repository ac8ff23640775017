"""Orders through a script: sent once, and what became of them as far as it can be proven.

A script that has get_order is asked. Of one that has none the position is read before and after: moved by exactly what
was ordered, the order is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from decimal import Decimal

import msgspec

from portfoliod.bounded import Bounded
from portfoliod.errors import OrderRefused, OrderUnknown, VenueUnreachable
from portfoliod.model import ZERO, Fill, Intent, IntentStatus
from portfoliod.venues.protocol import OrderReport, refused
from portfoliod.venues.script.answers import OrderAnswer
from portfoliod.venues.script.broker import Broker
from portfoliod.venues.script.lane import Lane

CONFIRM_SECONDS = 5.0
"""How long to wait until the position, or get_order, shows an order of which place_order said nothing."""
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
REMEMBERED = 1000
SAME = Decimal("0.00000001")
"""Quantities that differ by less are the same: scripts compute with floats."""


class Account(msgspec.Struct, frozen=True):
    """What orders need of the venue."""

    held: Callable[[str], Awaitable[Decimal]]
    """Reads the position in a market now."""
    price: Callable[[str], Awaitable[Decimal]]
    """The latest price of a market; 0 where nobody knows one."""
    quote: str
    ledger: bool
    grace: float
    """Seconds after a late call within which its order may still appear."""


class Orders:
    """Places orders and remembers what this process sent."""

    def __init__(self, broker: Broker, lane: Lane, account: Account) -> None:
        self._broker = broker
        self._lane = lane
        self._account = account
        self._looks_up = broker.functions.get_order is not None
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sent: Bounded[str, OrderReport | OrderRefused | None] = Bounded(REMEMBERED)
        """By client order id; None where the outcome is open."""

    async def place(self, intent: Intent) -> OrderReport:
        """Send an order, unless its id was sent already, and return what is known of it.

        Raises:
            OrderRefused: it was not sent, or the script says that it was not taken.
            OrderUnknown: it may have been taken.
        """
        async with self._locks[intent.key.symbol]:
            if intent.client_id in self._sent:
                return await self._sent_before(intent)
            return await self._place(intent)

    async def find(self, intent: Intent) -> OrderReport | None:
        """Return what is known of an order, None where neither this process nor the script knows it.

        Raises:
            VenueUnreachable: the script does not answer, or a late call may still bring the order about.
        """
        known = self._sent.get(intent.client_id)
        if isinstance(known, OrderReport):
            return known
        if isinstance(known, OrderRefused):
            return OrderReport(intent.client_id, IntentStatus.REFUSED, ZERO)
        answer = await self._asked(intent) if self._looks_up else None
        if answer is not None:
            return await self._report(intent, answer)
        just_ended = time.monotonic() - self._lane.late_until < self._account.grace
        if intent.client_id in self._sent and (self._lane.hangs or just_ended):
            raise VenueUnreachable(
                "a late call may still bring an order about",
                where=str(intent.key),
                found=f"{intent.client_id} is not known yet",
            )
        return None

    async def _sent_before(self, intent: Intent) -> OrderReport:
        known = self._sent[intent.client_id]
        if isinstance(known, OrderRefused):
            raise known
        found = await self.find(intent)
        if found is None:
            raise OrderUnknown("it was sent before, and what became of it is not known", where=str(intent.key))
        return found

    async def _place(self, intent: Intent) -> OrderReport:
        before = ZERO
        try:
            known = await self._asked(intent) if self._looks_up else None
            if not self._looks_up:
                before = await self._account.held(intent.key.symbol)
        except VenueUnreachable as error:
            # An order whose outcome could not be looked up afterwards is better not sent.
            raise refused(intent, f"not sent: {error.what}", error.found, error.mend) from error
        return await self._reported(intent, known or await self._send(intent, before))

    async def _send(self, intent: Intent, before: Decimal) -> OrderAnswer:
        self._sent[intent.client_id] = None
        try:
            answer = await self._broker.place(
                intent.key.symbol,
                intent.signed,
                intent.client_id,
                reduce_only=intent.reduce_only and not self._account.ledger,
                where=str(intent.key),
            )
        except OrderRefused as error:
            self._sent[intent.client_id] = error
            raise
        if answer is None or (answer.status is IntentStatus.WORKING and not self._looks_up):
            return await self._shown(intent, before)
        return answer

    async def _shown(self, intent: Intent, before: Decimal) -> OrderAnswer:
        """Wait until the broker shows an order that was sent."""
        deadline, pause = time.monotonic() + CONFIRM_SECONDS, FIRST_PAUSE
        while True:
            with contextlib.suppress(VenueUnreachable):
                answer = await (self._asked(intent) if self._looks_up else self._moved(intent, before))
                if answer is not None:
                    return answer
            if time.monotonic() > deadline:
                where = "get_order does not know it" if self._looks_up else "the position has not moved by it"
                raise OrderUnknown(
                    f"place_order returned, but {where} after {CONFIRM_SECONDS:g} s",
                    where=str(intent.key),
                    kept="it is looked up before anything else is sent there",
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _moved(self, intent: Intent, before: Decimal) -> OrderAnswer | None:
        moved = await self._account.held(intent.key.symbol) - before
        return OrderAnswer(IntentStatus.DONE, intent.quantity) if abs(moved - intent.signed) < SAME else None

    async def _asked(self, intent: Intent) -> OrderAnswer | None:
        return await self._broker.order(intent.key.symbol, intent.client_id, intent.signed, urgent=True)

    async def _reported(self, intent: Intent, answer: OrderAnswer) -> OrderReport:
        """Return the report of an order that was placed, or raise that it was refused."""
        if answer.status is IntentStatus.REFUSED:
            error = refused(intent, answer.reason or "get_order says that it was refused", "status refused")
            self._sent[intent.client_id] = error
            raise error
        return await self._report(intent, answer)

    async def _report(self, intent: Intent, answer: OrderAnswer) -> OrderReport:
        """Return a report, with one fill for all that filled so far: a script tells sums."""
        fills = []
        if answer.filled > 0:
            fills = [
                Fill(
                    key=intent.key,
                    trade_id=f"{intent.client_id}:{answer.filled.normalize():f}",
                    client_id=intent.client_id,
                    side=intent.side,
                    quantity=answer.filled,
                    price=answer.price or await self._account.price(intent.key.symbol),
                    fee=answer.fee,
                    fee_currency=answer.fee_currency or self._account.quote,
                    at=answer.at or time.time(),
                )
            ]
        report = OrderReport(
            intent.client_id, answer.status, answer.filled, fills, summed=True, guessed=not answer.price
        )
        known = self._sent.get(intent.client_id)
        if isinstance(known, OrderReport):
            return known
        if report.status.terminal:
            self._sent[intent.client_id] = report
        return report
