"""An order's way: into the journal, to the venue, and its outcome back into the journal.

Nothing is ever sent twice: what is not proven is looked up by its client order id until it is.
"""

from __future__ import annotations

import time

import structlog

from portfoliod.errors import OrderRefused
from portfoliod.journal import Journal
from portfoliod.model import Fill, Intent, IntentStatus
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.desk import Desk
from portfoliod.venues import OrderReport

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Orders:
    """Sends the orders of one venue and finds out what became of them."""

    def __init__(self, desk: Desk, connection: Connection) -> None:
        self._desk = desk
        self._journal: Journal = desk.journal
        self._venue = connection.venue
        self._first_asked: dict[str, float] = {}

    async def send(self, number: int, intent: Intent, *, reduces: bool) -> IntentStatus:
        """Journal an intent, send it once and return how far it is known to have come.

        Raises:
            JournalFailed: nothing was sent.
            OrderRefused: the venue did not take it.
        """
        await self._journal.intend(number, intent)
        log.info("order.intended", **_fields(intent))
        halted = self._desk.halted()
        if halted and not reduces:
            await self._journal.settle(intent, IntentStatus.CANCELLED, f"not sent: {halted}")
            log.warning("order.cancelled", client_id=intent.client_id, symbol=intent.key.symbol, reason=halted)
            return IntentStatus.CANCELLED
        self._desk.count_order()
        log.info("order.sent", client_id=intent.client_id, venue=intent.key.venue, symbol=intent.key.symbol)
        try:
            report = await self._venue.place(intent)
        except OrderRefused as error:
            await self._journal.settle(intent, IntentStatus.REFUSED, error.what)
            log.error("order.refused", **_fields(intent), error=error.what, found=error.found)
            raise
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the order may have arrived
            log.warning("order.unknown", **_fields(intent), error=str(error))
            await self._journal.settle(intent, IntentStatus.UNKNOWN, str(error))
            return IntentStatus.UNKNOWN
        return await self._record(intent, report, "order.acknowledged")

    async def resolve(self, intent: Intent) -> IntentStatus:
        """Find out what became of an order, and return how far it is known to have come.

        Raises:
            VenueUnreachable: nothing is known yet.
        """
        first = self._first_asked.setdefault(intent.client_id, time.monotonic())
        report = await self._venue.find(intent.key.symbol, intent.client_id)
        if report is not None:
            return await self._record(intent, report, "order.resolved")
        if time.monotonic() - first < self._venue.absence_grace:
            return IntentStatus.UNKNOWN
        await self._journal.settle(intent, IntentStatus.CANCELLED, "the venue never got it")
        log.info("order.resolved", **_fields(intent), status="never arrived")
        self._first_asked.pop(intent.client_id, None)
        return IntentStatus.CANCELLED

    async def _record(self, intent: Intent, report: OrderReport, event: str) -> IntentStatus:
        log.info(event, client_id=intent.client_id, symbol=intent.key.symbol, status=str(report.status))
        new = await self._journal.settle(intent, report.status, str(report.status), report.fills)
        for fill in new:
            log_fill(fill)
        if report.status.terminal:
            self._first_asked.pop(intent.client_id, None)
        return report.status


def log_fill(fill: Fill) -> None:
    """Say that an order was filled."""
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
    )


def _fields(intent: Intent) -> dict[str, object]:
    return {
        "client_id": intent.client_id,
        "venue": intent.key.venue,
        "symbol": intent.key.symbol,
        "side": str(intent.side),
        "quantity": f"{intent.quantity:f}",
        "reduce_only": intent.reduce_only,
        "reason": intent.reason,
    }
