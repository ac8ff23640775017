"""What became of a request: one table from ccxt's exceptions, the exchanges' own codes, and causes.

The question is whether an order can have been placed. An exchange's code decides first: ccxt maps some to types that
say something else. Then causes: a reply that was cut is no refusal. Then ccxt's type. What no row proves is UNKNOWN.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from enum import Enum

import aiohttp

from portfoliod.lean_ccxt import ccxt


class Outcome(Enum):
    """What an error says of the request that it answers."""

    REFUSED = "refused"
    """The exchange took it and said no."""
    UNKNOWN = "unknown"
    """Nobody knows."""
    LATER = "later"
    """Not taken; the exchange asks for a pause."""
    KEYS = "keys"
    """Not taken: the keys are not accepted."""
    CLOCK = "clock"
    """Not taken: our clock is not the exchange's."""
    ABSENT = "absent"
    """There is no such order now."""
    DUPLICATE = "duplicate"
    """An order with this client order id exists."""
    MODE = "mode"
    """Not taken: the order does not fit the account's position mode."""


_BINANCE = {
    **dict.fromkeys(("-1000", "-1001", "-1006", "-1007", "-1016"), Outcome.UNKNOWN),
    **dict.fromkeys(("-1003", "-1008", "-1015"), Outcome.LATER),
    **dict.fromkeys(("-1002", "-1022", "-2014", "-2015", "-2017"), Outcome.KEYS),
    **dict.fromkeys(("-1021", "-5028"), Outcome.CLOCK),
    **dict.fromkeys(("-2011", "-2013"), Outcome.ABSENT),
    **dict.fromkeys(("-4116", "-4111"), Outcome.DUPLICATE),
    **dict.fromkeys(("-4060", "-4061", "-4062"), Outcome.MODE),
}
_OKX = {
    **dict.fromkeys(("50001", "50004", "50005", "50013", "50026", "51149"), Outcome.UNKNOWN),
    **dict.fromkeys(("50011", "50040", "50061"), Outcome.LATER),
    **dict.fromkeys(("50101", "50105", "50110", "50111", "50113", "50114", "50119", "50120"), Outcome.KEYS),
    **dict.fromkeys(("50102", "50112"), Outcome.CLOCK),
    **dict.fromkeys(("51400", "51401", "51402", "51410", "51603"), Outcome.ABSENT),
    **dict.fromkeys(("51016",), Outcome.DUPLICATE),
}
_BYBIT = {
    **dict.fromkeys(("10000", "10016", "10019"), Outcome.UNKNOWN),
    **dict.fromkeys(("10006", "10018", "10429"), Outcome.LATER),
    **dict.fromkeys(("10003", "10004", "10005", "10007", "10010", "33004"), Outcome.KEYS),
    **dict.fromkeys(("10002",), Outcome.CLOCK),
    **dict.fromkeys(("110001", "170213"), Outcome.ABSENT),
    **dict.fromkeys(("110072", "170141"), Outcome.DUPLICATE),
}
CODES: Mapping[str, Mapping[str, Outcome]] = {"binance": _BINANCE, "okx": _OKX, "bybit": _BYBIT}
"""By the beginning of the exchange's id."""

REFUSALS: Mapping[str, re.Pattern[str]] = {
    "binance": re.compile(r"-(11|20|4\d|50)\d\d"),
    "okx": re.compile(r"5[14]\d{3}"),
    "bybit": re.compile(r"10001|110\d{3}|170\d{3}"),
}
"""Codes of the ranges that an exchange keeps for requests that it looked at and turned down."""

WRONG_MODE = re.compile(
    r"position idx not match position mode|posSide error|DUAL_MODE|unilateral position", re.IGNORECASE
)
"""What exchanges say of an order that does not fit the position mode, under codes that mean other things too."""

_CODE_KEYS = ("sCode", "retCode", "code", "label", "error_code", "errorCode", "err-code")

TYPES: tuple[tuple[type[Exception], Outcome], ...] = (
    (ccxt.RateLimitExceeded, Outcome.LATER),
    (ccxt.DDoSProtection, Outcome.LATER),
    (ccxt.OnMaintenance, Outcome.LATER),
    (ccxt.InvalidNonce, Outcome.CLOCK),
    (ccxt.NetworkError, Outcome.UNKNOWN),
    (ccxt.OperationFailed, Outcome.UNKNOWN),
    (ccxt.AuthenticationError, Outcome.KEYS),
    (ccxt.OrderNotFound, Outcome.ABSENT),
    (ccxt.DuplicateOrderId, Outcome.DUPLICATE),
    (ccxt.InsufficientFunds, Outcome.REFUSED),
    (ccxt.InvalidOrder, Outcome.REFUSED),
    (ccxt.BadRequest, Outcome.REFUSED),
    (ccxt.OperationRejected, Outcome.REFUSED),
    (ccxt.ArgumentsRequired, Outcome.REFUSED),
    (ccxt.NotSupported, Outcome.REFUSED),
)
"""The first that fits; a bare ExchangeError fits none."""


def outcome_of(exchange: str, error: BaseException) -> Outcome:
    """Return what an error that a ccxt client raised says of the request."""
    family = next((family for family in CODES if exchange.startswith(family)), "")
    codes = list(codes_in(str(error)))
    for code in codes:
        if code in CODES.get(family, {}):
            return CODES[family][code]
    if not isinstance(error, ccxt.BaseError):
        return Outcome.UNKNOWN
    if isinstance(error.__cause__, (aiohttp.ClientError, TimeoutError, OSError)):
        return Outcome.UNKNOWN
    if WRONG_MODE.search(str(error)):
        return Outcome.MODE
    if any(REFUSALS[family].fullmatch(code) for code in codes if family):
        return Outcome.REFUSED
    return next((outcome for kind, outcome in TYPES if isinstance(error, kind)), Outcome.UNKNOWN)


def codes_in(text: str) -> Iterator[str]:
    """Yield the exchange's codes in the reply that an error quotes, the most particular first."""
    start = min((place for place in (text.find("{"), text.find("[")) if place >= 0), default=-1)
    if start < 0:
        return
    try:
        reply, _ = json.JSONDecoder().raw_decode(text[start:])
    except (ValueError, RecursionError):
        return
    found = list(_codes(reply))
    for key in _CODE_KEYS:
        yield from (value for name, value in found if name == key)


def _codes(node: object) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name in _CODE_KEYS and isinstance(value, (str, int)):
                yield str(name), str(value)
            else:
                yield from _codes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _codes(value)
