"""Plans: whole steps, nothing left to plan once applied, and never more exposure than position or target."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portfoliod.model import ZERO, MarketRules, Side
from portfoliod.planning import Leg, Plan, Thresholds, nearest_step, plan

ONE = Decimal(1)
FREE = MarketRules(step=ONE)
NOTHING_IS_SMALL = Thresholds(ZERO, ZERO)

prices = st.builds(lambda digits, exponent: Decimal(digits).scaleb(exponent), st.integers(1, 10**7), st.integers(-6, 2))
steps = st.builds(
    lambda digit, exponent: Decimal(digit).scaleb(exponent), st.sampled_from([1, 2, 5, 25]), st.integers(-10, 4)
)
thresholds = st.builds(
    Thresholds,
    st.sampled_from(["0", "0.01", "0.05", "0.5", "0.99"]).map(Decimal),
    st.sampled_from(["0", "5", "10", "1000"]).map(Decimal),
)


@st.composite
def rules_of(draw: st.DrawFn) -> MarketRules:
    step = draw(steps)
    return MarketRules(
        step=step,
        min_quantity=step * draw(st.integers(0, 5)),
        min_notional=Decimal(draw(st.sampled_from([0, 5, 100]))),
        contract_size=Decimal(draw(st.sampled_from([1, 10, 100]))),
        inverse=draw(st.booleans()),
        reduce_only_exempt=draw(st.booleans()),
    )


@st.composite
def quantities(draw: st.DrawFn, step: Decimal) -> Decimal:
    """On the grid, off it, zero, a few steps, many."""
    count = draw(st.one_of(st.just(0), st.integers(-8, 8), st.integers(-(10**7), 10**7)))
    dust = draw(st.one_of(st.just(0), st.integers(-999, 999)))
    return step * count + step * dust / 1000


class Case:
    """What a plan is made from."""

    def __init__(self, target: Decimal, position: Decimal, price: Decimal, rules: MarketRules, small: Thresholds):
        self.target, self.position, self.price, self.rules, self.small = target, position, price, rules, small
        self.goal = nearest_step(target, rules.step)

    def plan(self, position: Decimal | None = None) -> Plan:
        """Plan from the position, or from another one on the way."""
        start = self.position if position is None else position
        return plan(self.target, start, self.price, self.rules, self.small)

    def __repr__(self) -> str:
        return f"target {self.target} position {self.position} price {self.price} {self.rules} {self.small}"


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rules = draw(rules_of())
    target, position = draw(quantities(rules.step)), draw(quantities(rules.step))
    return Case(target, position, draw(prices), rules, draw(thresholds))


def applied(position: Decimal, legs: Iterable[Leg]) -> Decimal:
    return sum((leg.signed for leg in legs), position)


def shape(planned: Plan) -> list[tuple[Decimal, bool]]:
    return [(leg.signed, leg.reduce_only) for leg in planned.legs]


@given(cases())
def test_applying_a_plan_and_planning_again_plans_nothing(case: Case) -> None:
    after = applied(case.position, case.plan().legs)
    assert case.plan(after).legs == ()


@given(cases())
def test_sending_only_the_first_order_of_each_plan_ends_where_the_whole_plan_does(case: Case) -> None:
    """The reconciler sends one order a look: a flip's second leg is planned again from flat."""
    position = case.position
    for _ in range(3):
        legs = case.plan(position).legs
        if not legs:
            break
        position += legs[0].signed
    assert case.plan(position).legs == ()
    assert position == applied(case.position, case.plan().legs)


@given(cases())
def test_quantities_are_whole_positive_steps(case: Case) -> None:
    for leg in case.plan().legs:
        assert leg.quantity > 0
        assert leg.quantity % case.rules.step == 0
        assert leg.reason


@given(cases())
def test_a_plan_ends_within_one_step_or_planning_again_says_why_not(case: Case) -> None:
    planned = case.plan()
    after = applied(case.position, planned.legs)
    left = case.plan(after)
    assert abs(case.goal - after) < case.rules.step or left.reason.startswith(("inside the no-trade band", "below"))
    assert left.reason
    assert planned.legs or planned.reason


@given(cases())
def test_a_plan_within_reach_and_with_nothing_too_small_ends_within_one_step(case: Case) -> None:
    """Off-grid positions too: what is smaller than a step is all that may be left."""
    rules = MarketRules(step=case.rules.step)
    legs = plan(case.target, case.position, case.price, rules, NOTHING_IS_SMALL).legs
    assert abs(case.goal - applied(case.position, legs)) < case.rules.step


@given(cases())
def test_a_reduce_only_order_neither_adds_nor_crosses_zero(case: Case) -> None:
    position = case.position
    for leg in case.plan().legs:
        after = position + leg.signed
        if leg.reduce_only:
            assert abs(after) < abs(position)
            assert after * position >= 0
        position = after


