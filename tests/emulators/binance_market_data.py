"""Public market data of the Binance USD-M emulator: one price per market, a tick between bid and ask."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from tests.emulators.account import Account
from tests.emulators.account_records import Market
from tests.emulators.binance_markets import integer, listing, market_of, required, text
from tests.emulators.faults import Request
from tests.emulators.server import Exchange, Refusal, Reply, Route

INTERVALS = {"1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14400, "6h": 21600,
             "8h": 28800, "12h": 43200, "1d": 86400, "3d": 259200, "1w": 604800}  # fmt: skip
SIZE = "10.000"
"""What is offered at each price of the book."""
DAY = 86_400_000
EIGHT_HOURS = 28_800_000


class MarketPages:
    """The public endpoints of one emulator."""

    def __init__(self, exchange: Exchange) -> None:
        self._account = exchange.account
        self._book_numbers: dict[str, int] = {}

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        pages: list[tuple[str, str, Callable[[Request], Reply]]] = [
            ("/fapi/v1/ping", "ping", lambda _: Reply({})),
            ("/fapi/v1/time", "time", lambda _: Reply({"serverTime": self._account.now()})),
            ("/fapi/v1/exchangeInfo", "markets", self._exchange_info),
            ("/fapi/v1/ticker/24hr", "ticker", lambda request: self._one_or_all(request, self.day)),
            ("/fapi/v1/ticker/price", "ticker", lambda request: self._one_or_all(request, self._last)),
            ("/fapi/v2/ticker/price", "ticker", lambda request: self._one_or_all(request, self._last)),
            ("/fapi/v1/ticker/bookTicker", "ticker", lambda request: self._one_or_all(request, self.best)),
            ("/fapi/v1/premiumIndex", "mark_price", lambda request: self._one_or_all(request, self._mark)),
            ("/fapi/v1/depth", "book", self._depth),
            ("/fapi/v1/klines", "candles", lambda request: candles(self._account, request)),
        ]
        return [Route("GET", path, kind, handler, signed=False) for path, kind, handler in pages]

    def _one_or_all(self, request: Request, page: Callable[[Market], dict[str, object]]) -> Reply:
        if "symbol" in request.params:
            return Reply(page(market_of(self._account, request.params)))
        return Reply([page(market) for market in self._account.markets.values()])

    def _exchange_info(self, _: Request) -> Reply:
        limits = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
        ]
        assets = [{"asset": name, "marginAvailable": True, "autoAssetExchange": "0"} for name in self._account.wallet]
        return Reply(
            {
                "timezone": "UTC",
                "serverTime": self._account.now(),
                "futuresType": "U_MARGINED",
                "rateLimits": limits,
                "exchangeFilters": [],
                "assets": assets,
                "symbols": [listing(market) for market in self._account.markets.values()],
            }
        )

    def price(self, market: Market) -> Decimal:
        """Return the price of a market, which is last, mark, index and bid at once."""
        return self._account.prices[market.id]

    def day(self, market: Market) -> dict[str, object]:
        """Return the 24 hours of a market, in which nothing moved."""
        price, now = text(self.price(market)), self._account.now()
        return {
            "symbol": market.id,
            "priceChange": "0",
            "priceChangePercent": "0",
            "weightedAvgPrice": price,
            "lastPrice": price,
            "lastQty": SIZE,
            "openPrice": price,
            "highPrice": price,
            "lowPrice": price,
            "volume": "10000",
            "quoteVolume": text(self.price(market) * 10_000),
            "openTime": now - DAY,
            "closeTime": now,
            "firstId": 1,
            "lastId": 10_000,
            "count": 10_000,
        }

    def best(self, market: Market) -> dict[str, object]:
        """Return the best bid and ask."""
        return {
            "symbol": market.id,
            "bidPrice": text(self.price(market)),
            "bidQty": SIZE,
            "askPrice": text(self.price(market) + market.tick),
            "askQty": SIZE,
            "time": self._account.now(),
        }

    def _last(self, market: Market) -> dict[str, object]:
        return {"symbol": market.id, "price": text(self.price(market)), "time": self._account.now()}

    def _mark(self, market: Market) -> dict[str, object]:
        price, now = text(self.price(market)), self._account.now()
        return {
            "symbol": market.id,
            "markPrice": price,
            "indexPrice": price,
            "estimatedSettlePrice": price,
            "lastFundingRate": "0.00010000",
            "interestRate": "0.00010000",
            "nextFundingTime": next_funding(now),
            "time": now,
        }

    def _depth(self, request: Request) -> Reply:
        market, now = market_of(self._account, request.params), self._account.now()
        bids, asks = self.book(market, integer(request.params, "limit", 500))
        number = self.book_number(market)
        return Reply({"lastUpdateId": number, "E": now, "T": now, "bids": bids, "asks": asks})

    def book_number(self, market: Market) -> int:
        """Return the number of the last update of a book."""
        return self._book_numbers.get(market.id, 1)

    def update_book(self, market: str) -> None:
        """Count one more update of a book."""
        self._book_numbers[market] = self._book_numbers.get(market, 1) + 1

    def book(self, market: Market, levels: int) -> tuple[list[list[str]], list[list[str]]]:
        """Return bids and asks, each [price, quantity], at most 20 of them."""
        price, levels = self.price(market), min(levels, 20)
        bids = [[text(price - market.tick * level), SIZE] for level in range(levels)]
        return bids, [[text(price + market.tick * (level + 1)), SIZE] for level in range(levels)]


def candles(account: Account, request: Request) -> Reply:
    """Answer klines: the present price in every one."""
    market = market_of(account, request.params)
    width = INTERVALS.get(required(request.params, "interval"), 0) * 1000
    if not width:
        raise Refusal(-1120, "Invalid interval.")
    limit = min(integer(request.params, "limit", 500), 1500)
    last = min(integer(request.params, "endTime", 1 << 62), account.now()) // width * width
    first = max(integer(request.params, "startTime", 0), last - (limit - 1) * width)
    first += -first % width
    price = text(account.prices[market.id])
    turnover = account.prices[market.id] * 1000
    volume = ["1000", text(turnover), 100, "500", text(turnover / 2), "0"]
    opened = range(first, last + 1, width)
    rows = [[at, *[price] * 4, volume[0], at + width - 1, *volume[1:]] for at in opened]
    return Reply(rows[:limit])


def next_funding(now: int) -> int:
    """Return when funding is paid next, in milliseconds."""
    return now - now % EIGHT_HOURS + EIGHT_HOURS
