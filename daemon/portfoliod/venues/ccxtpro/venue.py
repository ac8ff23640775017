"""An account on an exchange that ccxt covers, behind the Venue protocol."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import NamedTuple

import structlog

from portfoliod.credentials import Credentials
from portfoliod.errors import VenueUnreachable
from portfoliod.model import Intent, MarketRules
from portfoliod.venues.ccxtpro.account import Account
from portfoliod.venues.ccxtpro.client import make_client
from portfoliod.venues.ccxtpro.exchange import Exchange
from portfoliod.venues.ccxtpro.inspection import inspect
from portfoliod.venues.ccxtpro.lookup import LookUp
from portfoliod.venues.ccxtpro.markets import Markets
from portfoliod.venues.ccxtpro.orders import Orders
from portfoliod.venues.ccxtpro.preparation import Preparation
from portfoliod.venues.ccxtpro.prices import Prices
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.ccxtpro.streams import Streams
from portfoliod.venues.ccxtpro.trades import Trades
from portfoliod.venues.protocol import (
    Inspection,
    OrderReport,
    PositionMode,
    Positions,
    Price,
    VenueContext,
    VenueEvent,
    refused,
)

log: structlog.stdlib.BoundLogger = structlog.get_logger()

RELOAD_EVERY = 10
RELOAD_SECONDS = 300.0
"""Resyncs, and seconds, after which the markets are loaded anew: a contract's size may have changed."""
PREPARE_AGAIN_SECONDS = 10.0
"""After a setting of a market that the exchange did not answer to."""
WITHOUT_STREAM_SECONDS = 1.0
"""How old a snapshot may be while no stream would tell that it is not true any more."""


class _Parts(NamedTuple):
    """What belongs to one client."""

    exchange: Exchange
    account: Account
    prices: Prices
    streams: Streams
    look_up: LookUp
    preparation: Preparation
    orders: Orders


