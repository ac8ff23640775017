"""The rows of Bybit's v5 answers and messages: instruments, tickers, orders, executions, positions, the wallet."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TypeAlias

from tests.emulators.account import Account
from tests.emulators.account_records import ZERO, Leg, Market, Order, Position, Trade

Row: TypeAlias = dict[str, object]

LAUNCHED = "1584230400000"
STATUS = {
    "new": "New",
    "partial": "PartiallyFilled",
    "filled": "Filled",
    "canceled": "Cancelled",
    "expired": "Cancelled",
}
"""Derivatives know no other end: an order that was cancelled may have executed in part."""
POSITION_INDEX: Mapping[Leg, int] = {"net": 0, "long": 1, "short": 2}
EXECUTION = {"liquidation": ("BustTrade", "CreateByLiq"), "adl": ("AdlTrade", "CreateByAdl_PassThrough")}


def text(number: Decimal) -> str:
    """Return a number as Bybit writes it: no exponent, no trailing zeros."""
    return format(number.normalize() + 0, "f") if number.is_finite() else str(number)


def order_id(number: int) -> str:
    """Return the id by which clients know an order or an execution."""
    return str(uuid.UUID(int=number))


def category(market: Market) -> str:
    """Return Bybit's name for the kind of a contract."""
    return "inverse" if market.inverse else "linear"


