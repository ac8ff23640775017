"""How the Binance USD-M emulator shows an order and a trade, in replies and on the stream."""

from __future__ import annotations

from decimal import Decimal

from tests.emulators.account_records import Order, Trade
from tests.emulators.binance_markets import POSITION_SIDE, STATUS, client_id, text


def queried(order: Order) -> dict[str, object]:
    """Return an order as the look-ups show it."""
    kind = order.kind.upper()
    return {
        "orderId": order.id,
        "symbol": order.market,
        "status": STATUS[order.status],
        "clientOrderId": client_id(order),
        "price": text(order.price or Decimal(0)),
        "avgPrice": text(order.average),
        "origQty": text(order.quantity),
        "executedQty": text(order.filled),
        "cumQuote": text(order.turnover),
        "timeInForce": order.time_in_force,
        "type": kind,
        "reduceOnly": order.reduce_only or order.closes_leg,
        "closePosition": False,
        "side": order.side.upper(),
        "positionSide": POSITION_SIDE[order.leg],
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": order.created,
        "updateTime": order.updated,
    }


def acknowledged(order: Order) -> dict[str, object]:
    """Return an order as placing and cancelling show it."""
    shown = queried(order)
    del shown["time"]
    return {**shown, "cumQty": text(order.filled)}


def traded(trade: Trade) -> dict[str, object]:
    """Return a fill as userTrades shows it."""
    return {
        "symbol": trade.market,
        "id": trade.id,
        "orderId": trade.order_id,
        "side": trade.side.upper(),
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "realizedPnl": text(trade.realized),
        "quoteQty": text(trade.price * trade.quantity),
        "commission": text(trade.fee),
        "commissionAsset": trade.fee_currency,
        "time": trade.time,
        "positionSide": POSITION_SIDE[trade.leg],
        "buyer": trade.side == "buy",
        "maker": trade.maker,
    }


def streamed(order: Order, trade: Trade | None) -> dict[str, object]:
    """Return an order as ORDER_TRADE_UPDATE shows it, with the trade that changed it."""
    kind = "LIQUIDATION" if order.origin == "liquidation" else order.kind.upper()
    done = "CALCULATED" if order.origin in ("liquidation", "adl") else "TRADE"
    event: dict[str, object] = {
        "s": order.market,
        "c": client_id(order),
        "S": order.side.upper(),
        "o": kind,
        "f": order.time_in_force,
        "q": text(order.quantity),
        "p": text(order.price) if order.price else "0",
        "ap": text(order.average),
        "sp": "0",
        "x": done if trade else STATUS[order.status],
        "X": STATUS[order.status],
        "i": order.id,
        "l": text(trade.quantity) if trade else "0",
        "z": text(order.filled),
        "L": text(trade.price) if trade else "0",
        "T": order.updated,
        "t": trade.id if trade else 0,
        "b": "0",
        "a": "0",
        "m": trade.maker if trade else False,
        "R": order.reduce_only or order.closes_leg,
        "wt": "CONTRACT_PRICE",
        "ot": kind,
        "ps": POSITION_SIDE[order.leg],
        "cp": False,
        "rp": text(trade.realized) if trade else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
    }
    return event | {"n": text(trade.fee), "N": trade.fee_currency} if trade else event