class CcxtVenue:
    """Orders and reads by REST; streams say when to look and bring fills and prices."""

    snapshot_lag = 5.0

    def __init__(self, context: VenueContext, settings: CcxtSettings, credentials: Credentials | None) -> None:
        self.name = context.name
        self._context = context
        self._settings = settings
        self._credentials = credentials
        self._markets: Markets | None = None
        self._verified = 0
        self._loaded_at = 0.0
        self._named: set[str] = set()
        self._newly_named = asyncio.Event()
        self._parts: _Parts | None = None

    @property
    def absence_grace(self) -> float:
        """Seconds after which an order that the exchange does not know never arrived."""
        return self._settings.absence_grace_seconds

    @property
    def patience(self) -> float:
        """Seconds: a few requests, each within its own limit, and the wait for the budget."""
        return 2 * self._settings.timeout_seconds

    @property
    def position_mode(self) -> PositionMode | None:
        """How the account keeps long and short."""
        return None if self._parts is None else self._parts.account.mode

    @property
    def finds_orders(self) -> bool:
        """Whether the exchange's look-ups can tell that there is no such order."""
        exchange = self._open().exchange
        return exchange.look_up is not None or exchange.lists_orders

    async def connect(self) -> None:
        """Load the markets, prove the keys, and learn the position mode."""
        parts = self._open()
        exchange = parts.exchange
        await exchange.set_clock()
        await self._load_markets()
        await parts.account.balance()
        await parts.account.check_mode(self._sample())

    async def close(self) -> None:
        """Close streams and connections."""
        if self._parts is not None:
            parts, self._parts = self._parts, None
            await parts.prices.close()
            await parts.streams.close()
            with contextlib.suppress(Exception):
                await parts.exchange.client.close()

    def describe(self) -> str:
        """Return where the prices come from."""
        client = self._open().exchange.client
        network = " (test network)" if self._settings.sandbox else ""
        return f"{'stream of ' if client.has.get('watchTicker') else ''}{client.id}{network}"

    def resolve(self, text: str) -> str:
        """Return the unified symbol of a market."""
        symbol = self._known_markets().directory.resolve(text)
        if symbol not in self._named:
            self._named.add(symbol)
            self._newly_named.set()
        return symbol

    def rules(self, symbol: str) -> MarketRules:
        """Return what the exchange accepts in a market now."""
        return self._known_markets()[symbol].rules

    async def price(self, symbol: str) -> Price:
        """Return the latest price."""
        return await self._open().prices.latest(symbol)

    async def positions(self, newer_than: float) -> Positions:
        """Return a snapshot; without a stream that would tell of changes, one of the last second and not of before."""
        parts = self._open()
        if not parts.streams.up:
            newer_than = max(newer_than, parts.streams.lost_at, time.monotonic() - WITHOUT_STREAM_SECONDS)
        return await parts.account.positions(self._known_markets(), newer_than)

    def streamed_position(self, symbol: str) -> Decimal | None:
        """Return what the stream of positions said last."""
        parts = self._open()
        return parts.streams.position(symbol, hedged=parts.account.mode == "hedge")

    async def equity(self) -> Decimal:
        """Return the account's worth in the quote currency."""
        return await self._open().account.equity(self._known_markets())

    async def place(self, intent: Intent) -> OrderReport:
        """Send a market order once."""
        if self._context.read_only:
            raise refused(intent, "this is only a look", "a read-only venue")
        market = self._known_markets().get(intent.key.symbol)
        if market is None:
            raise refused(intent, "not sent: the market is not listed any more")
        return self._told(await self._open().orders.place(intent, market))

    async def cancel(self, intent: Intent) -> None:
        """Ask for an order's cancellation."""
        if not self._context.read_only:
            await self._open().orders.cancel(intent, self._known_markets()[intent.key.symbol])

    async def find(self, intent: Intent) -> OrderReport | None:
        """Return what the exchange knows of an order."""
        report = await self._open().look_up.find(intent, self._known_markets()[intent.key.symbol])
        return None if report is None else self._told(report)

    def pause(self) -> float:
        """Return for how many seconds the exchange asked to be left alone."""
        return 0.0 if self._parts is None else self._parts.exchange.pause()

    async def verify(self) -> None:
        """See that the position mode is what it was; measure the clock, and now and then load the markets anew."""
        parts = self._open()
        parts.streams.drain()
        await parts.account.check_mode(self._sample())
        await parts.exchange.set_clock()
        self._verified += 1
        due = self._verified % RELOAD_EVERY == 0 or time.monotonic() - self._loaded_at >= RELOAD_SECONDS
        if due or parts.orders.refused_one:
            parts.orders.refused_one = False
            await self._load_markets()

    async def inspect(self) -> Inspection:
        """Return what a person should know of keys, permissions, clock and account."""
        parts = self._open()
        return await inspect(parts.exchange, self._settings, parts.account.mode, len(self._known_markets()))

    async def events(self) -> AsyncIterator[VenueEvent]:
        """Yield what the streams say, until the venue is closed."""
        parts = self._open()
        parts.prices.follow = True
        parts.streams.start()
        preparing = asyncio.create_task(self._prepare(), name=f"prepare {self.name}")
        try:
            while True:
                yield await parts.streams.events.get()
        finally:
            preparing.cancel()

    async def _prepare(self) -> None:
        """Apply margin mode and leverage to the markets that strategies name."""
        preparation = self._open().preparation
        if self._context.read_only or not preparation.wanted:
            return
        while True:
            self._newly_named.clear()
            listed = [market for symbol in sorted(self._named) if (market := self._known_markets().get(symbol))]
            answered = [await preparation.prepare(market) for market in listed]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if all(answered) else PREPARE_AGAIN_SECONDS):
                    await self._newly_named.wait()

    def _told(self, report: OrderReport) -> OrderReport:
        """Return a report whose fills the streams need not tell again."""
        for fill in report.fills:
            self._open().streams.known(fill)
        return report

    def _open(self) -> _Parts:
        """Return the client and what works with it, made on the running loop when first needed."""
        if self._parts is None:
            settings = self._settings
            client = make_client(settings, self._credentials, f"{self._context.settings_file}  venues.{self.name}")
            exchange = Exchange(client, self.name, str if self._credentials is None else self._credentials.redact)
            account, prices, trades = Account(exchange, settings), Prices(exchange), Trades(self.name)
            streams = Streams(exchange, trades, self._known_markets, spot=settings.market_type == "spot")
            look_up = LookUp(exchange, account, trades, news=streams.news, hears=lambda: streams.open)
            preparation = Preparation(exchange, settings, account)
            orders = Orders(
                exchange,
                settings,
                account,
                trades,
                look_up=look_up,
                preparation=preparation,
                prices=prices,
                ledger=self._context.ledger,
            )
            self._parts = _Parts(exchange, account, prices, streams, look_up, preparation, orders)
        return self._parts

    async def _load_markets(self) -> None:
        client = self._open().exchange.client
        listed = list((client.markets or {}).values())
        await self._open().exchange.read("load_markets", True)
        before, self._markets = (
            self._markets,
            Markets(self.name, client, self._settings.market_type, self._settings.quote),
        )
        if len(self._markets) == 0:
            self._markets = before
            if listed:
                client.set_markets(listed)  # without them ccxt would not know the symbols of positions
            raise VenueUnreachable("the exchange lists no markets", where=f"venue {self.name}")
        self._loaded_at = time.monotonic()
        for symbol, old, new in self._markets.changes_since(before) if before else ():
            if symbol in self._named:
                log.warning("market.changed", venue=self.name, symbol=symbol, before=str(old), now=str(new))

    def _known_markets(self) -> Markets:
        if self._markets is None:
            raise VenueUnreachable("its markets are not known yet", where=f"venue {self.name}")
        return self._markets

    def _sample(self) -> str | None:
        """Return a market of the kind that is traded, for requests that need one."""
        listings = self._known_markets().directory.listings.values()
        fitting = (
            one.symbol
            for one in listings
            if (one.kind, one.quote) == (self._settings.market_type, self._settings.quote)
        )
        return next(fitting, None)
