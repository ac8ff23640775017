"""Whose money sizes the portfolio: one answer for the decisions, the drawdown and everything that is shown.

Venues that strategies with a weight are routed to size it; while no strategy has a weight, those that still hold
something. A venue that was used once and holds nothing sizes nothing; paper money is never added to real money.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

import msgspec

from portfoliod.model import ZERO, Book, Decision, HighWater, Intent, PortfolioConfig


class CapitalView(msgspec.Struct, frozen=True):
    """What sizes the targets, and what the venues behind it are worth."""

    venues: tuple[str, ...]
    """Sorted."""
    equity: Decimal | None
    """What they are worth together, in the quote currency; None where that is not known of one of them."""
    account_value: Decimal | None
    """What targets are sized by; None where that is not known."""


class Usage(msgspec.Struct, frozen=True):
    """Who uses which venue."""

    portfolio: PortfolioConfig
    default_venue: str
    strategies: Collection[str]
    """Those that something is known of."""
    holding: frozenset[str]
    """Venues on which something is held, or is to be."""
    paper: frozenset[str]
    """Venues whose money is not real."""

    def route(self, strategy: str) -> str:
        """Return the venue that a strategy is traded on."""
        return self.portfolio.exchanges.get(strategy, self.default_venue)

    def in_use(self) -> frozenset[str]:
        """Return the venues that strategies are routed to, or that hold something; the default one for the first."""
        routed = {self.route(strategy) for strategy in (*self.strategies, *self.portfolio.weights)}
        return self.holding | (routed or {self.default_venue})

    def opened(self, drivers: Mapping[str, str]) -> frozenset[str]:
        """Return which of some venues, given with their drivers, are opened: a paper one only if it is in use."""
        in_use = self.in_use()
        return frozenset(name for name, driver in drivers.items() if name in in_use or driver != "paper")

    def sizing(self, *, paper: bool) -> frozenset[str]:
        """Return the venues that size the targets on paper, or those that size the real ones."""
        weights = self.portfolio.weights
        routed = {self.route(strategy) for strategy in self.strategies if weights.get(strategy, ZERO) > 0}
        kind = [venues & self.paper if paper else venues - self.paper for venues in (routed, self.holding)]
        return frozenset(kind[0] or kind[1])

    def shown(self) -> frozenset[str]:
        """Return the venues of the portfolio as a whole: real ones where there are any."""
        default = frozenset({self.default_venue})
        return self.sizing(paper=False) or self.sizing(paper=True) or default

    def view(self, venues: Iterable[str], equities: Mapping[str, Decimal | None], *, by_equity: bool) -> CapitalView:
        """Return what sizes the targets of some venues.

        Args:
            venues: those that size them.
            equities: what venues are worth, as far as that is known and believed.
            by_equity: whether that sizes the targets; else account_value of portfolio_config.json does.
        """
        named = tuple(sorted(venues))
        known = [equity for name in named if (equity := equities.get(name)) is not None]
        equity = sum(known, ZERO) if named and len(known) == len(named) else None
        positive = equity if equity is not None and equity > 0 else None
        return CapitalView(named, equity, positive if by_equity else self.portfolio.account_value)


def drawdown(mark: HighWater | None, equities: Mapping[str, Decimal]) -> Decimal | None:
    """Return how far the venues of a mark are below it, as a fraction; None where that is not known.

    Args:
        mark: their high.
        equities: what venues are believed to be worth.
    """
    if mark is None or mark.equity <= 0 or not all(name in equities for name in mark.venues):
        return None
    return max(ZERO, 1 - sum((equities[name] for name in mark.venues), ZERO) / mark.equity)


def holding(decisions: Iterable[Decision], books: Iterable[Book], orders: Iterable[Intent]) -> frozenset[str]:
    """Return the venues on which a target or a position is not 0, or an order is open."""
    wanted = {decision.key.venue for decision in decisions if decision.quantity != 0}
    held = {book.key.venue for book in books if book.expected != 0}
    return frozenset(wanted | held | {order.key.venue for order in orders})


def paper_venues(drivers: Mapping[str, str]) -> frozenset[str]:
    """Return the venues, given with their drivers, whose money is not real."""
    return frozenset(name for name, driver in drivers.items() if driver == "paper")
