"""Targets: the formula exactly, decisions that stick, and strategies that fail alone."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from random import Random

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portfoliod.errors import PortfoliodError, UnknownSymbol, VenueUnreachable
from portfoliod.model import ZERO, Contribution, Decision, Key, MarketRules, PortfolioConfig, State
from portfoliod.targets import Wanted, changed, decide, wanted

ONE = Decimal(1)
RULES = MarketRules(step=Decimal("0.001"))
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
BTC, ETH = Key("paper", "BTCUSDT"), Key("paper", "ETHUSDT")

names = st.sampled_from(["carry", "trend", "pair", "breakout", "value"])
positions = st.decimals(-10, 10, places=8)
weights = st.decimals(0, 1, places=6)
account_values = st.decimals(1, 10**7, places=2)
prices = st.decimals(Decimal("0.0001"), 10**6, places=4)


def resolve(venue: str, text: str) -> str:
    """Know every symbol and its lower-case spelling, but no NONSENSE, and answer for every venue but `away`."""
    if venue == "away":
        raise VenueUnreachable("its markets are not known yet", where=venue)
    if text == "NONSENSE" or venue == "nowhere":
        raise UnknownSymbol("no such market", where=venue, found=text)
    return text.upper()


def holding(position: object, symbol: str = "BTCUSDT") -> State:
    return State({symbol: Decimal(str(position))}, 0.0)


def config(leverage: object = 1, **shares: object) -> PortfolioConfig:
    weighed = {name: Decimal(str(share)) for name, share in shares.items()}
    return PortfolioConfig(account_value=Decimal(1000), weights=weighed, leverage=Decimal(str(leverage)))


def wants(
    states: Mapping[str, State], portfolio: PortfolioConfig, in_force: Mapping[Key, Decision] | None = None
) -> dict[Key, Wanted]:
    return wanted(states, portfolio, in_force or {}, resolve, "paper")[0]


def refusals(
    states: Mapping[str, State], portfolio: PortfolioConfig, in_force: Mapping[Key, Decision]
) -> dict[str, PortfoliodError]:
    return {refusal.strategy: refusal.error for refusal in wanted(states, portfolio, in_force, resolve, "paper")[1]}


def decided(
    wanted_now: Mapping[Key, Wanted], account_value: object = 1000, price: object = 10, rules: MarketRules = RULES
) -> dict[Key, Decision]:
    return {
        key: decide(
            want,
            number=number,
            at=0.0,
            account_value=Decimal(str(account_value)),
            price=Decimal(str(price)),
            rules=rules,
        )[0]
        for number, (key, want) in enumerate(wanted_now.items())
    }


@st.composite
def books(draw: st.DrawFn) -> tuple[dict[str, State], PortfolioConfig]:
    """States of one or several markets, and weights for some of the strategies."""
    holdings = st.dictionaries(st.sampled_from(SYMBOLS), positions, max_size=3)
    states = {name: State(held, 0.0) for name, held in draw(st.dictionaries(names, holdings, max_size=5)).items()}
    portfolio = PortfolioConfig(
        account_value=draw(account_values),
        weights=draw(st.dictionaries(names, weights, max_size=5)),
        leverage=draw(st.decimals(0, 10, places=4)),
        exchanges=draw(st.dictionaries(names, st.sampled_from(["paper", "main"]), max_size=2)),
    )
    return states, portfolio


@given(books())
def test_the_notional_is_account_value_times_leverage_times_the_weighted_positions(
    book: tuple[dict[str, State], PortfolioConfig],
) -> None:
    states, portfolio = book
    account_value = portfolio.account_value
    assert account_value is not None
    for key, want in wants(states, portfolio).items():
        expected = ZERO
        for name, weight in portfolio.weights.items():
            if name in states and portfolio.exchanges.get(name, "paper") == key.venue:
                expected += weight * states[name].positions.get(key.symbol, ZERO)
        assert want.exposure == portfolio.leverage * expected
        assert want.notional(account_value) == account_value * portfolio.leverage * expected


@given(books(), st.randoms())
def test_the_order_of_the_strategies_does_not_matter(
    book: tuple[dict[str, State], PortfolioConfig], random: Random
) -> None:
    states, portfolio = book
    shuffled = list(states.items())
    random.shuffle(shuffled)
    turned = msgspec.structs.replace(portfolio, weights=dict(reversed(list(portfolio.weights.items()))))
    assert list(wants(dict(shuffled), turned).items()) == list(wants(states, portfolio).items())


@given(books(), prices, prices)
def test_the_same_wants_are_no_change_whatever_the_price(
    book: tuple[dict[str, State], PortfolioConfig], price: Decimal, later: Decimal
) -> None:
    """A decision stays the quantity that it was; where equity sizes it, a moving equity is no change either."""
    states, portfolio = book
    account_value = portfolio.account_value
    assert account_value is not None
    in_force = decided(wants(states, portfolio), account_value, price)
    again = wants(states, portfolio, in_force)
    assert again.keys() == in_force.keys()
    for key, want in again.items():
        assert not changed(want, in_force[key], account_value)
        assert not changed(want, in_force[key], None)
    repriced = decided(again, account_value, later)
    assert {key: decision.notional for key, decision in repriced.items()} == {
        key: decision.notional for key, decision in in_force.items()
    }


@given(positions, weights, weights)
def test_opposite_strategies_cancel(position: Decimal, weight: Decimal, other: Decimal) -> None:
    states = {"long": holding(position), "short": holding(-position), "other": holding(0)}
    want = wants(states, config(2, long=weight, short=weight, other=other)).get(BTC)
    assert want is None or want.exposure == 0


@pytest.mark.parametrize(
    ("states", "portfolio", "account_value"),
    [
        ({"a": holding(2)}, config(2, a=0.5), 1000),
        ({"a": holding(1)}, config(2, a=0.6), 1000),
        ({"a": holding(1)}, config(3, a=0.5), 1000),
        ({"a": holding(1)}, config(2, a=0.5), 1001),
        ({}, config(2, a=0.5), 1000),
        ({"a": holding(1)}, config(2), 1000),
        ({"a": holding(1, "ETHUSDT")}, config(2, a=0.5), 1000),
        (
            {"a": holding(1)},
            msgspec.structs.replace(config(2, a=0.5), exchanges={"a": "main"}),
            1000,
        ),
    ],
    ids=["state", "weight", "leverage", "account_value", "no state", "no weight", "symbol", "route"],
)
def test_a_key_changes_with_state_weight_leverage_account_value_and_route(
    states: dict[str, State], portfolio: PortfolioConfig, account_value: int
) -> None:
    in_force = decided(wants({"a": holding(1)}, config(2, a=0.5)))
    want = wants(states, portfolio, in_force)[BTC]
    assert changed(want, in_force[BTC], Decimal(account_value))


def test_what_was_never_decided_is_a_change() -> None:
    want = Wanted(BTC, ZERO, ())
    assert changed(want, None, ONE)
    assert changed(want, None, None)


def test_sized_by_equity_the_exposure_decides() -> None:
    in_force = decided(wants({"a": holding(1)}, config(2, a=0.5)), account_value=1000)
    more = wants({"a": holding(2)}, config(2, a=0.5), in_force)[BTC]
    assert changed(more, in_force[BTC], None)


def test_a_route_moves_the_position_to_the_other_venue() -> None:
    in_force = decided(wants({"a": holding(1)}, config(2, a=0.5)))
    routed = msgspec.structs.replace(config(2, a=0.5), exchanges={"a": "main"})
    moved = wants({"a": holding(1)}, routed, in_force)
    assert {key: want.exposure for key, want in moved.items()} == {BTC: ZERO, Key("main", "BTCUSDT"): ONE}


def test_a_key_that_nobody_names_any_more_is_wanted_flat() -> None:
    in_force = decided(wants({"a": holding(1), "b": holding(1, "ETHUSDT")}, config(1, a=0.5, b=0.5)))
    left = wants({"b": holding(1, "ETHUSDT")}, config(1, a=0.5, b=0.5), in_force)
    assert left[BTC] == Wanted(BTC, ZERO, ())
    assert left[ETH].exposure == Decimal("0.5")


def test_a_strategy_without_a_weight_contributes_nothing_and_manages_nothing() -> None:
    assert wants({"a": holding(1)}, config(1)) == {}
    assert wants({"a": holding(1)}, config(1, b=1)) == {}


def test_a_strategy_with_weight_0_manages_only_what_was_decided_before() -> None:
    """Markets that no strategy with a weight ever named are the user's own."""
    assert wants({"a": holding(1)}, config(1, a=0)) == {}
    in_force = decided(wants({"a": holding(1)}, config(1, a=1)))
    assert wants({"a": holding(1)}, config(1, a=0), in_force)[BTC].exposure == 0


