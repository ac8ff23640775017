"""Limits: they never refuse a reduction, name what they refuse, and cut orders into parts that reach the whole."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod.model import ZERO, MarketRules, Side
from portfoliod.planning import Leg, Thresholds, plan
from portfoliod.risk import Circumstances, Limits, Refusal, check

ONE = Decimal(1)
RULES = MarketRules(step=ONE)
UNLIMITED = Limits(Decimal(10), ZERO, ZERO, 0)
CALM = Circumstances(
    position=ZERO, price=Decimal(10), account_value=Decimal(1000), gross_notional=ZERO, orders_last_minute=0
)
OPEN = Leg(Side.BUY, Decimal(10), False, "open")
CLOSE = Leg(Side.SELL, Decimal(10), True, "close")

amounts = st.integers(0, 10**9).map(Decimal)


@given(
    leg=st.builds(Leg, st.sampled_from(Side), st.integers(1, 10**6).map(Decimal), st.just(True), st.just("reduce")),
    now=st.builds(
        Circumstances,
        position=st.integers(-(10**6), 10**6).map(Decimal),
        price=st.integers(1, 10**6).map(Decimal),
        account_value=amounts,
        gross_notional=amounts,
        orders_last_minute=st.integers(0, 10**6),
        halted=st.sampled_from(["", "keys refused"]),
        stale=st.sampled_from([(), ("carry",)]),
    ),
    limits=st.builds(Limits, amounts, amounts, amounts, st.integers(0, 100)),
)
def test_a_reduction_is_never_refused_and_never_grows(leg: Leg, now: Circumstances, limits: Limits) -> None:
    checked = check(leg, RULES, now, limits)
    assert isinstance(checked, Leg)
    assert ZERO < checked.quantity <= leg.quantity
    assert (checked.side, checked.reduce_only) == (leg.side, True)


@pytest.mark.parametrize(
    ("now", "limits", "limit", "value"),
    [
        ({"halted": "max_drawdown"}, {}, "halt", "max_drawdown"),
        ({"stale": ("carry", "trend")}, {}, "state_max_age_seconds", "carry, trend"),
        ({"gross_notional": Decimal(2001)}, {"max_gross_leverage": Decimal(2)}, "max_gross_leverage", "2.0010"),
        ({"position": Decimal(5)}, {"max_symbol_notional": Decimal(149)}, "max_symbol_notional", "150.00"),
        ({"orders_last_minute": 60}, {"max_orders_per_minute": 60}, "max_orders_per_minute", "60"),
    ],
)
def test_a_limit_refuses_an_addition_and_names_itself_and_the_value(
    now: dict[str, object], limits: dict[str, object], limit: str, value: str
) -> None:
    circumstances = msgspec.structs.replace(CALM, **now)
    bounds = msgspec.structs.replace(UNLIMITED, **limits)
    refusal = check(OPEN, RULES, circumstances, bounds)
    assert isinstance(refusal, Refusal)
    assert (refusal.limit, refusal.value) == (limit, value)
    assert refusal.reason
    assert check(CLOSE, RULES, circumstances, bounds) == CLOSE


@pytest.mark.parametrize(
    ("now", "limits"),
    [
        ({}, {}),
        ({"gross_notional": Decimal(2000)}, {"max_gross_leverage": Decimal(2)}),
        ({"position": Decimal(5)}, {"max_symbol_notional": Decimal(150)}),
        ({"position": Decimal(-10)}, {"max_symbol_notional": Decimal(1)}),
        ({"orders_last_minute": 59}, {"max_orders_per_minute": 60}),
        ({"orders_last_minute": 10**6}, {"max_orders_per_minute": 0}),
        ({"position": Decimal(10**6)}, {"max_symbol_notional": ZERO}),
        ({}, {"max_order_notional": Decimal(100)}),
    ],
)
def test_what_is_at_a_limit_goes_out_whole_and_zero_is_no_limit(
    now: dict[str, object], limits: dict[str, object]
) -> None:
    circumstances = msgspec.structs.replace(CALM, **now)
    assert check(OPEN, RULES, circumstances, msgspec.structs.replace(UNLIMITED, **limits)) == OPEN


def test_inverse_markets_are_limited_by_contracts_not_by_price() -> None:
    rules = MarketRules(step=ONE, contract_size=Decimal(100), inverse=True)
    limits = msgspec.structs.replace(UNLIMITED, max_symbol_notional=Decimal(999))
    refusal = check(OPEN, rules, CALM, limits)
    assert isinstance(refusal, Refusal)
    assert refusal.value == "1000.00"
    part = check(OPEN, rules, CALM, msgspec.structs.replace(UNLIMITED, max_order_notional=Decimal(350)))
    assert isinstance(part, Leg)
    assert part.quantity == 3


class Split(msgspec.Struct, frozen=True):
    """An order that the venue takes as a whole, and limits that cut it."""

    rules: MarketRules
    quantity: Decimal
    price: Decimal
    max_order_notional: Decimal
    smallest: Decimal
    """The smallest order that the venue takes."""

    def cut(self, quantity: Decimal) -> Leg:
        """Return the first part of an order that closes a quantity."""
        limits = msgspec.structs.replace(UNLIMITED, max_order_notional=self.max_order_notional)
        leg = Leg(Side.SELL, quantity, True, "close")
        part = check(leg, self.rules, msgspec.structs.replace(CALM, price=self.price), limits)
        assert isinstance(part, Leg)
        return part

    def fits(self, quantity: Decimal) -> bool:
        """Whether a part keeps to the limits, or is the smallest that the venue takes."""
        largest = self.rules.max_quantity
        kept = quantity * self.price <= self.max_order_notional and (largest is None or quantity <= largest)
        return kept or quantity <= self.smallest


@st.composite
def splits(draw: st.DrawFn, *, roomy: bool) -> Split:
    """Roomy: the limits leave room for two of the venue's smallest orders, so that no rest has to be too small."""
    step = Decimal(draw(st.sampled_from(["1", "0.001", "0.5", "25"])))
    by_quantity, by_notional = draw(st.integers(0, 4)), draw(st.integers(0, 6))
    smallest = max(by_quantity, by_notional, 1)
    least = smallest * (2 if roomy else 1)
    price = Decimal(draw(st.integers(1, 10**6))).scaleb(-2)
    steps_allowed = draw(st.integers(least if roomy else 1, 60))
    return Split(
        rules=MarketRules(
            step=step,
            min_quantity=step * by_quantity,
            min_notional=price * step * by_notional,
            max_quantity=draw(st.none() | st.integers(least, 60).map(lambda count: step * count)),
        ),
        quantity=step * draw(st.integers(smallest, 400)),
        price=price,
        max_order_notional=price * step * (steps_allowed + Decimal(draw(st.sampled_from(["0", "0.5"])))),
        smallest=step * smallest,
    )


