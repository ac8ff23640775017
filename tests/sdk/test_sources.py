"""Where candles come from: files, an exchange, simulation, and what the workspace says."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import ccxt
import numpy as np
import pytest

from portfoliod.errors import FileRejected, SettingsError, UnknownSymbol, UsageError, VenueError, VenueUnreachable
from portfoliod.prices.simulated import SimulatedPrices
from portfoliod.sdk.exchange import ExchangeCandles
from portfoliod.sdk.sources import open_source
from portfoliod.sdk.surroundings import workspace_source
from portfoliod.venues.symbols import Directory, Listing

HOUR = 3600
DAY = 24 * HOUR
START = 1_704_067_200
LISTINGS = (
    Listing("BTC/USDT", "BTCUSDT", "BTC", "USDT", "spot"),
    Listing("BTC/USDT:USDT", "BTCUSDT", "BTC", "USDT", "swap"),
    Listing("BTC/USDT:USDT-240628", "BTCUSDT_240628", "BTC", "USDT", "future"),
    Listing("ETH/USDT", "ETH-USDT", "ETH", "USDT", "spot"),
)


class Exchange:
    """An exchange with simulated prices that gives few candles at once, and the last one before it is closed."""

    def __init__(self, *, listed: int = START, now: int = START + 10 * DAY, page: int = 37) -> None:
        self.listed, self.now, self.page = listed, now, page
        self.asked: list[str] = []

    def load_markets(self) -> Mapping[str, object]:
        """Count as asked."""
        return {}

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> Sequence[Sequence[float | None]]:
        """Return at most a page of candles from `since` on, the one that is not closed yet among them."""
        assert timeframe == "1h"
        self.asked.append(symbol)
        candles = SimulatedPrices(1).candles("BTC", "USDT", HOUR, self.listed, self.now + HOUR)
        rows = zip(
            (candles.time * 1000).tolist(),
            candles.open.tolist(),
            candles.high.tolist(),
            candles.low.tolist(),
            candles.close.tolist(),
            candles.volume.tolist(),
            strict=True,
        )
        return [row for row in rows if row[0] >= since][: min(limit, self.page)]


def candles_of(exchange: Exchange, market_type: str = "swap") -> ExchangeCandles:
    return ExchangeCandles("test", exchange, lambda: Directory("test", LISTINGS, market_type, "USDT"))


def test_an_exchange_is_asked_page_by_page_and_only_closed_candles_count() -> None:
    exchange = Exchange()
    found = candles_of(exchange).candles("BTCUSDT", HOUR, START + 1800, START + 9 * DAY + 1800)
    expected = SimulatedPrices(1).candles("BTC", "USDT", HOUR, START + 1800, START + 9 * DAY + 1800)
    assert found.time.tolist() == expected.time.tolist()
    assert found.high.tolist() == expected.high.tolist()
    assert len(exchange.asked) == -(-len(expected) // 37)


def test_a_market_younger_than_the_history_asked_for_gives_what_there_is() -> None:
    exchange = Exchange(listed=START + 200 * DAY, now=START + 210 * DAY)
    found = candles_of(exchange).candles("BTCUSDT", HOUR, START, exchange.now)
    assert (found.time[0], found.closes_at[-1]) == (START + 200 * DAY, exchange.now)


@pytest.mark.parametrize(
    ("market_type", "written", "meant"),
    [
        ("swap", "BTCUSDT", "BTC/USDT:USDT"),
        ("swap", "BTC-USDT", "BTC/USDT:USDT"),
        ("swap", "BTC/USDT", "BTC/USDT:USDT"),
        ("swap", "ETHUSDT", "ETH/USDT"),
        ("spot", "BTCUSDT", "BTC/USDT"),
        ("spot", "BTC/USDT:USDT", "BTC/USDT:USDT"),
        ("future", "BTCUSDT", "BTC/USDT:USDT-240628"),
        ("future", "BTCUSDT_240628", "BTC/USDT:USDT-240628"),
    ],
)
def test_a_symbol_means_the_market_that_the_venue_trades(market_type: str, written: str, meant: str) -> None:
    exchange = Exchange()
    candles_of(exchange, market_type).candles(written, HOUR, START, START + DAY)
    assert set(exchange.asked) == {meant}


def test_a_market_that_the_exchange_lacks_is_refused() -> None:
    with pytest.raises(UnknownSymbol):
        candles_of(Exchange()).candles("XYZUSDT", HOUR, START, START + DAY)


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (ccxt.RequestTimeout, VenueUnreachable),
        (ccxt.RateLimitExceeded, VenueUnreachable),
        (ccxt.BadRequest, VenueError),
    ],
)
def test_an_exchange_without_an_answer_differs_from_one_that_refuses(
    raised: type[Exception], error: type[Exception]
) -> None:
    class Silent(Exchange):
        def load_markets(self) -> Mapping[str, object]:
            """Give no answer."""
            raise raised("nothing")

    with pytest.raises(error) as caught:
        candles_of(Silent()).candles("BTCUSDT", HOUR, START, START + DAY)
    assert type(caught.value) is error


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC/USDT:USDT", "BTC-USDT", "BTC/USD"])
def test_a_simulated_market_goes_by_all_its_names(symbol: str) -> None:
    found = open_source("simulated:3", Path()).candles(symbol, HOUR, START, START + DAY)
    np.testing.assert_array_equal(
        found.close, SimulatedPrices(3).candles("BTC", "USDT", HOUR, START, START + DAY).close
    )


def test_a_market_against_no_dollar_is_not_simulated() -> None:
    with pytest.raises(UnknownSymbol):
        open_source("simulated", Path()).candles("ETHBTC", HOUR, START, START + DAY)


def test_files_end_when_the_first_of_them_ends(tmp_path: Path) -> None:
    for symbol, hours in (("BTCUSDT", 3), ("ETH-USDT", 2)):
        lines = [f"{START + HOUR * hour},1,1,1,1,1" for hour in range(hours)]
        (tmp_path / f"{symbol}-1h.csv").write_text("\n".join(["time,open,high,low,close,volume", *lines]))
    source = open_source(f"candles:{tmp_path.name}", tmp_path.parent)
    assert source.latest(["BTCUSDT", "ETHUSDT"], HOUR) == START + 2 * HOUR
    assert len(source.candles("BTC/USDT:USDT", HOUR, START + HOUR, START + 2 * HOUR)) == 1
    with pytest.raises(UnknownSymbol, match="no 15m candles of BTCUSDT"):
        source.candles("BTCUSDT", 900, START, START + HOUR)


@pytest.mark.parametrize(
    "text", ["", "candles:", "ccxt", "ccxt:nowhere", "ccxt:binance:margin", "simulated:x", "BTCUSDT"]
)
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        open_source(text, Path())


def strategy_in(workspace: Path, *, settings: str = "", portfolio: object = None) -> Path:
    if settings:
        (workspace / "config" / "portfoliod.toml").write_text(settings)
    if portfolio is not None:
        (workspace / "config" / "portfolio_config.json").write_text(json.dumps(portfolio))
    return workspace / "strategies" / "btc_trend_24h" / "strategy.py"


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ("", "simulated:1"),
        ("[venues.paper]\nseed = 7\n[risk]\nunknown_key = true", "simulated:7"),
        ('[venues.paper]\nprices = "ccxt:binanceusdm"', "ccxt:binanceusdm"),
        ('default_venue = "x"\n[venues.x]\ndriver = "paper"\nseed = 9', "simulated:9"),
        ('default_venue = "x"\n[venues.x]\ndriver = "ccxt"\nexchange = "kraken"', "ccxt:kraken"),
        ('default_venue = "x"\n[venues.x]\ndriver = "ccxt"\nexchange = "okx"\nmarket_type = "spot"', "ccxt:okx:spot"),
        (
            'default_venue = "x"\n[venues.x]\ndriver = "ccxt"\nexchange = "okx"\nsandbox = true',
            "ccxt:okx (test network)",
        ),
    ],
)
def test_the_source_is_the_one_that_the_venue_trades_at(workspace: Path, settings: str, name: str) -> None:
    assert workspace_source(strategy_in(workspace, settings=settings)).name == name


def test_a_folder_of_candles_is_relative_to_the_workspace(workspace: Path) -> None:
    path = strategy_in(workspace, settings='[venues.paper]\nprices = "candles:data"')
    assert workspace_source(path).name == f"candles:{workspace / 'data'}"


def test_a_route_of_the_strategy_comes_before_the_default_venue(workspace: Path) -> None:
    path = strategy_in(
        workspace,
        settings='[venues.main]\ndriver = "ccxt"\nexchange = "kraken"',
        portfolio={"exchanges": {"btc_trend_24h": "main"}},
    )
    assert workspace_source(path).name == "ccxt:kraken"


@pytest.mark.parametrize("settings", ['default_venue = "gone"', '[venues.paper]\ndriver = "script"'])
def test_invented_prices_never_stand_in_for_a_venue_that_is_not_paper(workspace: Path, settings: str) -> None:
    with pytest.raises(UsageError, match="not known"):
        workspace_source(strategy_in(workspace, settings=settings))


@pytest.mark.parametrize(
    "settings",
    [
        "default_venue = ",
        "default_venue = 7",
        "venues = 7",
        '[venues.paper]\nprices = "ccxt:binance"\nmarket_typ = "spot"',
        'default_venue = "x"\n[venues.x]\ndriver = "ccxt"\nexchange = "kraken"\nmarket_type = "spott"',
        'default_venue = "x"\n[venues.x]\ndriver = "ccxt"\nexchange = "krakn"',
    ],
)
def test_settings_that_leave_open_which_market_is_traded_are_an_error(workspace: Path, settings: str) -> None:
    with pytest.raises(SettingsError) as caught:
        workspace_source(strategy_in(workspace, settings=settings))
    assert caught.value.mend


@pytest.mark.parametrize("portfolio", [{"exchanges": ["main"]}, {"exchanges": {"btc_trend_24h": 1}}, []])
def test_routes_that_cannot_be_read_are_an_error(workspace: Path, portfolio: object) -> None:
    with pytest.raises(FileRejected):
        workspace_source(strategy_in(workspace, portfolio=portfolio))
