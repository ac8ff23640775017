"""A paper account at the live prices of an exchange: the contract, and that no keys are needed or used."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from portfoliod.errors import SettingsError, VenueUnreachable
from portfoliod.venues import Venue, VenueContext, open_venue
from tests.emulators.binance import BinanceFutures
from tests.venues.contract import PATIENCE, Stage, StageFactory, VenueContract

pytestmark = pytest.mark.slow  # an exchange and its client in each test

ETH = "ETH/USDT:USDT"
PUBLIC = {"time", "ping", "markets", "ticker", "mark_price", "book", "socket"}


def open_paper(root: Path, **table: object) -> Venue:
    """Return a paper venue, not connected yet."""
    (root / "var").mkdir(exist_ok=True)
    context = VenueContext("paper", root / "var", root / "config/portfoliod.toml", read_only=False)
    return open_venue(context, {"driver": "paper", "prices": "ccxt:binanceusdm", **table})


def on_exchange(root: Path, scenario: Callable[[BinanceFutures, Venue], Awaitable[None]]) -> None:
    """Run a scenario with an exchange and a connected paper account at its prices."""

    async def run() -> None:
        with BinanceFutures() as exchange:
            venue = open_paper(root, options=exchange.options())
            try:
                await venue.connect()
                await scenario(exchange, venue)
            finally:
                await venue.close()

    asyncio.run(run())


class TestPaperOnLivePrices(VenueContract):
    """The contract, on an exchange's public data."""

    @pytest.fixture
    def stages(self, tmp_path: Path) -> StageFactory:
        """Open an exchange and an account at its prices."""

        @contextlib.asynccontextmanager
        async def open_stage() -> AsyncIterator[Stage]:
            venues: list[Venue] = []
            with BinanceFutures() as exchange:

                async def reopen() -> Venue:
                    venue = open_paper(tmp_path, options=exchange.options())
                    venues.append(venue)
                    await venue.connect()
                    return venue

                try:
                    yield Stage(
                        venue=await reopen(),
                        symbol=ETH,
                        forms=("ETHUSDT", "ETH/USDT", "ETH-USDT"),
                        quote="USDT",
                        quantity=Decimal("0.2"),
                        reopen=reopen,
                        price_noise=Decimal("0.001"),
                    )
                    assert set(exchange.counts()) <= PUBLIC, "nothing private is asked"
                finally:
                    await asyncio.gather(*(venue.close() for venue in venues))

        return open_stage


def test_a_price_that_the_stream_brings_is_used_at_once(tmp_path: Path) -> None:
    """Where the venue is followed, a price that changes arrives by the exchange's public stream."""

    async def scenario(exchange: BinanceFutures, venue: Venue) -> None:
        following = asyncio.ensure_future(anext(venue.events()))
        await asyncio.sleep(0)
        assert (await venue.price(ETH)).value == 2500
        await exchange.until(lambda: exchange.count("socket") > 0)
        asked = exchange.count("ticker")
        exchange.account.set_price("ETHUSDT", "2600")
        deadline = time.monotonic() + PATIENCE
        while (await venue.price(ETH)).value != 2600:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert exchange.count("ticker") == asked
        following.cancel()

    on_exchange(tmp_path, scenario)


def test_an_exchange_that_is_away_is_unreachable_and_nothing_is_filled(tmp_path: Path) -> None:
    """Without a price nothing is traded on paper either; the account stays as it was."""

    async def run() -> None:
        with BinanceFutures() as exchange:
            options = exchange.options()
        venue = open_paper(tmp_path, options=options)
        with pytest.raises(VenueUnreachable):
            await venue.connect()
        await venue.close()

    asyncio.run(run())


def test_an_exchange_that_ccxt_does_not_know_is_named(tmp_path: Path) -> None:
    """A misspelt exchange is an error of the settings, with the nearest known one."""

    async def run() -> None:
        with pytest.raises(SettingsError) as caught:
            await open_paper(tmp_path, prices="ccxt:binanceusd").connect()
        assert "binanceusdm" in caught.value.mend

    asyncio.run(run())
