"""The instruments that the emulated OKX lists: perpetual swaps and one dated future, sizes in contracts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.emulators.account_records import Market

LISTED = "1611916828000"
"""When every instrument was listed, in milliseconds since 1970."""


def _quarter(now: datetime) -> datetime:
    """Return the last Friday, 08:00 UTC, of a quarter that ends in more than two weeks."""
    year, month = now.year, 3 * ((now.month + 2) // 3)
    while True:
        first_after = datetime(year + month // 12, month % 12 + 1, 1, 8, tzinfo=UTC)
        friday = first_after - timedelta(days=(first_after.weekday() - 4) % 7 or 7)
        if friday - now > timedelta(days=14):
            return friday
        year, month = year + month // 12, (month + 3 - 1) % 12 + 1


def _market(
    inst_id: str, contract: str, lot: str, tick: str, maximum: str, *, inverse: bool = False, expiry: int | None = None
) -> Market:
    base, quote = inst_id.split("-")[:2]
    return Market(
        id=inst_id, base=base, quote=quote, settle=base if inverse else quote, step=Decimal(lot), tick=Decimal(tick),
        minimum=Decimal(lot), maximum=Decimal(maximum), contract_size=Decimal(contract), inverse=inverse,
        expiry=expiry, max_leverage=100,
    )  # fmt: skip


def markets(now: datetime | None = None) -> list[Market]:
    """Return what is listed at a time (default: the present)."""
    delivery = _quarter(now or datetime.now(UTC))
    return [
        _market("BTC-USDT-SWAP", "0.01", "0.01", "0.1", "12000"),
        _market("ETH-USDT-SWAP", "0.1", "0.01", "0.01", "20000"),
        _market("SOL-USDT-SWAP", "1", "0.01", "0.01", "18000"),
        _market("DOGE-USDT-SWAP", "1000", "0.01", "0.00001", "14000"),
        _market("BNB-USDT-SWAP", "0.01", "1", "0.1", "40000"),
        _market("BTC-USDC-SWAP", "0.0001", "1", "0.1", "200000"),
        _market("BTC-USD-SWAP", "100", "1", "0.1", "12000", inverse=True),
        _market(f"BTC-USDT-{delivery:%y%m%d}", "0.01", "0.01", "0.1", "8000", expiry=int(delivery.timestamp() * 1000)),
    ]


PRICES: Mapping[str, Decimal] = {
    "BTC": Decimal(50_000),
    "ETH": Decimal(2_500),
    "SOL": Decimal(150),
    "DOGE": Decimal("0.2"),
    "BNB": Decimal(500),
}
"""Of one unit of the base currency."""


def kind(market: Market) -> str:
    """Return OKX's name for the type of an instrument."""
    return "SWAP" if market.expiry is None else "FUTURES"


def family(market: Market) -> str:
    """Return the instrument family, which is also the underlying index."""
    return f"{market.base}-{market.quote}"


def plain(number: Decimal) -> str:
    """Return a number as OKX writes it: no exponent, no trailing zeros."""
    if not number.is_finite():
        return str(number)
    return format(number.normalize() + 0, "f")


def instrument_row(market: Market, code: int) -> dict[str, object]:
    """Return an instrument as in GET public/instruments; `code` is its number on the socket."""
    return {
        "alias": "" if market.expiry is None else "quarter",
        "auctionEndTime": "",
        "baseCcy": "",
        "category": "1",
        "contTdSwTime": LISTED,
        "ctMult": "1",
        "ctType": "inverse" if market.inverse else "linear",
        "ctVal": plain(market.contract_size),
        "ctValCcy": market.quote if market.inverse else market.base,
        "expTime": "" if market.expiry is None else str(market.expiry),
        "futureSettlement": False,
        "groupId": "1",
        "instCategory": "1",
        "instFamily": family(market),
        "instId": market.id,
        "instIdCode": code,
        "instType": kind(market),
        "lever": str(market.max_leverage),
        "listTime": LISTED,
        "lotSz": plain(market.step),
        "maxIcebergSz": "100000000.0000000000000000",
        "maxLmtAmt": "20000000",
        "maxLmtSz": "100000000",
        "maxMktAmt": "",
        "maxMktSz": plain(market.maximum),
        "maxPlatOILmt": "",
        "maxStopSz": plain(market.maximum),
        "maxTriggerSz": "100000000.0000000000000000",
        "maxTwapSz": "100000000.0000000000000000",
        "minSz": plain(market.minimum),
        "openType": "",
        "optType": "",
        "posLmtAmt": "",
        "posLmtPct": "",
        "preMktSwTime": "",
        "quoteCcy": "",
        "ruleType": "normal",
        "settleCcy": market.settle,
        "state": "live" if market.active else "suspend",
        "stk": "",
        "tickSz": plain(market.tick),
        "tradeQuoteCcyList": [],
        "uly": family(market),
        "upcChg": [],
    }
