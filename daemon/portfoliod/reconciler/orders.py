"""An order's way: into the journal, to the venue, and its outcome back into the journal.

Nothing is ever sent twice: what is not proven is looked up by its client order id until it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal

import structlog

from portfoliod.errors import KeysRefused, OrderRefused, VenueStopped
from portfoliod.journal import Journal
from portfoliod.model import ZERO, Fill, Intent, IntentStatus, Key
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.increment import increment
from portfoliod.step.facts import Resolution
from portfoliod.venues import OrderReport

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DOUBTED = 20
"""Orders a key that ended unfilled, and are asked for once more where the position is not explained."""


class Orders:
    """Sends the orders of one venue and finds out what became of them."""

    def __init__(self, desk: Desk, connection: Connection) -> None:
        self._desk = desk
        self._journal: Journal = desk.journal
        self._venue = connection.venue
        self._first_asked: dict[str, float] = {}
        self._progress: dict[str, tuple[Decimal, float]] = {}
        """How much of an order seemed to be filled when only the position could tell, and since when."""

    async def send(self, number: int, intent: Intent, obsolete: Callable[[], str]) -> IntentStatus | None:
        """Journal an intent, send it once and return how far it is known to have come; None if it was not sent.

        Args:
            number: the intent's.
            intent: the order.
            obsolete: asked after the journal's flush, with nothing between its answer and the wire: why the order is
                not to be sent any more, or an empty string.

        Raises:
            JournalFailed: of the intent, and nothing was sent; or of what became of an order that was sent.
            OrderRefused: the venue did not take it.
            KeysRefused: the venue does not accept the keys. Whether it took the order is not known.
            VenueStopped: likewise, of an account that changed.
        """
        await self._journal.intend(number, intent)
        log.info("order.intended", **_fields(intent))
        try:
            reason = obsolete()
        except Exception as error:
            await self._journal.settle(intent, IntentStatus.CANCELLED, f"not sent: {error!r}")
            raise
        if reason:
            await self._journal.settle(intent, IntentStatus.CANCELLED, f"not sent: {reason}")
            log.warning("order.cancelled", **_named(intent), reason=reason)
            return None
        self._desk.rate.count()
        log.info("order.sent", **_named(intent))
        try:
            report = await self._venue.place(intent)
        except OrderRefused as error:
            await self._journal.settle(intent, IntentStatus.REFUSED, error.what)
            log.error("order.refused", **_fields(intent), error=error.what, found=error.found)
            raise
        except Exception as error:
            # Whatever went wrong, the order may have arrived.
            log.warning("order.unknown", **_fields(intent), error=str(error))
            await self._journal.settle(intent, IntentStatus.UNKNOWN, str(error))
            if isinstance(error, (KeysRefused, VenueStopped)):
                raise
            return IntentStatus.UNKNOWN
        return await self._record(intent, report, "order.acknowledged")

    async def resolve(self, intent: Intent) -> Resolution:
        """Find out what became of an order, and return how far it is known to have come.

        Raises:
            VenueUnreachable: nothing is known yet.
        """
        first = self._first_asked.setdefault(intent.client_id, time.monotonic())
        report = await self._venue.find(intent)
        if report is not None:
            return _found(intent, await self._record(intent, report, "order.resolved"))
        seen = intent.status is IntentStatus.WORKING
        if not self._venue.finds_orders:
            return await self._resolve_by_position(intent, seen=seen)
        if time.monotonic() - first < self._venue.absence_grace:
            return _found(intent, intent.status if seen else IntentStatus.UNKNOWN)
        if seen:
            return _found(
                intent, intent.status, f"the venue took order {intent.client_id} and does not know it any more"
            )
        await self._conclude(intent, IntentStatus.CANCELLED, "the venue never got it")
        return _found(intent, IntentStatus.CANCELLED)

    async def ask_for_the_dead(self, key: Key) -> tuple[bool, bool]:
        """Ask once more for a key's orders that ended unfilled, until one filled after all, and journal its fills.

        Returns:
            Whether the venue told each fill that it counts, and whether there were new ones.

        Raises:
            VenueUnreachable: it is not known.
        """
        all_told = True
        for intent in await self._journal.ended_unfilled(key, DOUBTED):
            report = await self._venue.find(intent)
            if report is None:
                continue
            new = await self._journal.record_fills(await self._fills(intent, report))
            for fill in new:
                log_fill(fill, intent.cycle)
            all_told = all_told and await self._journal.filled(intent) >= report.filled
            if new:
                return all_told, True
        return all_told, False

    async def _resolve_by_position(self, intent: Intent, *, seen: bool) -> Resolution:
        """Let the position say what became of an order that the venue cannot look up.

        Args:
            intent: the order.
            seen: whether the venue said once that it has the order: then its absence from the position is no proof.
        """
        still = IntentStatus.WORKING if seen else IntentStatus.UNKNOWN
        if self._desk.policy.ledger or intent.key not in self._journal.books:
            return _found(intent, still, f"nothing shows what became of order {intent.client_id}")
        snapshot = await self._venue.positions(time.monotonic())
        filled_before = await self._journal.filled(intent)
        left = intent.quantity - filled_before
        if left <= 0:
            await self._conclude(intent, IntentStatus.DONE, "its fills are all known")
            return _found(intent, IntentStatus.DONE)
        away = snapshot.quantity(intent.key.symbol) - self._journal.books[intent.key].expected
        moved = away * intent.side.sign
        if not self._at_rest(intent, filled_before + moved):
            return _found(intent, still)
        step = self._venue.rules(intent.key.symbol).step
        if abs(moved - left) < step:
            status, filled, outcome = IntentStatus.DONE, left, "the position shows that it filled"
        elif abs(moved) < step and not seen:
            status, filled, outcome = IntentStatus.CANCELLED, ZERO, "the position shows that it never arrived"
        elif 0 < moved < left and not seen:
            status, filled, outcome = IntentStatus.CANCELLED, moved, "the position shows that a part of it filled"
        else:
            return _found(
                intent,
                still,
                f"order {intent.client_id} does not explain the position: it moved by {away.normalize():f}",
            )
        fills = [await self._seen_in_position(intent, filled)] if filled > 0 else []
        await self._conclude(intent, status, outcome, fills)
        return _found(intent, status)

    def _at_rest(self, intent: Intent, progress: Decimal) -> bool:
        """Return whether an order did not move for so long that it moves no more, and no fill of it is on its way."""
        now = time.monotonic()
        before, since = self._progress.get(intent.client_id, (None, now))
        if before != progress:
            since = now
        self._progress[intent.client_id] = progress, since
        return now - since >= max(self._venue.absence_grace, self._venue.snapshot_lag)

    async def _seen_in_position(self, intent: Intent, quantity: Decimal) -> Fill:
        """Return the fill that a position stands for: at the price of now, for want of its own."""
        price = (await self._venue.price(intent.key.symbol)).value
        return Fill(
            key=intent.key,
            trade_id=f"{intent.client_id}-position",
            client_id=intent.client_id,
            side=intent.side,
            quantity=quantity,
            price=price,
            fee=ZERO,
            fee_currency="",
            at=time.time(),
        )

    async def _conclude(self, intent: Intent, status: IntentStatus, outcome: str, fills: Sequence[Fill] = ()) -> None:
        """Journal what was found out about an order without a report."""
        for fill in await self._journal.settle(intent, status, outcome, fills):
            log_fill(fill, intent.cycle)
        log.info("order.resolved", **_fields(intent), status=str(status), outcome=outcome)
        self._forget(intent)

    def _forget(self, intent: Intent) -> None:
        self._first_asked.pop(intent.client_id, None)
        self._progress.pop(intent.client_id, None)

    async def _record(self, intent: Intent, report: OrderReport, event: str) -> IntentStatus:
        """Journal what the venue says. An order is final only once every fill that it counts is journaled."""
        self._forget(intent)
        status, fills = report.status, await self._fills(intent, report)
        known = sum((fill.quantity for fill in fills), ZERO)
        if status.terminal and known < report.filled:
            for fill in await self._journal.record_fills(fills):
                log_fill(fill, intent.cycle)
            if await self._journal.filled(intent) < report.filled:
                status = IntentStatus.WORKING
        log.info(event, **_named(intent), status=str(status))
        for fill in await self._journal.settle(intent, status, str(report.status), fills):
            log_fill(fill, intent.cycle)
        return status

    async def _fills(self, intent: Intent, report: OrderReport) -> Sequence[Fill]:
        """Return a report's fills; of sums what the journal, in this process or before, does not have of them yet."""
        if not report.summed or not report.fills:
            return report.fills
        known = await self._journal.fills_of(intent)
        more = (increment(whole, known, guessed=report.guessed) for whole in report.fills)
        return [fill for fill in more if fill is not None]


def _found(intent: Intent, status: IntentStatus, doubt: str = "") -> Resolution:
    return Resolution(intent.client_id, status, ZERO, doubt)


def log_fill(fill: Fill, cycle: str) -> None:
    """Say that an order was filled, in the cycle of that order."""
    log.info(
        "order.filled",
        venue=fill.key.venue,
        symbol=fill.key.symbol,
        side=str(fill.side),
        quantity=f"{fill.quantity:f}",
        price=f"{fill.price:f}",
        fee=f"{fill.fee:f} {fill.fee_currency}",
        client_id=fill.client_id,
        trade_id=fill.trade_id,
        cycle=cycle,
    )


def _named(intent: Intent) -> dict[str, str]:
    return {
        "client_id": intent.client_id,
        "venue": intent.key.venue,
        "symbol": intent.key.symbol,
        "cycle": intent.cycle,
    }


def _fields(intent: Intent) -> dict[str, object]:
    return {
        "client_id": intent.client_id,
        "venue": intent.key.venue,
        "symbol": intent.key.symbol,
        "side": str(intent.side),
        "quantity": f"{intent.quantity:f}",
        "reduce_only": intent.reduce_only,
        "reason": intent.reason,
        "cycle": intent.cycle,
    }
