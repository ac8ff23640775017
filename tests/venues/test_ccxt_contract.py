"""The contract of every venue, on emulated exchanges through the real ccxt.pro clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from portfoliod.venues import Venue
from tests.emulators.binance import BinanceFutures
from tests.emulators.okx import OkxSwap
from tests.emulators.server import Exchange
from tests.venues.contract import Stage, StageFactory, VenueContract
from tests.venues.exchanges import open_on


class OnExchange(VenueContract):
    """The contract, played on an emulator of its own for each scenario."""

    kind: str
    forms: tuple[str, ...]
    hedged = False
    symbol = "ETH/USDT:USDT"
    table: Mapping[str, object] = {}
    """More of the venue's settings."""
    make: Callable[[], Exchange]

    @pytest.fixture
    def stages(self, tmp_path: Path) -> StageFactory:
        """Open an emulator and a venue on it whose streams are followed."""

        @contextlib.asynccontextmanager
        async def open_stage() -> AsyncIterator[Stage]:
            venues: list[Venue] = []
            with type(self).make() as exchange:
                exchange.account.set_hedged(self.hedged)

                async def reopen() -> Venue:
                    venue = open_on(exchange, self.kind, tmp_path, **self.table)  # type: ignore[arg-type]
                    venues.append(venue)
                    await venue.connect()
                    return venue

                try:
                    yield Stage(
                        venue=await reopen(),
                        symbol=self.symbol,
                        forms=self.forms,
                        quote="USDT",
                        quantity=Decimal("0.2"),
                        reopen=reopen,
                        price_noise=Decimal("0.001"),
                    )
                finally:
                    await asyncio.gather(*(venue.close() for venue in venues))

        return open_stage


class TestBinance(OnExchange):
    """Binance USD-M futures, one-way."""

    kind = "binanceusdm"
    forms = ("ETHUSDT", "ETH/USDT", "ETH-USDT", "ETH/USDT:USDT")
    make = BinanceFutures


@pytest.mark.slow
class TestBinanceHedged(TestBinance):
    """Binance USD-M futures in hedge mode."""

    hedged = True


@pytest.mark.slow
class TestOkx(OnExchange):
    """OKX swaps: contracts of 0.1, replies without status; net mode."""

    kind = "okx"
    forms = ("ETH-USDT-SWAP", "ETHUSDT", "ETH/USDT", "ETH-USDT", "ETH/USDT:USDT")
    make = OkxSwap


@pytest.mark.slow
class TestOkxHedged(TestOkx):
    """OKX swaps in long-short mode."""

    hedged = True
