"""Finding out what became of an order: by its ids, in the exchange's lists, by its trades."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import structlog

from portfoliod.bounded import Bounded
from portfoliod.errors import VenueUnreachable
from portfoliod.model import ZERO, Intent, IntentStatus
from portfoliod.venues.ccxtpro.account import Account
from portfoliod.venues.ccxtpro.budget import Urgency, urgent
from portfoliod.venues.ccxtpro.dialects import filled_in
from portfoliod.venues.ccxtpro.exchange import Exchange, OrderAbsent, decimal
from portfoliod.venues.ccxtpro.markets import Market
from portfoliod.venues.ccxtpro.outcomes import Outcome, outcome_of
from portfoliod.venues.ccxtpro.trades import Trades, said_client_id, whole_fill
from portfoliod.venues.protocol import OrderReport

log: structlog.stdlib.BoundLogger = structlog.get_logger()

STATUSES = {
    "open": IntentStatus.WORKING,
    "closed": IntentStatus.DONE,
    "canceled": IntentStatus.CANCELLED,
    "canceling": IntentStatus.WORKING,
    "expired": IntentStatus.CANCELLED,
    "rejected": IntentStatus.REFUSED,
}
STREAM_SECONDS = 0.25
"""How long trades that a stream brings are waited for before they are asked for."""
BEFORE = 60_000
"""Milliseconds before an intent from which its trades are looked for: clocks differ."""
REMEMBERED = 1_000
"""Orders whose moment is known in the exchange's time."""
TRADES_LAG = 10.0
"""Seconds after which the trades of an order that is not open any more are all listed."""


