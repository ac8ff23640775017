"""Target and position in, orders out: whole steps, the no-trade band, minimums and flips.

Applying a plan and planning again plans nothing.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

import msgspec

from portfoliod.model import ZERO, MarketRules, Side

FLATTENED = "flattened: the target waits for portfoliod resume"
LESS_THAN_A_STEP = "less than one step apart"


class Leg(msgspec.Struct, frozen=True):
    """One order of a plan, and why."""

    side: Side
    quantity: Decimal
    reduce_only: bool
    reason: str

    @property
    def signed(self) -> Decimal:
        """The quantity with the sign of its side."""
        return self.quantity * self.side.sign


class Plan(msgspec.Struct, frozen=True):
    """The orders that lead from a position to its target, in their order; none, and the reason, where it stays."""

    difference: Decimal
    """Rounded target less position."""
    legs: tuple[Leg, ...] = ()
    reason: str = ""
    """Why nothing is traded, or a flip does not open again."""


class Thresholds(msgspec.Struct, frozen=True):
    """What is too small to trade."""

    no_trade_band: Decimal
    """A share of the position."""
    min_order_notional: Decimal
    """In the quote currency."""


def plan(target: Decimal, position: Decimal, price: Decimal | None, rules: MarketRules, small: Thresholds) -> Plan:
    """Return how to get from a position to a target.

    Args:
        target: signed quantity, not yet rounded.
        position: signed quantity, as the venue has it.
        price: what notionals are measured at; without one only reductions are planned.
        rules: the market's.
        small: the operator's thresholds.
    """
    goal = nearest_step(target, rules.step)
    difference = goal - position
    if position != 0 and goal * position < 0:
        return _flip(goal, position, price, rules, small)
    quantity = _whole_steps(abs(difference), rules.step)
    if quantity == 0:
        return Plan(difference, reason="in step" if goal == position else LESS_THAN_A_STEP)
    side = Side.BUY if difference > 0 else Side.SELL
    reduces = position != 0 and (position > 0) != (difference > 0)
    closes = reduces and goal == 0
    if position != 0 and not closes and abs(difference) < small.no_trade_band * abs(position):
        share = abs(difference / position) * 100
        return Plan(difference, reason=f"inside the no-trade band: {share:.2f} % of the position")
    leg = Leg(side, quantity, reduces, _reason(position, goal, reduces, closes))
    too_small = _too_small(leg, price, rules, ZERO if closes else small.min_order_notional)
    return Plan(difference, reason=too_small) if too_small else Plan(difference, (leg,))


def _flip(goal: Decimal, position: Decimal, price: Decimal | None, rules: MarketRules, small: Thresholds) -> Plan:
    """Close first and open afterwards. The second leg is what would be planned from flat, where the first one leads.

    What is too small to be closed by an order of its own is closed by the order that opens.
    """
    difference = goal - position
    quantity = _whole_steps(abs(position), rules.step)
    side = Side.SELL if position > 0 else Side.BUY
    close = Leg(side, quantity, True, "flip: close")
    if quantity > 0 and _too_small(close, price, rules, ZERO):
        both = Leg(side, _whole_steps(abs(difference), rules.step), False, "flip: close and open at once")
        too_small = _too_small(both, price, rules, small.min_order_notional)
        return Plan(difference, reason=too_small) if too_small else Plan(difference, (both,))
    opening = plan(goal, ZERO, price, rules, small)
    if quantity == 0:
        return Plan(difference, opening.legs, opening.reason)
    legs = (close, *(msgspec.structs.replace(leg, reason="flip: open") for leg in opening.legs))
    return Plan(difference, legs, opening.reason)


def nearest_step(quantity: Decimal, step: Decimal) -> Decimal:
    """Return the multiple of `step` that is nearest to a quantity; halves go to the even multiple."""
    return (quantity / step).to_integral_value(ROUND_HALF_EVEN) * step


def _whole_steps(quantity: Decimal, step: Decimal) -> Decimal:
    return (quantity / step).to_integral_value(ROUND_DOWN) * step


def _too_small(leg: Leg, price: Decimal | None, rules: MarketRules, min_order_notional: Decimal) -> str:
    if leg.quantity < rules.min_quantity:
        return f"below the venue's minimum quantity: {leg.quantity} of {rules.min_quantity}"
    if price is None:
        return "" if leg.reduce_only else "no price to size it by"
    notional = abs(rules.notional(leg.quantity, price))
    exempt = leg.reduce_only and rules.reduce_only_exempt
    if not exempt and notional < rules.min_notional:
        return f"below the venue's minimum notional: {notional:.2f} of {rules.min_notional}"
    if notional < min_order_notional:
        return f"below min_order_notional: {notional:.2f} of {min_order_notional}"
    return ""


def _reason(position: Decimal, goal: Decimal, reduces: bool, closes: bool) -> str:
    if closes:
        return "close"
    if reduces:
        return f"reduce from {position.normalize():f} to {goal.normalize():f}"
    if position == 0:
        return "open"
    return f"add from {position.normalize():f} to {goal.normalize():f}"
