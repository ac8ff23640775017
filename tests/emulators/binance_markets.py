"""The markets of the Binance USD-M emulator, and how that venue writes numbers and filters."""

from __future__ import annotations

import datetime
from decimal import Decimal

from tests.emulators.account import Account
from tests.emulators.account_records import Market, Order
from tests.emulators.server import Refusal

STATUS = {"new": "NEW", "partial": "PARTIALLY_FILLED", "filled": "FILLED", "canceled": "CANCELED", "expired": "EXPIRED"}
POSITION_SIDE = {"net": "BOTH", "long": "LONG", "short": "SHORT"}


EIGHT_DIGITS = Decimal("0.00000001")


def text(number: Decimal) -> str:
    """Return a number as the venue writes it: no exponent, at most eight digits after the point."""
    exponent = number.as_tuple().exponent
    return format(number.quantize(EIGHT_DIGITS) if isinstance(exponent, int) and exponent < -8 else number, "f")


def decimals(step: Decimal) -> int:
    """Return how many digits after the point a step has."""
    return max(0, -int(step.normalize().as_tuple().exponent))


def client_id(order: Order) -> str:
    """Return the client id that the venue shows; it makes its own for orders that no client sent."""
    if order.origin == "liquidation":
        return f"autoclose-{order.id}"
    if order.origin == "adl":
        return "adl_autoclose"
    return order.client_id or f"web_{order.id}"


def _market(symbol: tuple[str, str], *, step: str, tick: str, maximum: str, min_notional: str) -> Market:
    base, quote = symbol
    return Market(
        id=base + quote,
        base=base,
        quote=quote,
        settle=quote,
        step=Decimal(step),
        tick=Decimal(tick),
        minimum=Decimal(step),
        maximum=Decimal(maximum),
        min_notional=Decimal(min_notional),
        max_leverage=125 if base in ("BTC", "ETH") else 75,
    )


def next_quarter() -> datetime.datetime:
    """Return the last Friday, 08:00 UTC, of the first quarter that ends in a month or later."""
    now = datetime.datetime.now(datetime.UTC)
    day = now.date() + datetime.timedelta(days=30)
    while not (day.month % 3 == 0 and day.weekday() == 4 and (day + datetime.timedelta(days=7)).month != day.month):
        day += datetime.timedelta(days=1)
    return datetime.datetime(day.year, day.month, day.day, 8, tzinfo=datetime.UTC)


def markets() -> list[Market]:
    """Return six perpetuals and one dated future."""
    expiry = next_quarter()
    bitcoin = _market(("BTC", "USDT"), step="0.001", tick="0.10", maximum="120", min_notional="100")
    return [
        bitcoin,
        _market(("ETH", "USDT"), step="0.001", tick="0.01", maximum="2000", min_notional="20"),
        _market(("BNB", "USDT"), step="0.01", tick="0.010", maximum="2000", min_notional="5"),
        _market(("SOL", "USDT"), step="0.01", tick="0.0100", maximum="5000", min_notional="5"),
        _market(("DOGE", "USDT"), step="1", tick="0.000010", maximum="30000000", min_notional="5"),
        _market(("BTC", "USDC"), step="0.001", tick="0.1", maximum="120", min_notional="50"),
        Market(
            id=f"BTCUSDT_{expiry:%y%m%d}",
            base="BTC",
            quote="USDT",
            settle="USDT",
            step=Decimal("0.001"),
            tick=Decimal("0.1"),
            minimum=Decimal("0.001"),
            maximum=Decimal(5),
            min_notional=Decimal(5),
            expiry=int(expiry.timestamp() * 1000),
            max_leverage=50,
        ),
    ]


PRICES = {
    "BTCUSDT": Decimal(50_000),
    "ETHUSDT": Decimal(2_500),
    "BNBUSDT": Decimal(500),
    "SOLUSDT": Decimal(150),
    "DOGEUSDT": Decimal("0.1"),
    "BTCUSDC": Decimal(50_000),
}


def new_account(equity: Decimal = Decimal(100_000)) -> Account:
    """Return a flat account in USDT with the markets above."""
    listed = markets()
    prices = {market.id: PRICES.get(market.id, PRICES["BTCUSDT"]) for market in listed}
    return Account(listed, prices, {"USDT": equity, "USDC": Decimal(0), "BNB": Decimal(0)})


def listing(market: Market) -> dict[str, object]:
    """Return one element of exchangeInfo's `symbols`."""
    step, tick = text(market.step), text(market.tick)
    return {
        "symbol": market.id,
        "pair": market.base + market.quote,
        "contractType": "CURRENT_QUARTER" if market.expiry else "PERPETUAL",
        "deliveryDate": market.expiry or 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING" if market.active else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": market.base,
        "quoteAsset": market.quote,
        "marginAsset": market.settle,
        "pricePrecision": decimals(market.tick),
        "quantityPrecision": decimals(market.step),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": text(market.minimum), "maxQty": "30000000", "stepSize": step},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": text(market.minimum),
                "maxQty": text(market.maximum),
                "stepSize": step,
            },
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": text(market.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def required(params: dict[str, str], name: str) -> str:
    """Return a parameter that must be there; raises Refusal -1102."""
    value = params.get(name, "")
    if not value:
        raise Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def market_of(account: Account, params: dict[str, str]) -> Market:
    """Return the market that a request names; raises Refusal -1121."""
    market = account.markets.get(required(params, "symbol"))
    if market is None:
        raise Refusal(-1121, "Invalid symbol.")
    return market


def integer(params: dict[str, str], name: str, default: int) -> int:
    """Return a whole number; raises Refusal -1102."""
    value = params.get(name)
    try:
        return default if value is None else int(value)
    except ValueError:
        message = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        raise Refusal(-1102, message) from None