@pytest.mark.parametrize("venue", ["paper", "nowhere", "away"])
def test_a_strategy_that_cannot_be_resolved_is_refused_alone_and_keeps_what_it_held(venue: str) -> None:
    """An unknown symbol, an unknown venue, a venue that was not reached yet: the others go on."""
    in_force = decided(wants({"a": holding(1), "b": holding(1)}, config(1, a=0.5, b=0.5)))
    states = {"a": holding(3, "NONSENSE"), "b": holding(-1), "c": holding(1, "ETHUSDT")}
    portfolio = msgspec.structs.replace(config(1, a=0.3, b=0.5, c=0.2), exchanges={"a": venue})
    now = wants(states, portfolio, in_force)
    assert list(refusals(states, portfolio, in_force)) == ["a"]
    assert now[BTC].exposure == Decimal("0.3") - Decimal("0.5")
    assert Contribution("a", ONE, Decimal("0.3")) in now[BTC].contributions
    assert now[ETH].exposure == Decimal("0.2")


def test_a_refused_strategy_that_held_nothing_contributes_nothing() -> None:
    assert wants({"a": holding(3, "NONSENSE")}, config(1, a=1)) == {}


def test_one_bad_symbol_of_several_refuses_the_whole_strategy() -> None:
    states = {"a": State({"BTCUSDT": ONE, "NONSENSE": ONE}, 0.0)}
    assert wants(states, config(1, a=1)) == {}
    assert list(refusals(states, config(1, a=1), {})) == ["a"]