@given(cases())
def test_an_order_that_is_not_reduce_only_never_only_reduces(case: Case) -> None:
    """A halt lets reduce-only orders through and nothing else: every reduction has to be marked as one."""
    position = case.position
    for leg in case.plan().legs:
        after = position + leg.signed
        assert leg.reduce_only or position * after <= 0 or abs(after) > abs(position)
        position = after


@given(cases())
def test_exposure_never_exceeds_position_or_target_by_more_than_a_step(case: Case) -> None:
    most = max(abs(case.position), abs(case.target)) + case.rules.step
    position = case.position
    for leg in case.plan().legs:
        position += leg.signed
        assert abs(position) <= most


@given(cases())
def test_reductions_go_before_additions(case: Case) -> None:
    order = [leg.reduce_only for leg in case.plan().legs]
    assert order == sorted(order, reverse=True)


@given(cases())
def test_mirrored_target_and_position_give_the_mirrored_plan(case: Case) -> None:
    mirrored = plan(-case.target, -case.position, case.price, case.rules, case.small)
    assert shape(mirrored) == [(-signed, reduce_only) for signed, reduce_only in shape(case.plan())]
    assert mirrored.difference == -case.plan().difference
    assert bool(mirrored.reason) == bool(case.plan().reason)


@given(cases(), st.lists(prices, min_size=1, max_size=20))
def test_a_moving_price_trades_nothing_once_in_step(case: Case, moved: list[Decimal]) -> None:
    """The target is a quantity: only a price can lift an order over a minimum, and the way is then gone once."""
    position, traded = case.position, ZERO
    for price in moved:
        was_in_step = abs(case.goal - position) < case.rules.step
        legs = plan(case.target, position, price, case.rules, case.small).legs
        assert not (was_in_step and legs)
        position = applied(position, legs)
        traded += sum(leg.quantity for leg in legs)
    assert traded <= abs(case.goal - case.position) + case.rules.step


@given(cases())
def test_a_full_close_ignores_band_and_min_order_notional(case: Case) -> None:
    position = case.position // case.rules.step * case.rules.step
    assume(position != 0)
    rules = MarketRules(step=case.rules.step)
    enormous = Thresholds(Decimal("0.99"), Decimal(10) ** 12)
    planned = plan(ZERO, position, case.price, rules, enormous)
    assert shape(planned) == [(-position, True)]


@given(cases())
def test_the_close_of_a_flip_ignores_band_and_min_order_notional(case: Case) -> None:
    step = case.rules.step
    position = case.position // step * step
    assume(position != 0)
    enormous = Thresholds(Decimal("0.99"), Decimal(10) ** 12)
    planned = plan(-position.copy_sign(position), position, case.price, MarketRules(step=step), enormous)
    assert shape(planned)[:1] == [(-position, True)]


@given(cases())
def test_without_a_price_only_reductions_are_planned(case: Case) -> None:
    planned = plan(case.target, case.position, None, case.rules, case.small)
    assert all(leg.reduce_only for leg in planned.legs)
    after = applied(case.position, planned.legs)
    assert plan(case.target, after, None, case.rules, case.small).legs == ()


@given(cases())
def test_every_order_meets_the_venues_minimums(case: Case) -> None:
    for leg in case.plan().legs:
        assert leg.quantity >= case.rules.min_quantity
        exempt = leg.reduce_only and case.rules.reduce_only_exempt
        assert exempt or abs(case.rules.notional(leg.quantity, case.price)) >= case.rules.min_notional


@given(st.integers(-(10**25), 10**25), st.integers(-(10**25), 10**25), st.integers(-18, 6))
def test_large_quantities_of_tiny_steps_are_exact(target: int, position: int, exponent: int) -> None:
    """25 digits: a token of 18 decimals held by the ten million."""
    step = ONE.scaleb(exponent)
    planned = plan(target * step, position * step, ONE, MarketRules(step=step), NOTHING_IS_SMALL)
    assert applied(position * step, planned.legs) == target * step
    assert planned.difference == (target - position) * step


@given(cases())
def test_the_difference_is_the_rounded_target_less_the_position(case: Case) -> None:
    assert case.plan().difference == case.goal - case.position
    assert abs(case.goal - case.target) <= case.rules.step / 2


@pytest.mark.parametrize(
    ("quantity", "step", "rounded"),
    [
        ("0.5", "1", "0"),
        ("1.5", "1", "2"),
        ("-0.5", "1", "0"),
        ("0.0015", "0.001", "0.002"),
        ("7", "5", "5"),
        ("0.3", "0.1", "0.3"),
        ("1E+3", "100", "1000"),
    ],
)
def test_rounding_goes_to_the_nearest_step_and_halves_to_the_even_one(quantity: str, step: str, rounded: str) -> None:
    assert nearest_step(Decimal(quantity), Decimal(step)) == Decimal(rounded)


def legs_of(target: str, position: str, rules: MarketRules = FREE, small: Thresholds = NOTHING_IS_SMALL) -> list[str]:
    planned = plan(Decimal(target), Decimal(position), Decimal(10), rules, small)
    return [
        f"{leg.side} {leg.quantity.normalize():f}{' reduce-only' if leg.reduce_only else ''}" for leg in planned.legs
    ]


