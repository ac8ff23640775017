"""The account's streams: they say that something happened, and bring fills. What is held is read elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import structlog

from portfoliod.backoff import Backoff
from portfoliod.bounded import Bounded
from portfoliod.lean_ccxt import ccxt
from portfoliod.model import ZERO, Fill
from portfoliod.venues.ccxtpro.exchange import Exchange, decimal
from portfoliod.venues.ccxtpro.markets import Markets
from portfoliod.venues.ccxtpro.sockets import Sockets, account_stream
from portfoliod.venues.ccxtpro.trades import Trades, forced, said_client_id
from portfoliod.venues.protocol import Filled, Liquidated, PositionMoved, Reconnected, VenueEvent

log: structlog.stdlib.BoundLogger = structlog.get_logger()

FIRST_PAUSE = 0.25
"""Before a stream that broke is opened again."""
REMEMBERED = 3_000
"""Of what was told, so that nothing is told twice."""
Told = tuple[object, ...]
"""What names something that was told."""


class Streams:
    """Follows the account's streams and puts what they say into `events`."""

    def __init__(self, exchange: Exchange, trades: Trades, markets: Callable[[], Markets], *, spot: bool) -> None:
        self.events: asyncio.Queue[VenueEvent] = asyncio.Queue()
        self.news = asyncio.Event()
        """Set when a stream brought trades or orders."""
        self._exchange = exchange
        self._client = exchange.client
        self._trades = trades
        self._markets = markets
        self._spot = spot
        self._sockets = Sockets(exchange.client, self._caught_up, self._closed, self.drain)
        self._tasks: list[asyncio.Task[None]] = []
        self._broken: set[str] = set()
        """Streams that wait before they are opened again."""
        self._not_offered: set[str] = set()
        """Streams that need a market, or that this kind of account does not have."""
        self._missed = False
        """Whether something may have happened that no stream told."""
        self.lost_at = float("-inf")
        """When a stream broke off last, on the monotonic clock: what was read before may be true no more."""
        self._told: Bounded[Told, None] = Bounded(REMEMBERED)
        self._drained: dict[object, Mapping[Told, object]] = {}
        """What each cache held when it was last looked at, by the function that names its rows."""
        self._rows: dict[tuple[str, str], object] = {}
        """What the exchange said, as ccxt keeps it beside each row of its position cache."""
        self._said: dict[str, dict[str, Decimal]] = {}
        """By symbol the signed quantity of each leg, the one that was told last at the end."""

    @property
    def up(self) -> bool:
        """Whether a position that moves would be heard of."""
        return self._sockets.open and not self._broken and self._tells_positions()

    @property
    def open(self) -> bool:
        """Whether a socket of the account is open."""
        return self._sockets.open

    def start(self) -> None:
        """Open the streams that the exchange has."""
        if self._tasks:
            return
        for feature, method in self._watched():
            if self._exchange.has(feature):
                self._tasks.append(asyncio.create_task(self._follow(method), name=f"{self._exchange.venue} {method}"))

    async def close(self) -> None:
        """Stop following."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def drain(self) -> None:
        """Take in what ccxt's caches hold that was not told yet. They are in the order of arrival."""
        for trade in self._untold(getattr(self._client, "myTrades", None), _trade_key):
            self._take(self._take_trade, trade)
        for order in self._untold(getattr(self._client, "orders", None), _order_key):
            self._take(self._take_order, order)
        if not self._spot:
            self._take_positions()
        self.news.set()

    def position(self, symbol: str, *, hedged: bool) -> Decimal | None:
        """Return what the stream said last of a position: of a hedge both legs; None while it is not open."""
        legs = self._said.get(symbol)
        if not legs or not self.up:
            return None
        return sum(legs.values(), ZERO) if hedged else [*legs.values()][-1]

    def known(self, fill: Fill) -> None:
        """Note a fill that a reply told: the stream need not tell it again."""
        self._told[fill.key.symbol, fill.trade_id] = None

    def _watched(self) -> list[tuple[str, str]]:
        moves = ("watchBalance", "watch_balance") if self._spot else ("watchPositions", "watch_positions")
        return [moves, ("watchOrders", "watch_orders"), ("watchMyTrades", "watch_my_trades")]

    def _tells_positions(self) -> bool:
        feature, method = self._watched()[0]
        return self._exchange.has(feature) and method not in self._not_offered

    async def _follow(self, method: str) -> None:
        """Keep one stream open."""
        watch: Callable[[], Awaitable[object]] = getattr(self._client, method)
        backoff = Backoff(FIRST_PAUSE)
        while True:
            opened = time.monotonic()
            try:
                with account_stream():
                    await watch()
                self._caught_up()
                continue
            except (ccxt.NotSupported, ccxt.ArgumentsRequired) as error:
                self._not_offered.add(method)
                log.debug("stream.not_offered", venue=self._exchange.venue, stream=method, error=str(error)[:200])
                return
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Not we, but ccxt: it cancels those who wait for a socket that it closes.
            except Exception as error:  # noqa: BLE001 - whatever broke it, it is opened again
                log.debug("stream.broke", venue=self._exchange.venue, stream=method, error=self._exchange.said(error))
                self._sockets.forget_listen_key()
            self._broken.add(method)
            self._missed, self.lost_at = True, time.monotonic()
            self._said.clear()
            await asyncio.sleep(max(backoff.after_failure(time.monotonic() - opened), self._exchange.pause()))
            self._broken.discard(method)
            self._caught_up()  # another stream may have opened the socket that they share

    def _closed(self) -> None:
        if self._tasks and not self._missed:
            log.info("stream.interrupted", venue=self._exchange.venue)
        self._missed, self.lost_at = True, time.monotonic()

    def _caught_up(self) -> None:
        """Say that the streams are back, for what happened meanwhile never appears on them."""
        if self._missed and not self._broken and self._sockets.open:
            self._missed = False
            log.info("stream.reopened", venue=self._exchange.venue)
            self.events.put_nowait(Reconnected())

    def _untold(self, cache: Any, key: Callable[[Mapping[str, Any]], Told]) -> list[Mapping[str, Any]]:
        """Return the rows of a cache that were not told, oldest first: one that a reply told may stand behind them."""
        rows = {key(row): row for row in list(cache or [])}
        before, self._drained[key] = self._drained.get(key, {}), rows
        return [row for name, row in rows.items() if name not in before and name not in self._told]

    def _take(self, take: Callable[[Mapping[str, Any]], None], row: Mapping[str, Any]) -> None:
        """Take in a row; one that cannot be understood is a reason to look, and hides none behind it."""
        try:
            take(row)
        except Exception as error:
            log.exception("stream.row_failed", venue=self._exchange.venue, error=self._exchange.said(error))
            self.events.put_nowait(PositionMoved(str(row.get("symbol"))))

    def _take_trade(self, trade: Mapping[str, Any]) -> None:
        symbol = str(trade.get("symbol"))
        market = self._markets().get(symbol)
        if not self._first_time(_trade_key(trade)) or market is None:
            return
        trade = self._with_fee_as_cost(trade)
        told = self._trades.add(trade)
        self._take_forced(symbol, trade)
        named = told and self._exchange.lists_trades
        client_id = self._trades.client_id(str(trade.get("order"))) if named else None
        fill = None if client_id is None else self._trades.fill(trade, client_id, market)
        self.events.put_nowait(PositionMoved(symbol) if fill is None else Filled(fill))

    def _with_fee_as_cost(self, trade: Mapping[str, Any]) -> Mapping[str, Any]:
        fee = trade.get("fee")
        cost = None if not fee else decimal(fee.get("cost"))
        if cost is None or not fee or self._exchange.dialect.stream_fee_sign > 0:
            return trade
        return {**trade, "fee": {**fee, "cost": str(-cost)}, "fees": None}

    def _take_order(self, order: Mapping[str, Any]) -> None:
        symbol = str(order.get("symbol"))
        if not self._first_time(_order_key(order)) or self._markets().get(symbol) is None:
            return
        self._take_forced(symbol, order)
        if order.get("filled") and self._trades.client_id(str(order.get("id"))) is None:
            self.events.put_nowait(PositionMoved(symbol))

    def _take_forced(self, symbol: str, said: Mapping[str, Any]) -> None:
        info = said.get("info")
        what = forced(info)
        order_id = str(said.get("order") or said.get("id"))
        if what and self._first_time(("forced", order_id)):
            self.events.put_nowait(Liquidated(symbol, f"{what}, order {said_client_id(info) or order_id}"))

    def _take_positions(self) -> None:
        for row in _rows(getattr(self._client, "positions", None)):
            symbol, side = str(row.get("symbol")), str(row.get("side"))
            # A row that says the same again is news too: ccxt keeps a flat one beside the long one that it ended.
            if self._rows.get((symbol, side)) is row.get("info") or self._markets().get(symbol) is None:
                continue
            self._rows[symbol, side] = row.get("info")
            amount = decimal(row.get("contracts"))
            legs = self._said.setdefault(symbol, {})
            before = legs.pop(side, None)
            if amount is None:
                self._said.pop(symbol)
                self.events.put_nowait(PositionMoved(symbol))
                continue
            quantity = self._markets()[symbol].quantity(-abs(amount) if side == "short" else abs(amount))
            legs[side] = quantity
            if before != quantity:
                self.events.put_nowait(PositionMoved(symbol))

    def _first_time(self, what: Told) -> bool:
        if what in self._told:
            return False
        self._told[what] = None
        return True


def _trade_key(trade: Mapping[str, Any]) -> Told:
    return trade.get("symbol"), trade.get("id")


def _order_key(order: Mapping[str, Any]) -> Told:
    return order.get("symbol"), order.get("id"), order.get("status"), order.get("filled")


def _rows(cache: Any) -> Iterator[Mapping[str, Any]]:
    for rows in cache.values() if isinstance(cache, dict) else [cache]:
        yield from list(rows or [])
