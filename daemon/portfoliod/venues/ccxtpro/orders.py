"""Orders on an exchange: sent once, found again by whatever the exchange can find them by."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import structlog

from portfoliod.errors import OrderRefused, OrderUnknown, VenueError, VenuePaused, VenueUnreachable
from portfoliod.model import ZERO, Intent, IntentStatus, Side
from portfoliod.venues.ccxtpro.account import Account
from portfoliod.venues.ccxtpro.budget import Urgency, urgent
from portfoliod.venues.ccxtpro.dialects import filled_in
from portfoliod.venues.ccxtpro.exchange import Exchange, OrderAbsent, decimal
from portfoliod.venues.ccxtpro.markets import Market
from portfoliod.venues.ccxtpro.outcomes import Outcome, outcome_of
from portfoliod.venues.ccxtpro.prices import Prices
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.ccxtpro.trades import Trades, said_client_id, synthetic_fill
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
TRADES_LAG = 10.0
"""Seconds after which the trades of an order that is not open any more are all listed."""
CERTAIN_REFUSALS = 2
"""Orders in a row that are refused for the keys, although reads are not: they may not trade."""


class Orders:
    """The orders of one account."""

    def __init__(
        self,
        exchange: Exchange,
        settings: CcxtSettings,
        account: Account,
        trades: Trades,
        *,
        prices: Prices,
        news: asyncio.Event,
        hears: Callable[[], bool],
        ledger: bool,
    ) -> None:
        self._exchange = exchange
        self._settings = settings
        self._account = account
        self._trades = trades
        self._prices = prices
        self._ledger = ledger
        self._since = time.time()
        self._sending: dict[str, asyncio.Task[OrderReport]] = {}
        self._sent: set[str] = set()
        self._key_refusals = 0
        self._prepared: set[str] = set()
        self._news = news
        self._hears = hears

    async def place(self, intent: Intent, market: Market) -> OrderReport:
        """Send an order, unless it may have been sent before: then return what became of it."""
        client_id = intent.client_id
        if client_id in self._sending:
            await asyncio.wait({self._sending[client_id]})
        if client_id in self._sent or intent.at < self._since:
            found = await self.find(intent, market)
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

    async def find(self, intent: Intent, market: Market) -> OrderReport | None:
        """Return what the exchange knows of an order, None where it does not know it now."""
        with urgent(_urgency(intent)):
            order = await self._look_up(intent, market) or await self._search(intent, market)
            if order is None:
                return await self._by_trades(intent, market)
            return await self._report(intent, order, market)

    async def cancel(self, intent: Intent, market: Market) -> None:
        """Ask for a cancellation; an order that is final or unknown is no error."""
        with urgent(Urgency.REDUCTION):
            order_id = self._trades.order_id(intent.client_id)
            if order_id is None:
                order = await self._look_up(intent, market) or await self._search(intent, market)
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

    async def prepare(self, market: Market) -> None:
        """Apply `margin_mode` and `set_leverage` to a market, once."""
        symbol = market.listing.symbol
        if symbol in self._prepared or market.rules.spot:
            return
        self._prepared.add(symbol)
        margin, leverage = self._settings.margin_mode, self._settings.set_leverage
        said_in = self._exchange.dialect.margin_mode_in
        if margin is not None and said_in != "orders" and self._exchange.has("setMarginMode"):
            more = {} if leverage is None or said_in == "market" else {"lever": str(leverage)}
            await self._apply("set_margin_mode", margin, symbol, more)
        if leverage is not None and self._exchange.has("setLeverage"):
            mode = {} if margin is None or said_in == "market" else {"marginMode": margin}
            for leg in self._legs_with_leverage():
                await self._apply("set_leverage", leverage, symbol, mode | leg)

    def _legs_with_leverage(self) -> list[dict[str, str]]:
        """Return what names each part of a market that has a leverage of its own."""
        side = self._exchange.dialect.leverage_side
        if side is None or self._settings.margin_mode != "isolated" or self._account.mode != "hedge":
            return [{}]
        return [{side.field: side.long}, {side.field: side.short}]

    async def _apply(self, method: str, *arguments: object) -> None:
        try:
            await getattr(self._exchange.client, method)(*arguments)
        except Exception as error:  # noqa: BLE001 - the account's own setting stays, and that is said
            if type(error).__name__ not in {"NoChange", "MarginModeAlreadySet"}:
                log.warning(
                    "venue.setting_refused",
                    venue=self._exchange.venue,
                    setting=f"{method} {arguments[:2]}",
                    error=self._exchange.said(error),
                    kept="the account's own setting",
                )

    async def _send(self, intent: Intent, market: Market) -> OrderReport:
        text = market.amount(intent)
        amount = float(text) if self._exchange.dialect.number_amounts else text
        self._exchange.check_pause()
        if self._account.stopped is not None:
            raise OrderRefused(self._account.stopped.what, where=str(intent.key), found=self._account.stopped.found)
        with urgent(_urgency(intent)):
            await self.prepare(market)
            price = await self._price_to_name(intent, market)
            parameters = self._parameters(intent, market)
            self._sent.add(intent.client_id)
            self._trades.expect(self._client_order_id(intent), intent.client_id)
            try:
                order = await self._exchange.client.create_order(
                    market.listing.symbol, "market", str(intent.side), amount, price, parameters
                )
            except VenuePaused as error:
                self._sent.discard(intent.client_id)
                raise OrderRefused("not sent: the exchange asks for a pause", where=str(intent.key)) from error
            except Exception as error:  # noqa: BLE001 - whatever it is, it is sorted
                return await self._failed(intent, market, error)
            self._key_refusals = 0
            try:
                return await self._acknowledged(intent, market, order)
            except (VenueError, OrderRefused, OrderUnknown):
                raise
            except Exception as error:
                said = self._exchange.said(error)
                raise OrderUnknown("the answer cannot be read", where=str(intent.key), found=said) from error

    async def _failed(self, intent: Intent, market: Market, error: Exception) -> OrderReport:
        """Return the order that exists under this id already, or raise what the failure is."""
        exchange = self._exchange
        outcome = outcome_of(exchange.client.id, error)
        said = exchange.said(error)
        if outcome is Outcome.DUPLICATE:
            found = await self.find(intent, market)
            if found is not None:
                return found
        if outcome in {Outcome.UNKNOWN, Outcome.ABSENT, Outcome.DUPLICATE}:
            raise OrderUnknown("the exchange's answer proves nothing", where=str(intent.key), found=said) from error
        self._sent.discard(intent.client_id)
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
        raise OrderRefused(
            f"the exchange refused the order: {outcome.value}" if outcome is not Outcome.REFUSED else _reason(said),
            where=str(intent.key),
            found=said,
            kept="the position stays as it is",
        ) from error

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
                found = await self.find(intent, market)
            except VenueError as error:
                log.debug("order.not_read_back", client_id=intent.client_id, error=str(error))
                found = None
            return found or OrderReport(intent.client_id, IntentStatus.WORKING, ZERO)
        return await self._report(intent, order, market)

    async def _look_up(self, intent: Intent, market: Market) -> Mapping[str, Any] | None:
        """Return the order by its id, or by its client order id where the exchange can do that."""
        exchange = self._exchange
        order_id = self._trades.order_id(intent.client_id)
        if order_id is not None:
            parameters = dict(exchange.dialect.fetch_order)
        elif exchange.look_up is not None:
            order_id = exchange.dialect.look_up_id
            parameters = filled_in(exchange.look_up, self._client_order_id(intent))
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

    async def _search(self, intent: Intent, market: Market) -> Mapping[str, Any] | None:
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
        self._trades.expect(self._client_order_id(intent), intent.client_id)
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
        return named is not None and self._client_order_id(intent) in str(named)

    async def _report(self, intent: Intent, order: Mapping[str, Any], market: Market) -> OrderReport:
        order_id = str(order.get("id"))
        self._trades.name(order_id, intent.client_id)
        for trade in order.get("trades") or []:
            at = trade.get("timestamp") or order.get("lastTradeTimestamp") or order.get("timestamp")
            side = trade.get("side") or str(intent.side)
            self._trades.add({**trade, "order": order_id, "side": side, "timestamp": at})
        status = STATUSES.get(str(order.get("status")), IntentStatus.WORKING)
        filled = market.quantity(decimal(order.get("filled")) or ZERO)
        if filled >= intent.quantity and not status.terminal:
            status = IntentStatus.DONE
        known = await self._trades_up_to(filled, order_id, intent, market, doubtful=status is IntentStatus.CANCELLED)
        if filled > known and not (self._exchange.has("fetchMyTrades") or self._exchange.has("fetchOrderTrades")):
            return OrderReport(intent.client_id, status, filled, [synthetic_fill(order, intent, filled)])
        fills = self._trades.fills(order_id, intent.client_id, market)
        if fills:
            self._account.moved(market.listing.symbol)
        return OrderReport(intent.client_id, status, max(filled, known), fills)

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

    async def _price_to_name(self, intent: Intent, market: Market) -> float | None:
        """Return the price that a market order has to carry on some exchanges, None elsewhere."""
        options = self._exchange.client.options
        required = options.get("createMarketBuyOrderRequiresPrice")
        if required is None:
            required = (options.get("createOrder") or {}).get("createMarketBuyOrderRequiresPrice")
        by_cost = market.rules.spot and intent.side is Side.BUY and required is True
        if not (by_cost or self._exchange.dialect.priced_market_orders):
            return None
        return float((await self._prices.latest(market.listing.symbol)).value)

    def _parameters(self, intent: Intent, market: Market) -> dict[str, object]:
        dialect = self._exchange.dialect
        parameters: dict[str, object] = {dialect.client_id_field: self._client_order_id(intent)}
        if market.rules.spot:
            if intent.reduce_only and intent.side is Side.BUY:
                raise OrderRefused("a purchase reduces nothing on a spot market", where=str(intent.key))
            return parameters
        if dialect.leverage_in_orders and self._settings.set_leverage is not None:
            parameters["leverage"] = self._settings.set_leverage
        if self._account.mode == "hedge":
            return parameters | self._leg(intent)
        if intent.reduce_only and not self._ledger:
            parameters["reduceOnly"] = True
        return parameters

    def _leg(self, intent: Intent) -> dict[str, object]:
        """Return how an order names the leg of a hedge; a leg cannot be reduced below nothing."""
        dialect = self._exchange.dialect
        if dialect.hedge_side is not None:
            long = (intent.side is Side.BUY) is not intent.reduce_only
            return {dialect.hedge_side.field: dialect.hedge_side.long if long else dialect.hedge_side.short}
        hedged: dict[str, object] = {} if dialect.hedge_by_reduction else {"hedged": True}
        # ccxt turns the two into the side of the position.
        return hedged | ({"reduceOnly": True} if intent.reduce_only else {})

    def _from(self, intent: Intent) -> int:
        """Return the exchange's time, in milliseconds, before which nothing of an order can have happened."""
        return int(intent.at * 1000) - self._exchange.clock_ahead - BEFORE

    def _client_order_id(self, intent: Intent) -> str:
        return self._exchange.dialect.client_order_id(intent.client_id)


def _urgency(intent: Intent) -> Urgency:
    return Urgency.REDUCTION if intent.reduce_only else Urgency.ORDER


def _reason(said: str) -> str:
    """Return the exchange's own words of a refusal, in one short line."""
    return f"the exchange refused the order: {said[:160]}"
