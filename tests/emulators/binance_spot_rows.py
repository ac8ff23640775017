"""How the Binance spot emulator shows markets, orders and trades, in replies and on the stream."""

from __future__ import annotations

from decimal import Decimal

from tests.emulators.account import Account
from tests.emulators.account_records import Market, Order, Trade
from tests.emulators.binance_markets import STATUS, client_id, text

Row = dict[str, object]


def listing(market: Market) -> Row:
    """Return one element of exchangeInfo's `symbols`."""
    step, tick = text(market.step), text(market.tick)
    most = text(market.maximum)
    return {
        "symbol": market.id,
        "status": "TRADING" if market.active else "BREAK",
        "baseAsset": market.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": text(market.minimum), "maxQty": "9000.0", "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": most, "stepSize": "0.00000000"},
            {
                "filterType": "NOTIONAL",
                "minNotional": text(market.min_notional),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
    }


def ticker(account: Account, market: Market) -> Row:
    """Return one market of ticker/24hr: the last price is also the bid, the ask is one tick above."""
    price, now = account.prices[market.id], account.now()
    same = ("weightedAvgPrice", "prevClosePrice", "lastPrice", "openPrice", "highPrice", "lowPrice", "bidPrice")
    return {
        "symbol": market.id,
        **dict.fromkeys(same, text(price)),
        "priceChange": "0",
        "priceChangePercent": "0",
        "lastQty": "1",
        "bidQty": "100",
        "askPrice": text(price + market.tick),
        "askQty": "100",
        "volume": "100000",
        "quoteVolume": "100000000",
        "openTime": now - 86_400_000,
        "closeTime": now,
        "firstId": 1,
        "lastId": 2,
        "count": 2,
    }


def streamed_ticker(account: Account, market: Market) -> Row:
    """Return the stream's 24hrTicker."""
    last, ask = text(account.prices[market.id]), text(account.prices[market.id] + market.tick)
    prices = dict.fromkeys(("w", "x", "c", "b", "o", "h", "l"), last)
    sizes = {"Q": "1", "B": "100", "A": "100", "v": "100000", "q": "100000000"}
    now = account.now()
    times = {"E": now, "O": now - 86_400_000, "C": now}
    return (
        {"e": "24hrTicker", "s": market.id, "p": "0", "P": "0", "a": ask, "F": 1, "L": 2, "n": 2}
        | prices
        | sizes
        | times
    )


def ordered(order: Order) -> Row:
    """Return an order as the look-ups show it."""
    return {
        "symbol": order.market,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": client_id(order),
        "price": text(order.price or Decimal(0)),
        "origQty": text(order.quantity),
        "executedQty": text(order.filled),
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": text(order.turnover),
        "status": STATUS[order.status],
        "timeInForce": order.time_in_force,
        "type": order.kind.upper(),
        "side": order.side.upper(),
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": order.created,
        "updateTime": order.updated,
        "isWorking": True,
        "workingTime": order.created,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }


def placed(order: Order, trades: list[Trade], response: str) -> Row:
    """Return an order as placing shows it: ACK, RESULT or FULL."""
    short: Row = {
        "symbol": order.market,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_id,
        "transactTime": order.updated,
    }
    if response == "ACK":
        return short
    result = {name: value for name, value in ordered(order).items() if name not in {"time", "updateTime", "isWorking"}}
    fills = [
        {
            "price": text(trade.price),
            "qty": text(trade.quantity),
            "commission": text(trade.fee),
            "commissionAsset": trade.fee_currency,
            "tradeId": trade.id,
        }
        for trade in trades
    ]
    return short | result | ({"fills": fills} if response == "FULL" else {})


def traded(trade: Trade) -> Row:
    """Return a fill as myTrades shows it."""
    return {
        "symbol": trade.market,
        "id": trade.id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "quoteQty": text(trade.price * trade.quantity),
        "commission": text(trade.fee),
        "commissionAsset": trade.fee_currency,
        "time": trade.time,
        "isBuyer": trade.side == "buy",
        "isMaker": trade.maker,
        "isBestMatch": True,
    }


def report(order: Order, trade: Trade | None, now: int) -> Row:
    """Return the stream's executionReport of an order, with the trade that changed it."""
    row: Row = {
        "e": "executionReport",
        "E": now,
        "s": order.market,
        "c": client_id(order),
        "S": order.side.upper(),
        "o": order.kind.upper(),
        "f": order.time_in_force,
        "q": text(order.quantity),
        "p": text(order.price or Decimal(0)),
        "P": "0",
        "F": "0",
        "g": -1,
        "C": "",
        "x": "TRADE" if trade else STATUS[order.status],
        "X": STATUS[order.status],
        "r": "NONE",
        "i": order.id,
        "l": text(trade.quantity) if trade else "0",
        "z": text(order.filled),
        "L": text(trade.price) if trade else "0",
        "n": text(trade.fee) if trade else "0",
        "N": trade.fee_currency if trade else None,
        "T": order.updated,
        "t": trade.id if trade else -1,
        "I": order.id,
        "w": order.is_open,
        "m": trade.maker if trade else False,
        "M": False,
        "O": order.created,
        "Z": text(order.turnover),
        "Y": text(trade.quantity * trade.price) if trade else "0",
        "Q": "0",
        "W": order.created,
        "V": "EXPIRE_MAKER",
    }
    return row
