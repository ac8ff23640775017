"""Whose money sizes the portfolio."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from portfoliod.capital import Usage
from portfoliod.model import PortfolioConfig

VENUES = ("main", "second", "paper", "trial")
names = st.sampled_from("abcde")
venues = st.sampled_from(VENUES)
portfolios = st.builds(
    lambda weights, exchanges: PortfolioConfig(account_value=Decimal(5), weights=weights, exchanges=exchanges),
    st.dictionaries(names, st.sampled_from(["0", "0.2"]).map(Decimal)),
    st.dictionaries(names, venues),
)
usages = st.builds(
    Usage,
    portfolios,
    venues,
    st.frozensets(names),
    st.frozensets(venues),
    st.just(frozenset({"paper", "trial"})),
)
equities = st.dictionaries(venues, st.integers(-5, 100).map(Decimal))


@given(usages)
def test_paper_and_real_money_are_never_added_up(usage: Usage) -> None:
    assert not usage.sizing(paper=False) & usage.paper
    assert usage.sizing(paper=True) <= usage.paper
    assert len({name in usage.paper for name in usage.shown()}) == 1


@given(usages)
def test_only_venues_that_hold_or_want_something_size(usage: Usage) -> None:
    wanting = {usage.route(name) for name in usage.strategies if usage.portfolio.weights.get(name)}
    for paper in (True, False):
        sizing = usage.sizing(paper=paper)
        assert sizing <= wanting | usage.holding
        assert sizing <= usage.in_use()
        assert sizing >= {name for name in wanting if (name in usage.paper) is paper}


@given(usages, equities, st.booleans())
def test_what_is_not_known_of_one_venue_is_not_known_of_all(
    usage: Usage, told: dict[str, Decimal], by_equity: bool
) -> None:
    view = usage.view(usage.shown(), told, by_equity=by_equity)
    known = all(name in told for name in view.venues)
    assert view.equity == (sum(told[name] for name in view.venues) if known else None)
    if by_equity:
        assert view.account_value == (view.equity if view.equity is not None and view.equity > 0 else None)
    else:
        assert view.account_value == Decimal(5)


@given(usages)
def test_every_venue_that_is_no_paper_one_is_opened_and_a_paper_one_only_if_it_is_used(usage: Usage) -> None:
    drivers = {name: "paper" if name in usage.paper else "ccxt" for name in VENUES}
    opened = usage.opened(drivers)
    assert opened - usage.paper == {"main", "second"}
    assert opened & usage.paper == usage.in_use() & usage.paper