def test_two_names_for_one_market_are_refused_with_both_the_file_and_the_market_named() -> None:
    states = {"a": State({"BTCUSDT": ONE, "btcusdt": -ONE}, 0.0)}
    error = refusals(states, config(1, a=1), {})["a"]
    assert error.where == "strategies/a/state.json"
    assert "BTCUSDT on paper" in error.found


@given(st.decimals(-(10**6), 10**6, places=4), prices, account_values)
def test_a_quantity_is_the_notional_at_the_price(exposure: Decimal, price: Decimal, account_value: Decimal) -> None:
    decision, warning = decide(
        Wanted(BTC, exposure, ()), number=7, at=1.5, account_value=account_value, price=price, rules=RULES
    )
    assert warning == ""
    assert decision.quantity == account_value * exposure / price
    assert decision.notional == account_value * exposure
    assert (decision.number, decision.at, decision.price, decision.key) == (7, 1.5, price, BTC)
    assert (decision.exposure, decision.account_value) == (exposure, account_value)


@given(st.decimals(-10, 10, places=4), prices, prices)
def test_inverse_quantities_are_contracts_whatever_the_price(exposure: Decimal, price: Decimal, later: Decimal) -> None:
    rules = MarketRules(step=ONE, contract_size=Decimal(100), inverse=True)
    quantities = {
        decide(Wanted(BTC, exposure, ()), number=1, at=0.0, account_value=Decimal(5000), price=at, rules=rules)[
            0
        ].quantity
        for at in (price, later)
    }
    assert quantities == {exposure * 50}


@given(st.decimals(-10, 10, places=4), prices)
def test_spot_is_never_short_and_says_when_it_is_clipped(exposure: Decimal, price: Decimal) -> None:
    """The notional stays what was wanted, so that the clipped decision is not taken for a change at every look."""
    assume(exposure != 0)
    want = Wanted(BTC, exposure, ())
    spot = MarketRules(step=ONE, spot=True)
    decision, warning = decide(want, number=1, at=0.0, account_value=Decimal(1000), price=price, rules=spot)
    assert (decision.quantity == 0) == (exposure < 0) == bool(warning)
    assert decision.quantity >= 0
    assert not changed(want, decision, Decimal(1000))
