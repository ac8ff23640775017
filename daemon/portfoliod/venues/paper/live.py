"""Live prices for a paper account: an exchange's public data, without keys."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from portfoliod.venues.ccxtpro.client import make_client
from portfoliod.venues.ccxtpro.exchange import Exchange
from portfoliod.venues.ccxtpro.markets import Markets
from portfoliod.venues.ccxtpro.prices import Prices
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.paper.source import Offer
from portfoliod.venues.protocol import Price


class LiveSource:
    """The markets and prices of an exchange now. Inverse markets are left out: their cash is another currency."""

    def __init__(self, venue: str, settings: CcxtSettings, settings_file: Path) -> None:
        self._settings = settings
        self._exchange = Exchange(make_client(settings, None, f"{settings_file}  venues.{venue}"), venue, str)
        self._prices = Prices(self._exchange)

    async def open(self) -> Mapping[str, Offer]:
        """Load the exchange's markets."""
        await self._exchange.read("load_markets", True)
        markets = Markets(self._exchange.venue, self._exchange.client, self._settings.market_type, self._settings.quote)
        return {symbol: Offer(listing, markets[symbol].rules) for symbol, listing in markets.linear.listings.items()}

    async def close(self) -> None:
        """Close streams and connections."""
        await self._prices.close()
        with contextlib.suppress(Exception):
            await self._exchange.client.close()

    def follow(self) -> None:
        """Open the ticker stream of each market that is asked for."""
        self._prices.follow = True

    async def price(self, symbol: str) -> Price:
        """Return the latest price."""
        return await self._prices.latest(symbol)

    def describe(self) -> str:
        """Return whose prices they are."""
        return f"live prices of {self._exchange.client.id}"
