"""What a script's functions return, checked: numbers, positions, rules, and what became of an order."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec

from portfoliod.logs import redacted
from portfoliod.model import ZERO, IntentStatus, MarketRules

FLOAT_DIGITS = 13
"""Of a float, so that 0.1 + 0.2 is 0.3. Who needs more returns a Decimal or a str."""
STATUSES = {"done": IntentStatus.DONE, "working": IntentStatus.WORKING, "refused": IntentStatus.REFUSED}


class Unfit(ValueError):
    """A script returned what it must not. The message says what was expected and what was found."""


class OrderAnswer(msgspec.Struct, frozen=True):
    """What a script says of an order."""

    status: IntentStatus
    """DONE: nothing more will be filled; WORKING: it may; REFUSED: it was not taken."""
    filled: Decimal = ZERO
    """By how much it moved the position, without a sign."""
    price: Decimal | None = None
    fee: Decimal = ZERO
    fee_currency: str = ""
    """Empty: the venue's quote."""
    at: float | None = None
    """When it was filled, in epoch seconds."""
    reason: str = ""


def read_number(value: object, what: str = "a number") -> Decimal:
    """Return a Decimal, int, float (numpy's too) or str as a finite Decimal.

    Raises:
        Unfit: it is none of these, or not finite.
    """
    number: Decimal | None = None
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, numbers.Integral) and not isinstance(value, bool):
        number = Decimal(int(value))
    elif isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        number = Decimal(f"{float(value):.{FLOAT_DIGITS}g}")
    elif isinstance(value, str):
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = None
    if number is None or not number.is_finite():
        raise _unfit(what, value)
    return number


def read_positive(value: object, what: str) -> Decimal:
    """Return a number that is above 0.

    Raises:
        Unfit: it is not.
    """
    number = read_number(value, what)
    if number <= 0:
        raise _unfit(f"{what} above 0", value)
    return number


def read_positions(value: object) -> dict[str, Decimal]:
    """Return signed quantities by symbol, as the script spells it. An empty mapping is a flat account.

    Raises:
        Unfit: it is no mapping of symbols to numbers. None is no flat account.
    """
    if not isinstance(value, Mapping):
        raise _unfit("a mapping of symbols to signed quantities ({} for a flat account)", value)
    positions: dict[str, Decimal] = {}
    for symbol, quantity in value.items():
        if not isinstance(symbol, str):
            raise _unfit("symbols as text", symbol)
        positions[symbol] = read_number(quantity, f"a number as the quantity of {symbol}")
    return positions


def read_rules(value: object, *, spot: bool) -> MarketRules:
    """Return what a broker accepts in a market, from a mapping with `step` and, optionally, its limits.

    Raises:
        Unfit: a limit is unknown or no number.
    """
    if not isinstance(value, Mapping) or "step" not in value:
        raise _unfit('a mapping such as {"step": "0.001", "min_quantity": "0.001", "min_notional": 5}', value)
    limits: dict[str, Decimal] = {}
    for name, limit in value.items():
        if name not in {"step", "min_quantity", "min_notional", "max_quantity"}:
            raise _unfit("step, min_quantity, min_notional and max_quantity alone", name)
        if limit is not None:
            limits[name] = read_number(limit, f"a number as {name}")
    if limits.get("step", ZERO) <= 0 or any(limit < 0 for limit in limits.values()):
        raise _unfit("a step above 0 and no negative limit", value)
    return MarketRules(
        step=limits["step"],
        min_quantity=limits.get("min_quantity", ZERO),
        min_notional=limits.get("min_notional", ZERO),
        max_quantity=limits.get("max_quantity"),
        spot=spot,
    )


def read_order(value: object, signed: Decimal) -> OrderAnswer | None:
    """Return what a mapping says of an order for a signed quantity; None where it says nothing of its outcome.

    Raises:
        Unfit: it is neither a mapping nor None, or what it says cannot be.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _unfit("None or a mapping", value)
    if value.get("status") is None and value.get("filled") is None:
        return None
    filled = _filled(value, signed)
    status = _status(value, filled, abs(signed))
    price, fee, at = value.get("price"), value.get("fee"), value.get("at")
    return OrderAnswer(
        status=status,
        filled=filled,
        price=None if price is None else read_positive(price, "a price"),
        fee=ZERO if fee is None else read_number(fee, "a number as the fee"),
        fee_currency=str(value.get("fee_currency") or ""),
        at=None if at is None else float(read_positive(at, "epoch seconds")),
        reason=redacted(str(value.get("reason") or "")),
    )


def _filled(value: Mapping[str, object], signed: Decimal) -> Decimal:
    """Return the filled quantity without a sign; with one it must be the order's."""
    if value.get("filled") is None:
        if value.get("status") == "done":
            raise _unfit("`filled` beside the status done", dict(value))
        return ZERO
    filled = read_number(value["filled"], "a number as `filled`")
    if filled < 0 < signed or abs(filled) > abs(signed):
        raise _unfit(f"`filled` between 0 and the ordered {abs(signed):f}", value["filled"])
    return abs(filled)


def _status(value: Mapping[str, object], filled: Decimal, ordered: Decimal) -> IntentStatus:
    status = value.get("status")
    if status is None:
        return IntentStatus.DONE if filled == ordered else IntentStatus.WORKING
    if not isinstance(status, str) or status not in STATUSES:
        raise _unfit(f"a status of {', '.join(STATUSES)}", status)
    if STATUSES[status] is IntentStatus.REFUSED and filled != 0:
        raise _unfit("nothing filled of a refused order", dict(value))
    return STATUSES[status]


def _unfit(expected: str, found: object) -> Unfit:
    return Unfit(f"expected {expected}, found {repr(found)[:200]}")
