"""An order's way: into the journal, to the venue, and its outcome back into the journal.

Nothing is ever sent twice: what is not proven is looked up by its client order id until it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from portfoliod.errors import OrderRefused
from portfoliod.journal import Journal
from portfoliod.model import ZERO, Fill, Intent, IntentStatus
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

    async def send(self, number: int, intent: Intent, obsolete: Callable[[], str]) -> IntentStatus | None:
        """Journal an intent, send it once and return how far it is known to have come; None if it was not sent.

        Args:
            number: the intent's.
            intent: the order.
            obsolete: asked after the journal's flush, with nothing between its answer and the wire: why the order is
                not to be sent any more, or an empty string.

        Raises:
            JournalFailed: nothing was sent.
            OrderRefused: the venue did not take it.
        """
        await self._journal.intend(number, intent)
        log.info("order.intended", **_fields(intent))
        reason = obsolete()
        if reason:
            await self._journal.settle(intent, IntentStatus.CANCELLED, f"not sent: {reason}")
            log.warning("order.cancelled", client_id=intent.client_id, symbol=intent.key.symbol, reason=reason)
            return None
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
        report = await self._venue.find(intent)
        if report is not None:
            return await self._record(intent, report, "order.resolved")
        seen = intent.status is IntentStatus.WORKING
        if seen or time.monotonic() - first < self._venue.absence_grace:
            return intent.status if seen else IntentStatus.UNKNOWN
        await self._journal.settle(intent, IntentStatus.CANCELLED, "the venue never got it")
        log.info("order.resolved", **_fields(intent), status="never arrived")
        self._first_asked.pop(intent.client_id, None)
        return IntentStatus.CANCELLED

    async def _record(self, intent: Intent, report: OrderReport, event: str) -> IntentStatus:
        """Journal what the venue says. An order is final only once every fill that it counts is journaled."""
        self._first_asked.pop(intent.client_id, None)
        status = report.status
        known = sum((fill.quantity for fill in report.fills), ZERO)
        if status.terminal and known < report.filled:
            for fill in await self._journal.record_fills(report.fills):
                log_fill(fill)
            if await self._journal.filled(intent) < report.filled:
                status = IntentStatus.WORKING
        log.info(event, client_id=intent.client_id, symbol=intent.key.symbol, status=str(status))
        for fill in await self._journal.settle(intent, status, str(report.status), report.fills):
            log_fill(fill)
        return status


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
