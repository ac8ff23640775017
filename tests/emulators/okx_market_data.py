"""The rows of OKX's market data: tickers, mark prices, books, candles."""

from __future__ import annotations

from decimal import Decimal

from tests.emulators.account import Account
from tests.emulators.okx_instruments import kind, plain
from tests.emulators.okx_rows import Row

BARS = {"m": 60, "H": 3600, "D": 86_400, "W": 604_800}
"""Seconds per unit of a candle's name."""
DEPTH_SIZE = Decimal(1000)
"""Contracts on every level of the book."""


def ticker_row(account: Account, market_id: str) -> Row:
    """Return the ticker of an instrument: the last price is also the best bid, the best ask is one tick above."""
    market, price = account.markets[market_id], account.prices[market_id]
    last, size = plain(price), plain(DEPTH_SIZE)
    return {
        "instType": kind(market),
        "instId": market_id,
        "last": last,
        "lastSz": "1",
        "askPx": plain(price + market.tick),
        "askSz": size,
        "bidPx": last,
        "bidSz": size,
        "open24h": last,
        "high24h": last,
        "low24h": last,
        "volCcy24h": plain(1_000_000 * market.contract_size),
        "vol24h": "1000000",
        "ts": str(account.now()),
        "sodUtc0": last,
        "sodUtc8": last,
    }


def mark_price_row(account: Account, market_id: str) -> Row:
    """Return the mark price of an instrument, which is its price."""
    price = plain(account.prices[market_id])
    return {
        "instType": kind(account.markets[market_id]),
        "instId": market_id,
        "markPx": price,
        "ts": str(account.now()),
    }


def funding_row(account: Account, market_id: str) -> Row:
    """Return the funding rate of a perpetual."""
    period = 8 * 3_600_000
    due = (account.now() // period + 1) * period
    return {
        "formulaType": "withRate",
        "fundingRate": "0.0001",
        "fundingTime": str(due),
        "impactValue": "20000",
        "instId": market_id,
        "instType": kind(account.markets[market_id]),
        "interestRate": "0.0001",
        "maxFundingRate": "0.00375",
        "method": "current_period",
        "minFundingRate": "-0.00375",
        "nextFundingRate": "",
        "nextFundingTime": str(due + period),
        "premium": "0",
        "settFundingRate": "0.0001",
        "settState": "settled",
        "ts": str(account.now()),
    }


def book_row(account: Account, market_id: str, depth: int) -> Row:
    """Return `depth` levels of the book on each side."""
    market, price = account.markets[market_id], account.prices[market_id]
    size = plain(DEPTH_SIZE)
    return {
        "asks": [[plain(price + market.tick * (level + 1)), size, "0", "1"] for level in range(depth)],
        "bids": [[plain(price - market.tick * level), size, "0", "1"] for level in range(depth)],
        "ts": str(account.now()),
    }


def seconds(bar: str) -> int | None:
    """Return the length of a candle such as 1m, 4H or 1Dutc; None if there is no such candle."""
    name = bar.removesuffix("utc")
    count, unit = name[:-1], name[-1:]
    return int(count) * BARS[unit] if count.isdigit() and unit in BARS else None


def candle_row(account: Account, market_id: str, bar_seconds: int, back: int = 0) -> list[str]:
    """Return a candle at today's price; `back` 0 is the one that is not finished."""
    start = (account.now() // (bar_seconds * 1000) - back) * bar_seconds * 1000
    market, price = account.markets[market_id], account.prices[market_id]
    shown, volume = plain(price), DEPTH_SIZE * market.contract_size
    traded = plain(volume) if market.inverse else plain(volume * price)
    return [
        str(start), shown, shown, shown, shown, plain(DEPTH_SIZE), plain(volume), traded, "1" if back else "0"
    ]  # fmt: skip


def trade_row(account: Account, market_id: str) -> Row:
    """Return a public trade at the present price."""
    now = str(account.now())
    return {
        "instId": market_id,
        "tradeId": now,
        "px": plain(account.prices[market_id]),
        "sz": "1",
        "side": "buy",
        "count": "1",
        "source": "0",
        "ts": now,
    }