class LookUp:
    """What an exchange knows of our orders."""

    def __init__(
        self, exchange: Exchange, account: Account, trades: Trades, *, news: asyncio.Event, hears: Callable[[], bool]
    ) -> None:
        self._exchange = exchange
        self._account = account
        self._trades = trades
        self._news = news
        self._hears = hears
        self._sent_at: Bounded[str, int] = Bounded(REMEMBERED)
        """By client order id the exchange's time, in milliseconds, at which this process sent an order."""

    def sent(self, intent: Intent) -> None:
        """Note when an order is sent, in the exchange's time: our clock may step before it is asked for."""
        self._sent_at[intent.client_id] = self._exchange.client.milliseconds() - self._exchange.clock_ahead

    async def find(self, intent: Intent, market: Market) -> OrderReport | None:
        """Return what the exchange knows of an order, None where it does not know it now."""
        with urgent(urgency_of(intent)):
            order = await self.order(intent, market)
            if order is None:
                return await self._by_trades(intent, market)
            return await self.report(intent, order, market)

    async def order(self, intent: Intent, market: Market) -> Mapping[str, Any] | None:
        """Return an order as ccxt parsed it, None where the exchange does not know it now."""
        return await self._by_id(intent, market) or await self._in_lists(intent, market)

    async def _by_id(self, intent: Intent, market: Market) -> Mapping[str, Any] | None:
        """Return the order by its id, or by its client order id where the exchange can do that."""
        exchange = self._exchange
        order_id = self._trades.order_id(intent.client_id)
        if order_id is not None:
            parameters = dict(exchange.dialect.fetch_order)
        elif exchange.look_up is not None:
            order_id = exchange.dialect.look_up_id
            parameters = filled_in(exchange.look_up, self._exchange.dialect.client_order_id(intent.client_id))
        else:
            return None
        if not exchange.has("fetchOrder"):
            return None
        try:
            order = await exchange.read("fetch_order", order_id, market.listing.symbol, parameters)
        except OrderAbsent:
            return None
        except VenueUnreachable as error:
            cause = error.__cause__
            if exchange.lists_orders and cause and outcome_of(exchange.client.id, cause) is Outcome.REFUSED:
                return None  # it cannot be asked in this way; the lists say it too
            raise
        return order if isinstance(order, Mapping) and self._is_ours(order, intent) else None

    async def _in_lists(self, intent: Intent, market: Market) -> Mapping[str, Any] | None:
        """Return the order from the lists that the exchange has."""
        symbol, since = market.listing.symbol, self._from(intent)
        for feature, method, arguments in (
            ("fetchOpenOrders", "fetch_open_orders", (symbol,)),
            ("fetchOrders", "fetch_orders", (symbol, since)),
            ("fetchClosedOrders", "fetch_closed_orders", (symbol, since)),
            ("fetchCanceledOrders", "fetch_canceled_orders", (symbol, since)),
        ):
            if self._exchange.has(feature):
                for order in await self._exchange.read(method, *arguments):
                    if self._is_ours(order, intent):
                        return dict(order)
        return None

    async def _by_trades(self, intent: Intent, market: Market) -> OrderReport | None:
        """Return what trades alone say of an order, on an exchange that lists no finished ones."""
        if self._exchange.lists_orders or not self._exchange.has("fetchMyTrades"):
            return None
        self._trades.expect(self._exchange.dialect.client_order_id(intent.client_id), intent.client_id)
        await self._ask_for_trades(intent.quantity, self._trades.order_id(intent.client_id) or "", intent, market)
        order_id = self._trades.order_id(intent.client_id)
        fills = self._trades.fills(order_id, intent.client_id, market) if order_id else []
        if not fills:
            return None
        filled = sum((fill.quantity for fill in fills), ZERO)
        final = IntentStatus.DONE if filled >= intent.quantity else IntentStatus.CANCELLED
        settled = final is IntentStatus.DONE or time.time() - intent.at > TRADES_LAG
        return OrderReport(intent.client_id, final if settled else IntentStatus.WORKING, filled, fills)

    def _is_ours(self, order: Mapping[str, Any], intent: Intent) -> bool:
        named = order.get("clientOrderId") or said_client_id(order.get("info"))
        known = self._trades.order_id(intent.client_id)
        if known is not None and known == order.get("id"):
            return True
        return named is not None and self._exchange.dialect.client_order_id(intent.client_id) in str(named)

    async def report(self, intent: Intent, order: Mapping[str, Any], market: Market) -> OrderReport:
        """Return what an order, as ccxt parsed it, has come to."""
        order_id = str(order.get("id"))
        self._trades.name(order_id, intent.client_id)
        status = STATUSES.get(str(order.get("status")), IntentStatus.WORKING)
        filled = market.quantity(decimal(order.get("filled")) or ZERO)
        if filled >= intent.quantity and not status.terminal:
            status = IntentStatus.DONE
        summed = not self._exchange.lists_trades
        if summed:
            fills = [whole_fill(order, intent, filled)] if filled > 0 else []
        else:
            for trade in order.get("trades") or []:
                at = trade.get("timestamp") or order.get("lastTradeTimestamp") or order.get("timestamp")
                side = trade.get("side") or str(intent.side)
                self._trades.add({**trade, "order": order_id, "side": side, "timestamp": at})
            doubtful = status is IntentStatus.CANCELLED
            filled = max(filled, await self._trades_up_to(filled, order_id, intent, market, doubtful=doubtful))
            fills = self._trades.fills(order_id, intent.client_id, market)
        if fills:
            self._account.moved(market.listing.symbol)
        return OrderReport(intent.client_id, status, filled, fills, summed)

    async def _trades_up_to(
        self, filled: Decimal, order_id: str, intent: Intent, market: Market, *, doubtful: bool
    ) -> Decimal:
        """Wait for an order's trades, then ask for them, and return what they add up to.

        A cancelled order's trades are asked for in any case: "cancelled, filled 0" has been said of filled orders.
        """
        known = self._trades.filled(order_id, market)
        if known < filled and self._hears():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STREAM_SECONDS):
                    while self._trades.filled(order_id, market) < filled:
                        self._news.clear()
                        await self._news.wait()
            known = self._trades.filled(order_id, market)
        if known < filled or (doubtful and known == 0):
            await self._ask_for_trades(filled, order_id, intent, market)
        return self._trades.filled(order_id, market)

    async def _ask_for_trades(self, filled: Decimal, order_id: str, intent: Intent, market: Market) -> None:
        symbol = market.listing.symbol
        if order_id and self._exchange.has("fetchOrderTrades"):
            try:
                for trade in await self._exchange.read("fetch_order_trades", order_id, symbol):
                    self._trades.add({**trade, "order": trade.get("order") or order_id})
            except (VenueUnreachable, OrderAbsent) as error:
                log.debug("order.trades_unknown", client_id=intent.client_id, error=str(error))
            known = self._trades.filled(order_id, market)
            if known > 0 and known >= filled:
                return
        if self._exchange.has("fetchMyTrades"):
            try:
                for trade in await self._exchange.read("fetch_my_trades", symbol, self._from(intent)):
                    self._trades.add(trade)
            except OrderAbsent as error:
                log.debug("order.trades_unknown", client_id=intent.client_id, error=str(error))

    def _from(self, intent: Intent) -> int:
        """Return the exchange's time, in milliseconds, before which nothing of an order can have happened."""
        sent_at = self._sent_at.get(intent.client_id, int(intent.at * 1000) - self._exchange.clock_ahead)
        return sent_at - BEFORE


def urgency_of(intent: Intent) -> Urgency:
    """Return how urgent the requests about an order are."""
    return Urgency.REDUCTION if intent.reduce_only else Urgency.ORDER
