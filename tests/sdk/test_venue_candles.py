"""Candles of the market that the strategy is traded in: the venue itself says which one that is."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portfoliod.errors import UnknownSymbol
from portfoliod.sdk.sources import Source
from portfoliod.sdk.surroundings import workspace_source
from portfoliod.settings import load_settings
from portfoliod.venues import VenueContext, open_venue
from tests.emulators.__main__ import inline
from tests.emulators.binance import BinanceFutures
from tests.emulators.binance_spot import BinanceSpot
from tests.emulators.server import Exchange

pytestmark = pytest.mark.slow  # an exchange and two clients in each test

HOUR = 3600
KEYS = {"apiKey": "API_KEY", "secret": "SECRET"}


@pytest.fixture(params=[BinanceFutures, BinanceSpot], ids=["futures", "spot"])
def exchange(request: pytest.FixtureRequest) -> Iterator[Exchange]:
    """Return a running exchange of each kind."""
    make: Callable[[], Exchange] = request.param
    with make() as running:
        yield running


def dated(exchange: Exchange) -> str:
    """Return the id of the dated future."""
    return next(market.id for market in exchange.account.markets.values() if getattr(market, "expiry", None))


def traded(root: Path, symbol: str) -> str:
    """Return what the daemon's own venue trades for a symbol."""
    settings = load_settings(root / "config" / "portfoliod.toml")
    context = VenueContext("main", root / "var", root / "config/portfoliod.toml", read_only=True)

    async def resolve() -> str:
        venue = open_venue(context, settings.venues["main"])
        try:
            await venue.connect()
            return venue.resolve(symbol)
        finally:
            await venue.close()

    return asyncio.run(resolve())


def source(root: Path, exchange: Exchange, table: str) -> Source:
    """Return the candles that a strategy in a workspace gets whose venue `main` is on an exchange."""
    for folder in ("config", "var"):
        (root / folder).mkdir()
    options = inline(exchange.options())
    settings = f'default_venue = "main"\n[venues.main]\n{table}\noptions = {options}\n[venues.paper]\nbalance = 5\n'
    (root / "config" / "portfoliod.toml").write_text(settings)
    return workspace_source(root / "strategies" / "one" / "strategy.py")


def asked(exchange: Exchange) -> set[str]:
    """Return the markets whose candles were asked for, and make sure that no key was shown."""
    requests = [request for request in exchange.requests if request.kind == "candles"]
    assert not any("x-mbx-apikey" in request.headers for request in requests)
    return {request.params["symbol"] for request in requests}


CCXT, PAPER = 'driver = "ccxt"\nexchange = "{}"', 'driver = "paper"\nprices = "ccxt:{}"'


@pytest.mark.parametrize("driver", [CCXT, PAPER], ids=["ccxt", "paper"])
@pytest.mark.parametrize("symbol", ["BTCUSDT", "btc/usdt", "BTC-USDT", "ETHUSDT"])
def test_the_candles_are_those_of_the_market_that_the_venue_trades(
    tmp_path: Path, exchange: Exchange, monkeypatch: pytest.MonkeyPatch, driver: str, symbol: str
) -> None:
    spot = isinstance(exchange, BinanceSpot)
    table = driver.format("binance" if spot else "binanceusdm") + f'\nmarket_type = "{"spot" if spot else "swap"}"'
    found = source(tmp_path, exchange, table)
    now = time.time()
    candles = found.candles(symbol, HOUR, now - 5 * HOUR, now)
    assert 4 <= len(candles) <= 5
    for name, variable in KEYS.items():
        monkeypatch.setitem(os.environ, f"PORTFOLIOD_MAIN_{variable}", exchange.credentials[name])
    unified = traded(tmp_path, symbol)
    assert asked(exchange) == {unified.split(":")[0].replace("/", "")}
    assert (":" in unified) is not spot
    assert found.name == ("ccxt:binance:spot" if spot else "ccxt:binanceusdm")


@pytest.mark.parametrize("exchange", [BinanceFutures], indirect=True)
@pytest.mark.parametrize("form", ["{id}", "BTCUSDT", "BTC/USDT:USDT-{expiry}"])
def test_a_venue_of_dated_futures_gives_the_futures_candles(tmp_path: Path, exchange: Exchange, form: str) -> None:
    """The perpetual has other prices and another history."""
    future = dated(exchange)
    found = source(tmp_path, exchange, CCXT.format("binanceusdm") + '\nmarket_type = "future"')
    now = time.time()
    assert len(found.candles(form.format(id=future, expiry=future[-6:]), HOUR, now - 5 * HOUR, now)) >= 4
    assert asked(exchange) == {future}


def test_a_market_that_the_venue_lacks_is_not_looked_for_elsewhere(tmp_path: Path, exchange: Exchange) -> None:
    spot = isinstance(exchange, BinanceSpot)
    table = CCXT.format("binance" if spot else "binanceusdm") + f'\nmarket_type = "{"spot" if spot else "swap"}"'
    with pytest.raises(UnknownSymbol, match="no such market") as caught:
        source(tmp_path, exchange, table).candles("XYZUSDT", HOUR, 0, HOUR)
    assert caught.value.where == "venue main"
