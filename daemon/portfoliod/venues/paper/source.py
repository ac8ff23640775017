"""What a paper account trades at: the markets that are on offer, and the price of each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from portfoliod.errors import VenueUnreachable
from portfoliod.model import MarketRules
from portfoliod.venues.paper.feed import Feed
from portfoliod.venues.protocol import Price
from portfoliod.venues.symbols import Listing

MIN_NOTIONAL = Decimal(5)
"""Of markets that no exchange gives one."""


class Offer(msgspec.Struct, frozen=True):
    """One market of a paper account."""

    listing: Listing
    rules: MarketRules


class Source(Protocol):
    """Markets and their prices."""

    async def open(self) -> Mapping[str, Offer]:
        """Return the markets by unified symbol. Raises VenueUnreachable."""
        ...

    async def close(self) -> None:
        """Let go of what was opened."""
        ...

    def follow(self) -> None:
        """Keep prices at hand from now on: they will be asked for again and again."""
        ...

    async def price(self, symbol: str) -> Price:
        """Return the latest price of a market. Raises VenueUnreachable."""
        ...

    def describe(self) -> str:
        """Return in a few words where the prices come from."""
        ...


class OfflineSource:
    """The markets of a feed that needs no network."""

    def __init__(self, feed: Feed, quote: str, market_type: str) -> None:
        self._feed = feed
        spot = market_type == "spot"
        self._offers: dict[str, Offer] = {}
        for base, grid in feed.markets().items():
            symbol = f"{base}/{quote}" if spot else f"{base}/{quote}:{quote}"
            rules = MarketRules(
                step=grid.step,
                min_quantity=grid.min_quantity,
                min_notional=MIN_NOTIONAL,
                spot=spot,
                reduce_only_exempt=not spot,
            )
            self._offers[symbol] = Offer(Listing(symbol, f"{base}{quote}", base, quote, market_type), rules)

    async def open(self) -> Mapping[str, Offer]:
        """Return the feed's markets."""
        return self._offers

    async def close(self) -> None:
        """Do nothing: nothing was opened."""

    def follow(self) -> None:
        """Do nothing: prices are computed when they are asked for."""

    async def price(self, symbol: str) -> Price:
        """Return the price now."""
        if symbol not in self._offers:
            raise VenueUnreachable("no price", where=symbol, found="it is not listed any more")
        return Price(self._feed.price(self._offers[symbol].listing.base, time.time()), time.monotonic())

    def describe(self) -> str:
        """Return where the prices come from."""
        return self._feed.describe()
