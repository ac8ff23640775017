"""The rows of OKX's answers and pushes about the account: orders, fills, positions, balances, configuration."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from decimal import Decimal

from tests.emulators.account import Account
from tests.emulators.account_records import ZERO, Order, Position, Trade
from tests.emulators.okx_instruments import kind, plain

Row = dict[str, object]

STATES = {
    "new": "live",
    "partial": "partially_filled",
    "filled": "filled",
    "canceled": "canceled",
    "expired": "canceled",
}
CATEGORIES = {"api": "normal", "manual": "normal", "liquidation": "full_liquidation", "adl": "adl"}
UID = "44705892343619584"


CANCEL_SOURCES = {
    "user": ("1", "Order canceled by user"),
    "fok": ("13", "Order canceled: FOK order was canceled due to incompletely filled"),
    "ioc": ("14", "Order canceled: IOC order was partially canceled due to incompletely filled"),
    "reduce": (
        "22",
        "Order canceled: Reduce-only orders only allow reducing your current position. "
        "System has already canceled this order.",
    ),
    "post_only": ("31", "The post-only order will take liquidity in maker orders"),
}


def cancel_source(order: Order) -> tuple[str, str]:
    """Return by whom an order was canceled, as a code and in words; empty if it was not."""
    if order.status == "canceled":
        return CANCEL_SOURCES["user"]
    if order.status != "expired":
        return "", ""
    if order.reduce_only:
        return CANCEL_SOURCES["reduce"]
    return CANCEL_SOURCES.get(order.tags.get("ordType", ""), CANCEL_SOURCES["ioc"])


def usd_price(account: Account, currency: str) -> Decimal:
    """Return the index price of a currency; a dollar coin is one dollar."""
    return account.prices.get(f"{currency}-USDT-SWAP", Decimal(1))


def order_row(account: Account, order: Order, trades: Sequence[Trade]) -> Row:
    """Return an order as in GET trade/order; `trades` are its own, oldest first."""
    market = account.markets[order.market]
    last = trades[-1] if trades else None
    source, reason = cancel_source(order)
    return {
        "accFillSz": plain(order.filled),
        "algoClOrdId": "",
        "algoId": "",
        "attachAlgoClOrdId": "",
        "attachAlgoOrds": [],
        "avgPx": plain(order.average) if order.filled else "",
        "cTime": str(order.created),
        "cancelSource": source,
        "cancelSourceReason": reason,
        "category": CATEGORIES[order.origin],
        "ccy": "",
        "clOrdId": order.client_id,
        "fee": plain(-sum((trade.fee for trade in trades), ZERO)),
        "feeCcy": market.settle,
        "fillPx": plain(last.price) if last else "",
        "fillSz": plain(last.quantity) if last else "0",
        "fillTime": str(last.time) if last else "",
        "instId": order.market,
        "instType": kind(market),
        "isTpLimit": "false",
        "lever": f"{account.leverage(order.market)}.0",
        "linkedAlgoOrd": {"algoId": ""},
        "ordId": str(order.id),
        "ordType": order.tags.get("ordType", order.kind),
        "pnl": plain(sum((trade.realized for trade in trades), ZERO)),
        "posSide": order.leg,
        "px": "" if order.price is None else plain(order.price),
        "pxType": "",
        "pxUsd": "",
        "pxVol": "",
        "quickMgnType": "",
        "rebate": "0",
        "rebateCcy": market.settle,
        "reduceOnly": "true" if order.reduce_only else "false",
        "side": order.side,
        "slOrdPx": "",
        "slTriggerPx": "",
        "slTriggerPxType": "",
        "source": "",
        "state": STATES[order.status],
        "stpId": "",
        "stpMode": "cancel_maker",
        "sz": plain(order.quantity),
        "tag": order.tags.get("tag", ""),
        "tdMode": order.tags.get("tdMode", "cross"),
        "tgtCcy": "",
        "tpOrdPx": "",
        "tpTriggerPx": "",
        "tpTriggerPxType": "",
        "tradeId": str(last.id) if last else "",
        "tradeQuoteCcy": "",
        "uTime": str(order.updated),
    }


def order_push(account: Account, order: Order, trades: Sequence[Trade], trade: Trade | None) -> Row:
    """Return an order as the channel `orders` pushes it; `trade` is what this push is about, if it is a fill."""
    market = account.markets[order.market]
    price = account.prices[order.market]
    filled = {
        "execType": "",
        "fillFee": "0",
        "fillFeeCcy": "",
        "fillIdxPx": "",
        "fillMarkPx": "",
        "fillNotionalUsd": "",
        "fillPnl": "0",
        "fillPx": "",
        "fillSz": "0",
        "fillTime": "",
        "tradeId": "",
    }
    if trade is not None:
        filled = {
            "execType": "M" if trade.maker else "T",
            "fillFee": plain(-trade.fee),
            "fillFeeCcy": trade.fee_currency,
            "fillIdxPx": plain(price),
            "fillMarkPx": plain(price),
            "fillNotionalUsd": plain(market.notional(trade.quantity, trade.price)),
            "fillPnl": plain(trade.realized),
            "fillPx": plain(trade.price),
            "fillSz": plain(trade.quantity),
            "fillTime": str(trade.time),
            "tradeId": str(trade.id),
        }
    row = order_row(account, order, trades)
    del row["cancelSourceReason"]
    return row | {
        "amendResult": "",
        "amendSource": "",
        "code": "0",
        "fillFwdPx": "",
        "fillMarkVol": "",
        "fillPxUsd": "",
        "fillPxVol": "",
        "lastPx": plain(price),
        "msg": "",
        "notionalUsd": plain(market.notional(order.quantity, price)),
        "reqId": "",
        **filled,
    }


def fill_row(account: Account, trade: Trade, order: Order | None) -> Row:
    """Return a fill as in GET trade/fills."""
    price = plain(account.prices[trade.market])
    return {
        "billId": f"9{trade.id:015d}",
        "clOrdId": trade.client_id,
        "execType": "M" if trade.maker else "T",
        "fee": plain(-trade.fee),
        "feeCcy": trade.fee_currency,
        "feeRate": plain(-(account.maker if trade.maker else account.taker)),
        "fillFwdPx": "",
        "fillIdxPx": price,
        "fillMarkPx": price,
        "fillMarkVol": "",
        "fillPnl": plain(trade.realized),
        "fillPx": plain(trade.price),
        "fillPxUsd": "",
        "fillPxVol": "",
        "fillSz": plain(trade.quantity),
        "fillTime": str(trade.time),
        "instId": trade.market,
        "instType": kind(account.markets[trade.market]),
        "ordId": str(trade.order_id),
        "posSide": trade.leg,
        "side": trade.side,
        "subType": "1" if trade.side == "buy" else "2",
        "tag": order.tags.get("tag", "") if order else "",
        "tradeId": str(trade.id),
        "tradeQuoteCcy": "",
        "ts": str(trade.time),
    }


def position_id(position: Position) -> str:
    """Return the id of a leg, the same as long as the account lives."""
    return str(3_000_000_000_000_000_000 + zlib.crc32(f"{position.market}:{position.leg}".encode()))


def position_row(account: Account, position: Position) -> Row:
    """Return a leg as in GET account/positions and in the channel `positions`."""
    market, price = account.markets[position.market], account.prices[position.market]
    cross = account.margin_modes.get(position.market, "cross") == "cross"
    size = abs(position.quantity)
    margin = market.value(size, price) / account.leverage(position.market)
    upkeep = market.value(size, price) * Decimal("0.004")
    profit = account.unrealized(position)
    last = next((trade for trade in reversed(account.trades) if trade.market == position.market), None)
    row = dict.fromkeys(_EMPTY, "")
    return row | {
        "adl": "1" if size else "",
        "availPos": plain(size),
        "avgPx": plain(position.entry) if size else "",
        "bePx": plain(position.entry) if size else "",
        "cTime": str(position.updated),
        "ccy": market.settle,
        "closeOrderAlgo": [],
        "fee": plain(
            -sum((t.fee for t in account.trades if (t.market, t.leg) == (position.market, position.leg)), ZERO)
        ),
        "fundingFee": "0",
        "idxPx": plain(price),
        "imr": plain(margin) if cross and size else "",
        "instId": position.market,
        "instType": kind(market),
        "last": plain(price),
        "lever": str(account.leverage(position.market)),
        "liqPenalty": "0",
        "margin": "" if cross or not size else plain(margin),
        "markPx": plain(price),
        "mgnMode": "cross" if cross else "isolated",
        "mgnRatio": plain(account.available(market.settle) / upkeep) if upkeep else "",
        "mmr": plain(upkeep) if size else "",
        "notionalUsd": plain(market.notional(size, price)) if size else "",
        "pTime": str(account.now()),
        "pnl": plain(position.realized),
        "pos": plain(position.quantity if position.leg == "net" else size),
        "posId": position_id(position),
        "posSide": position.leg,
        "realizedPnl": plain(position.realized),
        "tradeId": str(last.id) if last else "",
        "uTime": str(position.updated),
        "upl": plain(profit),
        "uplLastPx": plain(profit),
        "uplRatio": plain(profit / margin) if margin else "",
        "uplRatioLastPx": plain(profit / margin) if margin else "",
        "usdPx": plain(usd_price(account, market.settle)),
    }


_EMPTY = (
    "baseBal", "baseBorrowed", "baseInterest", "bizRefId", "bizRefType", "clSpotInUseAmt", "deltaBS", "deltaPA",
    "gammaBS", "gammaPA", "hedgedPos", "interest", "liab", "liabCcy", "liqPx", "maxSpotInUseAmt", "nonSettleAvgPx",
    "optVal", "pendingCloseOrdLiabVal", "posCcy", "quoteBal", "quoteBorrowed", "quoteInterest", "settledPnl",
    "spotInUseAmt", "spotInUseCcy", "thetaBS", "thetaPA", "vegaBS", "vegaPA",
)  # fmt: skip
"""What a swap position has no value for."""
