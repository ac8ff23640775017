"""An order that is planned, what is held and the operator's limits in; the order, a smaller one, or a refusal out.

Orders that only reduce are never refused: they may only be split.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, Decimal

import msgspec

from portfoliod.model import MarketRules
from portfoliod.planning import Leg


class Limits(msgspec.Struct, frozen=True):
    """What SPEC calls [risk], as far as orders go. Money in the quote currency; 0 is no limit where SPEC says so."""

    max_gross_leverage: Decimal
    max_symbol_notional: Decimal
    max_order_notional: Decimal
    max_orders_per_minute: int


class Circumstances(msgspec.Struct, frozen=True):
    """What the limits are measured against."""

    position: Decimal
    price: Decimal
    account_value: Decimal
    gross_notional: Decimal
    """Sum of |target notional| over all keys."""
    orders_last_minute: int
    halted: str = ""
    """Why only reductions go out, or empty."""
    stale: tuple[str, ...] = ()
    """Contributing strategies whose state is older than allowed."""


class Refusal(msgspec.Struct, frozen=True):
    """Which limit refuses an order, and the value that is beyond it."""

    limit: str
    value: str
    reason: str


def check(leg: Leg, rules: MarketRules, now: Circumstances, limits: Limits) -> Leg | Refusal:
    """Return the order that may be sent, perhaps a smaller first part of it, or the refusal."""
    if not leg.reduce_only:
        refusal = _refused(leg, rules, now, limits)
        if refusal is not None:
            return refusal
    return _first_part(leg, rules, now.price, limits.max_order_notional)


def _refused(leg: Leg, rules: MarketRules, now: Circumstances, limits: Limits) -> Refusal | None:
    if now.halted:
        return Refusal("halt", now.halted, f"halted: {now.halted}")
    if now.stale:
        names = ", ".join(now.stale)
        return Refusal("state_max_age_seconds", names, f"the state of {names} is too old to open or add")
    gross = now.gross_notional / now.account_value
    if gross > limits.max_gross_leverage:
        return Refusal(
            "max_gross_leverage", f"{gross:.4f}", f"gross leverage {gross:.2f}, at most {limits.max_gross_leverage}"
        )
    held = abs(rules.notional(now.position + leg.signed, now.price))
    if 0 < limits.max_symbol_notional < held:
        return Refusal(
            "max_symbol_notional", f"{held:.2f}", f"{held:.2f} in one market, at most {limits.max_symbol_notional}"
        )
    if 0 < limits.max_orders_per_minute <= now.orders_last_minute:
        return Refusal(
            "max_orders_per_minute",
            str(now.orders_last_minute),
            f"{now.orders_last_minute} orders in the last minute, at most {limits.max_orders_per_minute}",
        )
    return None


def _first_part(leg: Leg, rules: MarketRules, price: Decimal, max_order_notional: Decimal) -> Leg:
    """Cut an order to what may be sent at once; the next look sends the rest.

    Neither the part nor what it leaves is smaller than what the venue takes: a remainder could never be traded.
    """
    most = rules.max_quantity
    if max_order_notional > 0:
        allowed = rules.quantity(max_order_notional, price)
        most = allowed if most is None else min(most, allowed)
    if most is None or leg.quantity <= most:
        return leg
    whole = (most / rules.step).to_integral_value(ROUND_DOWN) * rules.step
    smallest = _smallest_order(rules, price)
    quantity = whole if leg.quantity - whole >= smallest else leg.quantity - smallest
    quantity = min(leg.quantity, max(quantity, smallest))
    if quantity == leg.quantity:
        return leg
    return msgspec.structs.replace(leg, quantity=quantity, reason=f"{leg.reason}, a part of {leg.quantity}")


def _smallest_order(rules: MarketRules, price: Decimal) -> Decimal:
    smallest = max(rules.step, rules.min_quantity, rules.quantity(rules.min_notional, price))
    return (smallest / rules.step).to_integral_value(ROUND_CEILING) * rules.step
