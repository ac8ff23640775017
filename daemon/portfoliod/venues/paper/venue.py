"""The paper venue: market orders that fill at once, half a spread and some slippage from the price."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from portfoliod.errors import MarketGone, VenueUnreachable
from portfoliod.model import ZERO, Fill, Intent, IntentStatus, MarketRules, Side
from portfoliod.settings import NotNegative, Positive, read_table
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.paper.account import Account
from portfoliod.venues.paper.feed import open_feed
from portfoliod.venues.paper.source import OfflineSource, Source
from portfoliod.venues.protocol import (
    Inspection,
    OrderReport,
    PositionMode,
    Positions,
    Price,
    Venue,
    VenueContext,
    VenueEvent,
    refused,
    silence,
)
from portfoliod.venues.symbols import Directory

BASIS_POINT = Decimal("0.0001")
PRICE_GRAIN = Decimal("0.00000001")


class PaperSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table of a venue with driver = "paper"."""

    driver: str = "paper"
    prices: str = "simulated"
    """simulated | candles:DIR, relative to the workspace's root | ccxt:EXCHANGE, its public stream."""
    speed: Positive = 1.0
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 1
    balance: Positive = 10000.0
    quote: str = "USDT"
    market_type: Literal["swap", "spot"] = "swap"
    options: Mapping[str, object] = {}
    """With prices = "ccxt:…": handed to ccxt's constructor, as of a venue with driver = "ccxt"."""
    sandbox: bool = False
    """Likewise: the exchange's test network."""
    fee_bps: NotNegative = 5.0
    half_spread_bps: NotNegative = 1.0
    slippage_bps: NotNegative = 1.0

    def public(self) -> CcxtSettings | None:
        """Return the table of the exchange whose public prices these are; None where they are others."""
        kind, _, exchange = self.prices.partition(":")
        if kind != "ccxt" or not exchange:
            return None
        return CcxtSettings(
            exchange=exchange,
            market_type=self.market_type,
            quote=self.quote,
            options=self.options,
            sandbox=self.sandbox,
        )


def open_paper(context: VenueContext, table: Mapping[str, object]) -> Venue:
    """Return a paper venue; see `portfoliod.venues.registry.Opener`."""
    where = str(context.settings_file)
    settings = read_table(table, PaperSettings, where=where, prefix=f"venues.{context.name}.")
    return PaperVenue(context, settings)


