"""Orders on an exchange: sent once, and never again under any name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import structlog

from portfoliod.bounded import Bounded
from portfoliod.errors import OrderRefused, OrderUnknown, VenueError, VenuePaused, VenueUnreachable
from portfoliod.model import ZERO, Intent, IntentStatus
from portfoliod.venues.ccxtpro.account import Account
from portfoliod.venues.ccxtpro.budget import Urgency, urgent
from portfoliod.venues.ccxtpro.exchange import Exchange
from portfoliod.venues.ccxtpro.lookup import LookUp, urgency_of
from portfoliod.venues.ccxtpro.markets import Market
from portfoliod.venues.ccxtpro.outcomes import Outcome, outcome_of
from portfoliod.venues.ccxtpro.parameters import must_name_a_price, parameters_of
from portfoliod.venues.ccxtpro.preparation import Preparation
from portfoliod.venues.ccxtpro.prices import Prices
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.ccxtpro.trades import Trades
from portfoliod.venues.protocol import OrderReport, refused

log: structlog.stdlib.BoundLogger = structlog.get_logger()

CERTAIN_REFUSALS = 2
"""Orders in a row that are refused for the keys, although reads are not: they may not trade."""

REMEMBERED = 10_000
"""Orders that this process sent: none of them is ever sent again."""


class Orders:
    """Sends the orders of one account, and cancels them."""

    def __init__(
        self,
        exchange: Exchange,
        settings: CcxtSettings,
        account: Account,
        trades: Trades,
        *,
        look_up: LookUp,
        preparation: Preparation,
        prices: Prices,
        ledger: bool,
    ) -> None:
        self._exchange = exchange
        self._settings = settings
        self._account = account
        self._trades = trades
        self._look_up = look_up
        self._preparation = preparation
        self._prices = prices
        self._ledger = ledger
        self.refused_one = False
        """Whether an order was refused since this was last reset: its market may not be what it was."""
        self._since = time.time()
        self._sending: dict[str, asyncio.Task[OrderReport]] = {}
        self._sent: Bounded[str, None] = Bounded(REMEMBERED)
        self._key_refusals = 0

    async def place(self, intent: Intent, market: Market) -> OrderReport:
        """Send an order, unless it may have been sent before: then return what became of it."""
        client_id = intent.client_id
        if client_id in self._sending:
            await asyncio.wait({self._sending[client_id]})
        if client_id in self._sent or intent.at < self._since:
            found = await self._look_up.find(intent, market)
            if found is not None:
                return found
        if client_id in self._sent:
            raise OrderUnknown(
                "sent before, and not known to the exchange now",
                where=str(intent.key),
                kept="it is not sent again: it may still arrive",
            )
        sending = asyncio.ensure_future(self._send(intent, market))
        self._sending[client_id] = sending
        try:
            return await sending
        finally:
            self._sending.pop(client_id, None)

    async def cancel(self, intent: Intent, market: Market) -> None:
        """Ask for a cancellation; an order that is final or unknown is no error."""
        with urgent(Urgency.REDUCTION):
            order_id = self._trades.order_id(intent.client_id)
            if order_id is None:
                order = await self._look_up.order(intent, market)
                order_id = None if order is None else order.get("id")
            if order_id is None:
                return
            try:
                self._exchange.check_pause()
                await self._exchange.client.cancel_order(order_id, market.listing.symbol)
            except VenuePaused:
                raise
            except Exception as error:
                outcome = outcome_of(self._exchange.client.id, error)
                if outcome not in {Outcome.ABSENT, Outcome.REFUSED}:
                    raise VenueUnreachable(
                        "the cancellation got no answer", found=self._exchange.said(error)
                    ) from error

    async def _send(self, intent: Intent, market: Market) -> OrderReport:
        if self._account.stopped is not None:
            raise refused(intent, self._account.stopped.what, self._account.stopped.found)
        with urgent(urgency_of(intent)):
            order = await self._written(intent, market)
            self._note_sent(intent)
            self._trades.expect(self._exchange.dialect.client_order_id(intent.client_id), intent.client_id)
            try:
                self._exchange.check_pause()
                reply = await self._exchange.client.create_order(*order)
            except VenuePaused as error:
                self._sent.pop(intent.client_id, None)
                raise refused(intent, "not sent: the exchange asks for a pause") from error
            except Exception as error:  # noqa: BLE001 - whatever it is, it is sorted
                return await self._failed(intent, market, error)
            self._key_refusals = 0
            try:
                return await self._acknowledged(intent, market, reply)
            except (VenueError, OrderRefused, OrderUnknown):
                raise
            except Exception as error:
                said = self._exchange.said(error)
                raise OrderUnknown("the answer cannot be read", where=str(intent.key), found=said) from error

    def _note_sent(self, intent: Intent) -> None:
        self._sent[intent.client_id] = None
        self._look_up.sent(intent)

    async def _written(self, intent: Intent, market: Market) -> tuple[object, ...]:
        """Return the arguments of ccxt's create_order.

        Raises:
            OrderRefused: it cannot be sent.
        """
        text = market.amount(intent)
        if not market.active and not intent.reduce_only:
            self.refused_one = True
            raise refused(intent, "not sent: the market is suspended")
        await self._preparation.prepare(market)
        price: float | None = None
        if must_name_a_price(intent, market, self._exchange):
            try:
                price = float((await self._prices.latest(market.listing.symbol)).value)
            except VenueError as error:
                raise refused(intent, "not sent: it must name a price", error.what) from error
        dialect, hedged = self._exchange.dialect, self._account.mode == "hedge"
        parameters = parameters_of(intent, market, dialect, self._settings, hedged=hedged, ledger=self._ledger)
        amount = float(text) if dialect.number_amounts else text
        return market.listing.symbol, "market", str(intent.side), amount, price, parameters

    async def _failed(self, intent: Intent, market: Market, error: Exception) -> OrderReport:
        """Return the order that exists under this id already, or raise what the failure is."""
        exchange = self._exchange
        outcome = outcome_of(exchange.client.id, error)
        said = exchange.said(error)
        if outcome is Outcome.DUPLICATE:
            found = await self._look_up.find(intent, market)
            if found is not None:
                return found
        if outcome in {Outcome.UNKNOWN, Outcome.ABSENT, Outcome.DUPLICATE}:
            raise OrderUnknown("the exchange's answer proves nothing", where=str(intent.key), found=said) from error
        self._sent.pop(intent.client_id, None)
        if outcome is Outcome.LATER:
            exchange.leave_alone()
        if outcome is Outcome.CLOCK:
            await exchange.set_clock()
        if outcome is Outcome.MODE:
            await self._account.check_mode(market.listing.symbol)
        if outcome is Outcome.KEYS:
            self._key_refusals += 1
            if self._key_refusals >= CERTAIN_REFUSALS or await exchange.keys_are_refused():
                raise exchange.keys_refused(error) from error
        self.refused_one |= outcome is Outcome.REFUSED
        why = outcome.value if outcome is not Outcome.REFUSED else said[:160]  # the exchange's own words
        raise refused(intent, f"the exchange refused the order: {why}", said) from error

    async def _acknowledged(self, intent: Intent, market: Market, order: Any) -> OrderReport:
        if not isinstance(order, Mapping) or (not order.get("id") and order.get("status") is None):
            raise OrderUnknown(
                "the exchange's answer names no order",
                where=str(intent.key),
                found=self._exchange.said(ValueError(order)),
            )
        if order.get("id"):
            self._trades.name(str(order["id"]), intent.client_id)
        if order.get("status") is None or order.get("filled") is None:
            try:
                found = await self._look_up.find(intent, market)
            except VenueError as error:
                log.debug("order.not_read_back", client_id=intent.client_id, error=str(error))
                found = None
            return found or OrderReport(intent.client_id, IntentStatus.WORKING, ZERO)
        return await self._look_up.report(intent, order, market)
