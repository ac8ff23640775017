"""One worker a market: it looks when woken, does what `decide_step` says, and knows when to look again."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

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
from portfoliod.model import IntentStatus, Key, Problem, Standing
from portfoliod.planning import Leg
from portfoliod.problems import Owner, Target
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.look import NOW, Look
from portfoliod.reconciler.market import Learned, Market
from portfoliod.reconciler.orders import Orders
from portfoliod.reconciler.snapshot import MarketSnapshot
from portfoliod.risk import Refusal
from portfoliod.step import State, actions, decide_step

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LATER_THAN_ASKED = (0.05, 0.5)
"""Seconds, drawn anew each time: the markets of a venue do not all come back from a pause in the same moment."""


class Worker:
    """Brings the position of one key to its target, one look at a time."""

    def __init__(self, key: Key, desk: Desk, connection: Connection, orders: Orders) -> None:
        self.key = key
        self.last = Look(Standing.UNKNOWN, "not looked at yet")
        self.position: Decimal | None = None
        self.refused_by = ""
        """What refused the last order, if something did: a limit of [risk], halt or mode."""
        self.looks = 0
        """How many there were."""
        self.market = Market(key, desk, connection, orders)
        self._desk = desk
        self._connection = connection
        self._woken = asyncio.Event()
        self._busy = asyncio.Lock()
        self._patience = self.market.patience

    def wake(self) -> None:
        """Ask for a look; many wishes are one look."""
        self._woken.set()

    def moved(self) -> None:
        """Note that the position moved, and look."""
        self.market.clock.moved()
        self.wake()

    def filled(self) -> None:
        """Note that an order of ours moved the position, and look."""
        self.market.clock.filled()
        self.wake()

    def decided_anew(self, price: Decimal | None) -> None:
        """Look at another target, decided at a price of this moment or at none; failures before hold nothing back."""
        self._patience.forget()
        self.market.decided_at(price)
        self.wake()

    def look_afresh(self) -> None:
        """Look, at a position that is read from now on."""
        self.market.clock.expire()
        self.wake()

    @property
    def idle(self) -> bool:
        """Whether no look is under way."""
        return not self._busy.locked()

    def snapshot(self) -> MarketSnapshot:
        """Return the market as it was at the last look."""
        market, decision = self.market, self._desk.journal.targets.get(self.key)
        return MarketSnapshot(
            self.key, decision, market.rules, self.position, market.price, self.last.standing, self.last.reason
        )

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
        """Look once, send at most one order, and return where the market stands."""
        async with self._busy:
            look = self.last = await self._try()
            self.looks += 1
            if look.again != NOW and self.market.availability.state is not State.PAUSED:
                # In a pause nobody on the venue trades: it goes first afterwards.
                await self._desk.reductions.done(self.key)
            return look

    async def _try(self) -> Look:
        """Look, and turn what goes wrong into where the key stands."""
        try:
            look = await self._look()
        except OrderRefused as error:
            self.market.availability = self._connection.availability()  # it may have begun a pause
            return self._held_back(error.what)
        except (VenuePaused, VenueStopped) as error:
            self._connection.failed(error)
            blocked = decide_step(self.market.gather(Learned()))
            if isinstance(blocked, actions.Wait) and not self.market.availability.usable:
                return self._waiting(blocked)
            return Look(Standing.UNKNOWN, error.what, self._patience.after_failure())
        except (VenueError, UnknownSymbol) as error:
            if isinstance(error, (KeysRefused, VenueUnreachable)):
                self._desk.venue_failed(self._connection, error)
            return Look(Standing.UNKNOWN, error.what, self._patience.after_failure())
        except JournalFailed as error:
            self._desk.halt.journal_failed(error)
            return Look(Standing.REFUSED, error.what, self._patience.after_failure())
        except Exception as error:
            log.exception("look.failed", venue=self.key.venue, symbol=self.key.symbol)
            return Look(Standing.UNKNOWN, repr(error), self._patience.after_failure())
        if self.market.availability.usable:
            self._connection.answered()
        return look

    async def _look(self) -> Look:
        """Do one thing after the other until there is nothing more to do, or an order was sent."""
        learned = Learned()
        while True:
            facts = self.market.gather(learned)
            action = decide_step(facts)
            match action:
                case actions.Wait():
                    return self._waiting(action)
                case actions.Done():
                    return self._done(action)
                case actions.Send():
                    return await self._send(action, learned, flattening=facts.flattening)
                case actions.AwaitReductions():
                    # Before waiting for the others: two flips would wait for each other's second leg.
                    await self._desk.reductions.done(self.key)
                    await self._desk.reductions.wait(self.key)
                    return Look(Standing.WORKING, "reductions went first", NOW)
                case _:
                    await self.market.carry_out(action, learned)

    async def _send(self, action: actions.Send, learned: Learned, *, flattening: bool) -> Look:
        reason = action.leg.reason
        self.position, self.last = action.position, Look(Standing.WORKING, reason)
        self.market.clock.explained()
        sent = await self.market.send(action, learned, flattening=flattening)
        if sent is None:
            return Look(Standing.WORKING, "not sent", None if self._desk.stopping else NOW)
        if sent.status is IntentStatus.UNKNOWN:
            return Look(Standing.UNKNOWN, "the outcome of an order is not known", NOW)
        if not sent.status.terminal:
            return Look(Standing.WORKING, reason, self._patience.before_asking_again())
        if sent.filled == 0:
            return self._held_back(f"order {sent.client_id} was not filled: {sent.status}")
        return Look(Standing.WORKING, reason, NOW)

    def _waiting(self, wait: actions.Wait) -> Look:
        """Return the look that ends with a wait."""
        if wait.position is not None:
            self.position = wait.position
        if wait.refusal is not None:
            self._say(wait.refusal, wait.legs[0])
        if wait.retry is actions.Retry.HOLD_BACK:
            return self._held_back(wait.reason)
        return Look(wait.standing, wait.reason, self._seconds(wait.retry))

    def _say(self, refusal: Refusal, leg: Leg) -> None:
        """Log what keeps an order from being sent, until it is something else."""
        self.refused_by = refusal.limit
        what = Problem(refusal.reason if refusal.limit == "mode" else refusal.limit)
        if self._desk.intake.problems.set(Owner.WORKER, Target(self.key), what):
            log.warning(
                "risk.refused",
                venue=self.key.venue,
                symbol=self.key.symbol,
                limit=refusal.limit,
                value=refusal.value,
                side=str(leg.side),
                quantity=f"{leg.quantity:f}",
                reason=refusal.reason,
                cycle=self.market.cycle,
            )

    def _seconds(self, retry: actions.Retry | float) -> float | None:
        match retry:
            case actions.Retry.ON_EVENT:
                return None
            case actions.Retry.AT_ONCE:
                return NOW
            case actions.Retry.AFTER_FAILURE:
                return self._patience.after_failure()
            case actions.Retry.AFTER_PAUSE:
                return self.market.availability.seconds + random.uniform(*LATER_THAN_ASKED)  # noqa: S311
            case actions.Retry.RE_READ:
                return self.market.clock.before_re_read()
            case actions.Retry.ASK_AGAIN:
                return self._patience.before_asking_again()
            case _:
                return float(retry)

    def _done(self, done: actions.Done) -> Look:
        self.position = done.position if done.position is not None else self.position
        self.market.in_step()
        self._patience.forget()
        self.refused_by = ""
        self._desk.intake.problems.set(Owner.WORKER, Target(self.key), None)
        return Look(Standing.IN_STEP, done.reason)

    def _held_back(self, reason: str) -> Look:
        """Return the look after an order that moved nothing: another one only after a while, and at a new snapshot."""
        self.market.clock.expire()
        return Look(Standing.REFUSED, reason, self._patience.hold_orders_back(reason))