class PaperVenue:
    """An account in var/paper-NAME.db. Opening it anew finds everything where it was."""

    patience = 20.0
    absence_grace = 0.0
    snapshot_lag = 0.0
    finds_orders = True
    position_mode: PositionMode = "one_way"

    def __init__(self, context: VenueContext, settings: PaperSettings) -> None:
        self.name = context.name
        self._context = context
        self._settings = settings
        self._account: Account
        self._source: Source | None = None
        self._directory: Directory
        self._rules: dict[str, MarketRules] = {}

    async def connect(self) -> None:
        """Open the account and the prices."""
        await self.close()
        settings, context = self._settings, self._context
        self._account = Account(
            self.name,
            context.var / f"paper-{self.name}.db",
            Decimal(str(settings.balance)),
            time.time(),
            read_only=context.read_only,
        )
        self._source = self._open_source(self._account.opened_at)
        offers = await self._source.open()
        self._rules = {symbol: offer.rules for symbol, offer in offers.items()}
        listings = [offer.listing for offer in offers.values()]
        self._directory = Directory(self.name, listings, settings.market_type, settings.quote)

    async def close(self) -> None:
        """Close the account and the prices."""
        if self._source is not None:
            source, self._source = self._source, None
            self._account.close()
            await source.close()

    def describe(self) -> str:
        """Return where the prices come from."""
        return self._opened().describe()

    def resolve(self, text: str) -> str:
        """Return the unified symbol of a market."""
        return self._directory.resolve(text)

    def rules(self, symbol: str) -> MarketRules:
        """Return the market's steps and minimums."""
        if symbol not in self._rules:
            raise MarketGone("the market is not listed any more", where=f"venue {self.name}", found=symbol)
        return self._rules[symbol]

    async def price(self, symbol: str) -> Price:
        """Return the price now."""
        return await self._opened().price(symbol)

    async def positions(self, newer_than: float) -> Positions:
        """Return the account's positions now."""
        at = max(newer_than, time.monotonic())
        return Positions(at, self._account.positions())

    def streamed_position(self, symbol: str) -> Decimal | None:  # noqa: ARG002 - for no market
        """Return None: the account itself is at hand."""
        return None

    async def equity(self) -> Decimal:
        """Return cash plus positions at today's prices."""
        positions = self._account.positions()
        held = [quantity * await self._worth(symbol) for symbol, quantity in positions.items()]
        return self._account.cash + sum(held, ZERO)

    async def place(self, intent: Intent) -> OrderReport:
        """Fill a market order whole, or refuse it. An id that the account knows returns the order that bears it."""
        if self._context.read_only:
            raise refused(intent, "this is only a look", "a read-only venue")
        price = (await self.price(intent.key.symbol)).value
        # Nothing is awaited from here to the fill: two callers with one id must not both find it free.
        known = self._known(intent.client_id)
        if known is not None:
            return known
        quantity = self._accepted(intent, price)
        away = Decimal(str(self._settings.half_spread_bps + self._settings.slippage_bps)) * BASIS_POINT
        paid = (price * (1 + away * intent.side.sign)).quantize(PRICE_GRAIN)
        fee = (quantity * paid * Decimal(str(self._settings.fee_bps)) * BASIS_POINT).quantize(PRICE_GRAIN)
        if (
            self._rules[intent.key.symbol].spot
            and intent.side is Side.BUY
            and self._account.cash < quantity * paid + fee
        ):
            raise refused(intent, "insufficient funds", f"{self._account.cash:.2f} {self._settings.quote} are free")
        fill = self._account.execute(
            Fill(
                key=intent.key,
                trade_id="",
                client_id=intent.client_id,
                side=intent.side,
                quantity=quantity,
                price=paid,
                fee=fee,
                fee_currency=self._settings.quote,
                at=time.time(),
            )
        )
        return OrderReport(intent.client_id, IntentStatus.DONE, quantity, [fill])

    async def cancel(self, intent: Intent) -> None:
        """Do nothing: no order of this venue is ever still working."""

    async def find(self, intent: Intent) -> OrderReport | None:
        """Return the order that bears the intent's client order id."""
        return self._known(intent.client_id)

    def pause(self) -> float:
        """Return 0: nobody asks for a pause."""
        return 0.0

    async def verify(self) -> None:
        """Do nothing: nobody else changes the account."""

    async def inspect(self) -> Inspection:
        """Return what there is."""
        return Inspection(fine=[f"a paper account, {self.describe()}"])

    def events(self) -> AsyncIterator[VenueEvent]:
        """Yield nothing: replies tell everything. Prices are followed from now on."""
        self._opened().follow()
        return silence()

    def _known(self, client_id: str) -> OrderReport | None:
        order = self._account.order(client_id)
        if order is None:
            return None
        return OrderReport(client_id, order.status, order.filled, self._account.fills(client_id))

    def _opened(self) -> Source:
        if self._source is None:
            raise VenueUnreachable("its markets are not known yet", where=f"venue {self.name}")
        return self._source

    def _open_source(self, started: float) -> Source:
        settings, context = self._settings, self._context
        if public := settings.public():
            from portfoliod.venues.paper.live import LiveSource

            return LiveSource(self.name, public, context.settings_file)
        feed = open_feed(
            settings.prices,
            seed=settings.seed,
            speed=settings.speed,
            quote=settings.quote,
            root=context.var.parent,
            started=started,
            where=f"{context.settings_file}  venues.{self.name}.prices",
        )
        return OfflineSource(feed, settings.quote, settings.market_type)

    async def _worth(self, symbol: str) -> Decimal:
        """Return a position's price; of a market that is not listed any more, what was last paid for it."""
        return (await self.price(symbol)).value if symbol in self._rules else self._account.last_price(symbol)

    def _accepted(self, intent: Intent, price: Decimal) -> Decimal:
        """Return the quantity that may be filled."""
        rules = self.rules(intent.key.symbol)
        quantity = intent.quantity
        held = self._account.positions().get(intent.key.symbol, ZERO)
        if quantity <= 0 or quantity % rules.step != 0:
            raise refused(intent, "the quantity is not on the step", f"{quantity}, step {rules.step}")
        if quantity < rules.min_quantity:
            raise refused(intent, "below the minimum quantity", f"{quantity} of {rules.min_quantity}")
        flagged = intent.reduce_only and not self._context.ledger
        if flagged and held * intent.side.sign >= 0:
            raise refused(intent, "reduce-only, and there is nothing to reduce", f"position {held}")
        if flagged and not rules.spot:
            quantity = min(quantity, abs(held))
        if rules.spot and intent.side is Side.SELL and quantity > held:
            raise refused(intent, "insufficient balance", f"{held} held")
        notional = quantity * price
        if notional < rules.min_notional and not (flagged and rules.reduce_only_exempt):
            raise refused(intent, "below the minimum notional", f"{notional:.2f} of {rules.min_notional}")
        return quantity