@pytest.mark.parametrize(
    ("target", "position", "orders"),
    [
        ("3", "0", ["buy 3"]),
        ("-3", "0", ["sell 3"]),
        ("5", "3", ["buy 2"]),
        ("2", "3", ["sell 1 reduce-only"]),
        ("-2", "-3", ["buy 1 reduce-only"]),
        ("0", "-3", ["buy 3 reduce-only"]),
        ("-2", "3", ["sell 3 reduce-only", "sell 2"]),
        ("3", "3", []),
        ("0", "0.4", []),
        ("-5", "0.4", ["sell 5"]),
        ("-5", "1.4", ["sell 1 reduce-only", "sell 5"]),
    ],
)
def test_orders_lead_from_position_to_target(target: str, position: str, orders: list[str]) -> None:
    assert legs_of(target, position) == orders


def test_a_same_side_change_inside_the_band_is_left_alone_and_one_at_its_edge_is_not() -> None:
    band = Thresholds(Decimal("0.05"), ZERO)
    inside = plan(Decimal(104), Decimal(100), Decimal(10), FREE, band)
    assert inside.legs == ()
    assert inside.reason == "inside the no-trade band: 4.00 % of the position"
    assert legs_of("105", "100", FREE, band) == ["buy 5"]
    assert legs_of("95", "100", FREE, band) == ["sell 5 reduce-only"]


@pytest.mark.parametrize(
    ("target", "position", "rules", "reason"),
    [
        ("2", "0", MarketRules(step=ONE, min_quantity=Decimal(3)), "below the venue's minimum quantity: 2 of 3"),
        ("2", "0", MarketRules(step=ONE, min_notional=Decimal(25)), "below the venue's minimum notional: 20.00 of 25"),
        ("0", "2", MarketRules(step=ONE, min_notional=Decimal(25)), "below the venue's minimum notional: 20.00 of 25"),
        ("4", "3", FREE, "below min_order_notional: 10.00 of 15"),
        ("3", "4", FREE, "below min_order_notional: 10.00 of 15"),
        ("3", "3", FREE, "in step"),
        ("3", "3.5", FREE, "less than one step apart"),
    ],
)
def test_what_is_not_traded_says_why(target: str, position: str, rules: MarketRules, reason: str) -> None:
    planned = plan(Decimal(target), Decimal(position), Decimal(10), rules, Thresholds(ZERO, Decimal(15)))
    assert (planned.legs, planned.reason) == ((), reason)


def test_a_reduction_below_the_venues_minimum_goes_out_where_the_venue_exempts_it() -> None:
    rules = MarketRules(step=ONE, min_notional=Decimal(100), reduce_only_exempt=True)
    assert legs_of("0", "2", rules) == ["sell 2 reduce-only"]
    assert legs_of("1", "2", rules) == ["sell 1 reduce-only"]
    assert legs_of("3", "2", rules) == []


def test_a_flip_whose_opening_is_too_small_says_so_in_the_plan() -> None:
    """The close goes out; that the other side is not opened must not look like an oversight."""
    planned = plan(Decimal(-1), Decimal(5), Decimal(10), FREE, Thresholds(ZERO, Decimal(15)))
    assert [(leg.side, leg.quantity) for leg in planned.legs] == [(Side.SELL, Decimal(5))]
    assert planned.reason == "below min_order_notional: 10.00 of 15"


@pytest.mark.parametrize(
    "rules",
    [MarketRules(step=ONE, min_quantity=Decimal(10)), MarketRules(step=ONE, min_notional=Decimal(100))],
    ids=["quantity", "notional"],
)
@pytest.mark.parametrize(("target", "orders"), [("-50", ["sell 54"]), ("-6", ["sell 10"]), ("-3", [])])
def test_a_leftover_below_the_venues_minimum_goes_with_the_order_that_opens_the_other_side(
    rules: MarketRules, target: str, orders: list[str]
) -> None:
    """By itself it can never be closed, and the strategy would never be on the other side."""
    assert legs_of(target, "4", rules) == orders


@given(cases())
def test_a_flip_that_a_venue_would_take_as_one_order_is_never_left_undone(case: Case) -> None:
    step, goal = case.rules.step, -abs(case.goal).copy_sign(case.position)
    leftover = case.position // step * step
    both = abs(goal - leftover)
    takes = both >= case.rules.min_quantity and abs(case.rules.notional(both, case.price)) >= max(
        case.rules.min_notional, case.small.min_order_notional
    )
    planned = plan(goal, leftover, case.price, case.rules, case.small)
    assert planned.legs or not takes or goal * leftover == 0


def test_inverse_markets_measure_minimums_in_contracts() -> None:
    rules = MarketRules(step=ONE, contract_size=Decimal(100), inverse=True, min_notional=Decimal(150))
    assert legs_of("1", "0", rules) == []
    assert legs_of("2", "0", rules) == ["buy 2"]
