"""The rows of OKX's answers and pushes about money and settings: balances, configuration, fees, currencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from tests.emulators.account import Account
from tests.emulators.account_records import ZERO
from tests.emulators.account_view import View
from tests.emulators.okx_instruments import plain
from tests.emulators.okx_rows import UID, Row, usd_price


def balance_detail(account: Account, view: View, currency: str) -> Row:
    """Return one currency as in GET account/balance."""
    held = [each for each in view.positions if each.quantity and account.markets[each.market].settle == currency]
    orders = [
        order
        for order in account.open_orders()
        if account.markets[order.market].settle == currency and not order.reduce_only
    ]
    cash, profit = view.wallet.get(currency, ZERO), view.unrealized(currency)
    equity = cash + profit
    frozen = sum((account.margin(order.market, order.remaining, order.price) for order in orders), ZERO)
    used = frozen + sum((account.margin(each.market, each.quantity) for each in held), ZERO)
    free = equity - used
    if free.is_finite() and free < 0:
        free = ZERO
    notional = sum(
        (account.markets[each.market].value(each.quantity, account.prices[each.market]) for each in held), ZERO
    )
    row: Row = dict.fromkeys(("borrowFroz", "crossLiab", "interest", "isoLiab", "liab", "maxLoan", "uplLiab"), "")
    return row | {
        "accAvgPx": "",
        "availBal": plain(free),
        "availEq": plain(free),
        "cashBal": plain(cash),
        "ccy": currency,
        "clSpotInUseAmt": "",
        "colBorrAutoConversion": "0",
        "collateralEnabled": False,
        "collateralRestrict": False,
        "disEq": plain(equity * usd_price(account, currency)),
        "eq": plain(equity),
        "eqUsd": plain(equity * usd_price(account, currency)),
        "fixedBal": "0",
        "frozenBal": plain(used),
        "imr": plain(used),
        "isoEq": "0",
        "isoUpl": "0",
        "maxSpotInUseAmt": "",
        "mgnRatio": plain(equity / (notional * Decimal("0.004"))) if notional and equity.is_finite() else "",
        "mmr": plain(notional * Decimal("0.004")),
        "notionalLever": plain(notional / equity) if equity.is_finite() and equity > 0 else "0",
        "openAvgPx": "",
        "ordFrozen": plain(frozen),
        "rewardBal": "0",
        "smtSyncEq": "0",
        "spotBal": "",
        "spotCopyTradingEq": "0",
        "spotInUseAmt": "",
        "spotIsoBal": "0",
        "spotUpl": "",
        "spotUplRatio": "",
        "stgyEq": "0",
        "totalPnl": "",
        "totalPnlRatio": "",
        "twap": "0",
        "uTime": str(account.now()),
        "upl": plain(profit),
    }


def balance_row(account: Account, view: View, currencies: Sequence[str] = ()) -> Row:
    """Return the account, or some currencies of it, as in GET account/balance and in the channel `account`."""
    details = [balance_detail(account, view, currency) for currency in currencies or view.wallet]
    total = sum((Decimal(str(detail["eqUsd"])) for detail in details), ZERO)
    row: Row = dict.fromkeys(("adjEq", "availEq", "borrowFroz", "imr", "mgnRatio", "mmr", "notionalUsd", "ordFroz"), "")
    return row | {
        "details": details,
        "isoEq": "0",
        "notionalUsdForBorrow": "",
        "notionalUsdForFutures": "",
        "notionalUsdForOption": "",
        "notionalUsdForSwap": "",
        "totalEq": plain(total),
        "uTime": str(account.now()),
        "upl": "",
    }


def config_row(*, hedged: bool, permissions: str) -> Row:
    """Return the account as in GET account/config: futures mode, single-currency margin."""
    return {
        "acctLv": "2",
        "acctStpMode": "cancel_maker",
        "autoLoan": False,
        "ctIsoMode": "automatic",
        "enableSpotBorrow": False,
        "feeType": "0",
        "greeksType": "PA",
        "ip": "",
        "kycLv": "3",
        "label": "portfolio",
        "level": "Lv1",
        "levelTmp": "",
        "liquidationGear": "-1",
        "mainUid": UID,
        "mgnIsoMode": "automatic",
        "opAuth": "0",
        "perm": permissions,
        "posMode": "long_short_mode" if hedged else "net_mode",
        "roleType": "0",
        "settleCcy": "",
        "settleCcyList": [],
        "spotBorrowAutoRepay": False,
        "spotOffsetType": "",
        "spotRoleType": "0",
        "spotTraderInsts": [],
        "stgyType": "0",
        "traderInsts": [],
        "type": "0",
        "uid": UID,
    }


def fee_row(account: Account, fields: Mapping[str, str]) -> Row:
    """Return the fee rates as in GET account/trade-fee; what is paid is negative."""
    maker, taker = plain(-account.maker), plain(-account.taker)
    return {
        "category": "1",
        "delivery": "",
        "exercise": "",
        "feeGroup": [],
        "fiat": [],
        "instType": fields.get("instType", ""),
        "level": "Lv1",
        "maker": maker,
        "makerU": maker,
        "makerUSDC": maker,
        "ruleType": "normal",
        "taker": taker,
        "takerU": taker,
        "takerUSDC": taker,
        "ts": str(account.now()),
    }


def currency_row(currency: str) -> Row:
    """Return a currency as in GET asset/currencies, with one chain."""
    return {
        "canDep": True,
        "canInternal": True,
        "canWd": True,
        "ccy": currency,
        "chain": f"{currency}-ERC20",
        "fee": "1",
        "logoLink": "",
        "mainNet": True,
        "maxFee": "1",
        "maxWd": "1000000",
        "minDep": "0.0001",
        "minFee": "1",
        "minWd": "1",
        "name": currency,
        "usedWdQuota": "0",
        "wdQuota": "1000000",
        "wdTickSz": "8",
    }


def funding_balance_row(currency: str) -> Row:
    """Return a currency of the funding account, which is empty."""
    return {"availBal": "0", "bal": "0", "ccy": currency, "frozenBal": "0"}