def instrument_row(market: Market) -> Row:
    """Return an instrument of GET market/instruments-info."""
    kind = "Inverse" if market.inverse else "Linear"
    return {
        "symbol": market.id,
        "contractType": f"{kind}{'Perpetual' if market.expiry is None else 'Futures'}",
        "status": "Trading" if market.active else "Settling",
        "baseCoin": market.base,
        "quoteCoin": market.quote,
        "launchTime": LAUNCHED,
        "deliveryTime": str(market.expiry or 0),
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": f"{market.max_leverage}.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": text(market.tick), "maxPrice": "1999999.98", "tickSize": text(market.tick)},
        "lotSizeFilter": {
            "maxOrderQty": text(market.maximum * 10),
            "minOrderQty": text(market.minimum),
            "qtyStep": text(market.step),
            "postOnlyMaxOrderQty": text(market.maximum * 10),
            "maxMktOrderQty": text(market.maximum),
            "minNotionalValue": text(market.min_notional),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": market.settle,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
    }


def ticker_row(account: Account, market: Market) -> Row:
    """Return the ticker: the last price is also the best bid, the best ask is one tick above."""
    price = account.prices[market.id]
    last = text(price)
    same = ("lastPrice", "indexPrice", "markPrice", "prevPrice24h", "highPrice24h", "lowPrice24h", "prevPrice1h")
    return {
        "symbol": market.id,
        **dict.fromkeys(same, last),
        "price24hPcnt": "0",
        "openInterest": "1000000",
        "openInterestValue": text(market.notional(Decimal(1_000_000), price)),
        "turnover24h": "1000000000",
        "volume24h": "1000000",
        "fundingRate": "0.0001",
        "nextFundingTime": str((account.now() // 28_800_000 + 1) * 28_800_000),
        "bid1Price": last,
        "bid1Size": "1000",
        "ask1Price": text(price + market.tick),
        "ask1Size": "1000",
        "deliveryTime": str(market.expiry or 0),
    }


def order_row(market: Market, order: Order, fees: Decimal) -> Row:
    """Return an order as order/realtime and the topic `order` show it."""
    cancelled = order.status in {"canceled", "expired"}
    return {
        "orderId": order_id(order.id),
        "orderLinkId": order.client_id,
        "blockTradeId": "",
        "symbol": order.market,
        "price": text(order.price or ZERO),
        "qty": text(order.quantity),
        "side": order.side.capitalize(),
        "isLeverage": "",
        "positionIdx": POSITION_INDEX[order.leg],
        "orderStatus": STATUS[order.status],
        "createType": EXECUTION.get(order.origin, ("", "CreateByUser"))[1],
        "cancelType": "CancelByUser" if cancelled else "UNKNOWN",
        "rejectReason": "EC_NoError",
        "avgPrice": text(order.average) if order.filled else "",
        "leavesQty": "0" if cancelled else text(order.remaining),
        "leavesValue": "0" if cancelled else text(market.notional(order.remaining, order.price or ZERO)),
        "cumExecQty": text(order.filled),
        "cumExecValue": text(ZERO if not order.filled else market.value(order.filled, order.average)),
        "cumExecFee": text(fees),
        "timeInForce": "IOC" if order.kind == "market" else order.time_in_force,
        "orderType": order.kind.capitalize(),
        "stopOrderType": "",
        "orderIv": "",
        "triggerPrice": "",
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "",
        "triggerDirection": 0,
        "triggerBy": "",
        "lastPriceOnCreated": "",
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": False,
        "smpType": "None",
        "smpGroup": 0,
        "createdTime": str(order.created),
        "updatedTime": str(order.updated),
    }


def execution_row(market: Market, order: Order, trade: Trade) -> Row:
    """Return an execution as execution/list and the topic `execution` show it."""
    kind, creation = EXECUTION.get(order.origin, ("Trade", "CreateByUser"))
    value = market.value(trade.quantity, trade.price)
    return {
        "symbol": trade.market,
        "orderId": order_id(trade.order_id),
        "orderLinkId": trade.client_id,
        "side": trade.side.capitalize(),
        "orderPrice": text(order.price or ZERO),
        "orderQty": text(order.quantity),
        "leavesQty": text(order.remaining),
        "createType": creation,
        "orderType": order.kind.capitalize(),
        "stopOrderType": "UNKNOWN",
        "execFee": text(trade.fee),
        "execId": order_id(trade.id),
        "execPrice": text(trade.price),
        "execQty": text(trade.quantity),
        "execType": kind,
        "execValue": text(value),
        "execTime": str(trade.time),
        "feeCurrency": "",
        "isMaker": trade.maker,
        "feeRate": text(trade.fee / value if value else ZERO),
        "tradeIv": "",
        "markIv": "",
        "markPrice": text(trade.price),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": "0",
        "seq": trade.id,
    }


def position_row(account: Account, position: Position) -> Row:
    """Return a position as position/list shows it; the stream calls the entry price differently."""
    market, price = account.markets[position.market], account.prices[position.market]
    side = "" if not position.quantity else "Buy" if position.quantity > 0 else "Sell"
    return {
        "positionIdx": POSITION_INDEX[position.leg],
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": position.market,
        "side": side,
        "size": text(abs(position.quantity)),
        "avgPrice": text(position.entry),
        "positionValue": text(ZERO if not position.quantity else market.value(position.quantity, position.entry)),
        "tradeMode": 0,
        "autoAddMargin": 0,
        "positionStatus": "Normal",
        "leverage": str(account.leverage(position.market)),
        "markPrice": text(price),
        "liqPrice": "",
        "bustPrice": "",
        "positionIM": text(account.margin(position.market, abs(position.quantity))),
        "positionMM": "0",
        "tpslMode": "Full",
        "takeProfit": "",
        "stopLoss": "",
        "trailingStop": "0",
        "unrealisedPnl": text(account.unrealized(position)) if position.quantity else "",
        "curRealisedPnl": text(position.realized),
        "cumRealisedPnl": text(position.realized),
        "adlRankIndicator": 2 if position.quantity else 0,
        "isReduceOnly": False,
        "createdTime": str(position.updated),
        "updatedTime": str(position.updated),
        "seq": position.updated,
    }


def wallet_row(account: Account, wallet: Mapping[str, Decimal], positions: Iterable[Position]) -> Row:
    """Return the unified account; totals are in dollars, coins that have no price count nothing."""
    held = list(positions)
    coins: list[Row] = []
    total = equity = margin = ZERO
    for currency, amount in wallet.items():
        mine = [row for row in held if account.markets[row.market].settle == currency]
        open_profit = sum((account.unrealized(row) for row in mine), ZERO)
        used = sum((account.margin(row.market, abs(row.quantity)) for row in mine), ZERO)
        price = usd_price(account, currency)
        total, equity, margin = total + amount * price, equity + (amount + open_profit) * price, margin + used * price
        coins.append(_coin_row(currency, amount, open_profit, used, price))
    return {
        "accountType": "UNIFIED",
        "accountLTV": "",
        "accountIMRate": "0",
        "accountMMRate": "0",
        "totalEquity": text(equity),
        "totalWalletBalance": text(total),
        "totalMarginBalance": text(equity),
        "totalAvailableBalance": text(equity - margin),
        "totalPerpUPL": text(equity - total),
        "totalInitialMargin": text(margin),
        "totalMaintenanceMargin": "0",
        "coin": coins,
    }


def usd_price(account: Account, currency: str) -> Decimal:
    """Return what one unit of a currency is worth in dollars."""
    if currency in {"USDT", "USDC"}:
        return Decimal(1)
    return next((account.prices[each.id] for each in account.markets.values() if each.base == currency), ZERO)


def _coin_row(currency: str, amount: Decimal, profit: Decimal, margin: Decimal, price: Decimal) -> Row:
    return {
        "coin": currency,
        "equity": text(amount + profit),
        "usdValue": text((amount + profit) * price),
        "walletBalance": text(amount),
        "free": "",
        "locked": "0",
        "spotHedgingQty": "0",
        "borrowAmount": "0",
        "availableToWithdraw": "",
        "accruedInterest": "0",
        "totalOrderIM": "0",
        "totalPositionIM": text(margin),
        "totalPositionMM": "0",
        "unrealisedPnl": text(profit),
        "cumRealisedPnl": "0",
        "bonus": "0",
        "marginCollateral": True,
        "collateralSwitch": True,
    }