@given(splits(roomy=False))
def test_parts_keep_to_the_limit_in_whole_steps_and_add_up_to_the_order(split: Split) -> None:
    free = msgspec.structs.replace(split.rules, min_quantity=ZERO, min_notional=ZERO)
    split = msgspec.structs.replace(split, rules=free, smallest=free.step)
    left = split.quantity
    while left > 0:
        part = split.cut(left)
        assert ZERO < part.quantity <= left
        assert part.quantity % free.step == 0
        assert split.fits(part.quantity)
        left -= part.quantity
    assert left == 0


@given(splits(roomy=False))
def test_a_part_is_never_larger_than_the_order(split: Split) -> None:
    assert split.cut(split.quantity).quantity <= split.quantity
    assert split.cut(split.rules.step).quantity <= split.rules.step


@given(splits(roomy=False))
def test_a_part_is_large_enough_for_the_venue(split: Split) -> None:
    """A limit below the venue's own minimum yields to it: an order that is refused for ever closes nothing."""
    part = split.cut(split.quantity).quantity
    assert part >= split.smallest
    assert split.fits(part)


@given(splits(roomy=True))
def test_a_position_that_can_be_closed_at_once_is_also_closed_in_parts(split: Split) -> None:
    """No part may leave a rest that the venue's minimums then hold fast."""
    position = split.quantity
    small = Thresholds(Decimal("0.05"), Decimal(10))
    while legs := plan(ZERO, position, split.price, split.rules, small).legs:
        part = split.cut(legs[0].quantity)
        assert split.fits(part.quantity)
        position += part.signed
    assert position == 0, f"{position} of {split.quantity} is stuck"


def test_a_flip_in_parts_reaches_the_other_side() -> None:
    """A rest of the close that is too small for the venue would hold the flip up for ever."""
    rules = MarketRules(step=ONE, min_notional=Decimal(20))
    limits = msgspec.structs.replace(UNLIMITED, max_order_notional=Decimal(100))
    position = Decimal(11)
    while legs := plan(Decimal(-11), position, CALM.price, rules, Thresholds(ZERO, ZERO)).legs:
        part = check(legs[0], rules, msgspec.structs.replace(CALM, position=position), limits)
        assert isinstance(part, Leg)
        position += part.signed
    assert position == -11


def test_a_cut_order_says_what_it_is_a_part_of() -> None:
    part = check(OPEN, RULES, CALM, msgspec.structs.replace(UNLIMITED, max_order_notional=Decimal(45)))
    assert part == Leg(Side.BUY, Decimal(4), False, "open, a part of 10")


def test_the_venues_largest_order_cuts_too() -> None:
    rules = MarketRules(step=ONE, max_quantity=Decimal(3))
    part = check(CLOSE, rules, CALM, UNLIMITED)
    assert isinstance(part, Leg)
    assert part.quantity == 3
