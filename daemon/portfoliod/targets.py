"""States and weights in, decisions out.

    target notional (venue, symbol) = account_value x leverage x sum of weight_i x position_i

A target is decided when that changes, priced once, and stays that quantity: a price that moves trades nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from portfoliod.errors import PortfoliodError, UnknownSymbol, VenueUnreachable
from portfoliod.model import ZERO, Contribution, Decision, Key, MarketRules, PortfolioConfig, State

CLOCK_SKEW_SECONDS = 60.0
"""How far ahead the clock of whoever wrote a state may be."""

Resolve = Callable[[str, str], str]
"""(venue, symbol as the strategy wrote it) -> unified symbol.

Raises UnknownSymbol, or VenueUnreachable where the venue's markets are not known yet.
"""


class Wanted(msgspec.Struct, frozen=True):
    """What the strategies together want in one key, as a share of account_value."""

    key: Key
    exposure: Decimal
    contributions: tuple[Contribution, ...]

    def notional(self, account_value: Decimal) -> Decimal:
        """Return the wanted notional in the quote currency."""
        return account_value * self.exposure


class RefusedStrategy(msgspec.Struct, frozen=True):
    """A strategy whose state cannot be traded now. What it held stays in force."""

    strategy: str
    error: PortfoliodError


def wanted(
    states: Mapping[str, State],
    portfolio: PortfolioConfig,
    in_force: Mapping[Key, Decision],
    resolve: Resolve,
    default_venue: str,
) -> tuple[dict[Key, Wanted], list[RefusedStrategy]]:
    """Return what is wanted in every managed key, and the strategies that were refused.

    A key is managed once a strategy with a weight names it; from then on it is listed for ever, with an exposure of 0
    when nobody names it any more. A refused strategy keeps, at its weight of today, the positions that the decisions
    in force ascribe to it.

    Args:
        states: the last good state of each strategy.
        portfolio: weights, leverage and routes.
        in_force: the last decision of each key.
        resolve: finds a market on a venue.
        default_venue: where strategies without a route go.
    """
    contributions: dict[Key, list[Contribution]] = {key: [] for key in in_force}
    refused: list[RefusedStrategy] = []
    for strategy in sorted(states):
        weight = portfolio.weights.get(strategy)
        if weight is None:
            continue
        venue = portfolio.exchanges.get(strategy, default_venue)
        try:
            positions = _resolved(strategy, states[strategy], venue, resolve)
        except (UnknownSymbol, VenueUnreachable) as error:
            refused.append(RefusedStrategy(strategy, error))
            positions = dict(_held(strategy, in_force.values()))
        for key, position in positions.items():
            if weight > 0 or key in contributions:
                contributions.setdefault(key, []).append(Contribution(strategy, position, weight))
    return {
        key: Wanted(
            key,
            portfolio.leverage * sum((part.weight * part.position for part in parts), ZERO),
            tuple(parts),
        )
        for key, parts in sorted(contributions.items())
    }, refused


def _resolved(strategy: str, state: State, venue: str, resolve: Resolve) -> dict[Key, Decimal]:
    positions: dict[Key, Decimal] = {}
    for text, position in state.positions.items():
        key = Key(venue, resolve(venue, text))
        if key in positions:
            raise UnknownSymbol(
                "two names for one market",
                where=f"strategies/{strategy}/state.json",
                found=f"{text} and another one are both {key.symbol} on {venue}",
                mend="name each market once",
            )
        positions[key] = position
    return positions


def _held(strategy: str, decisions: Iterable[Decision]) -> Iterable[tuple[Key, Decimal]]:
    for decision in decisions:
        for part in decision.contributions:
            if part.strategy == strategy:
                yield decision.key, part.position


def changed(want: Wanted, last: Decision | None, account_value: Decimal | None) -> bool:
    """Return whether a key needs a new decision.

    Args:
        want: what is wanted now.
        last: what was decided last.
        account_value: None where it is the venues' equity, which moves all the time and is read at each decision: it is
            no reason for one by itself, so the exposure is compared, else the notional.
    """
    if last is None:
        return True
    if account_value is None:
        return want.exposure != last.exposure
    return want.notional(account_value) != last.notional


def ascribed_anew(want: Wanted, last: Decision | None) -> Decision | None:
    """Return the decision in force with the contributions of today; None where they are the same.

    Strategies can swap their parts without changing the sum. Nothing is decided then, but what a refused strategy keeps
    is what it contributed last.
    """
    if last is None or want.contributions == last.contributions:
        return None
    return msgspec.structs.replace(last, contributions=want.contributions)


def decide(
    want: Wanted, *, number: int, at: float, account_value: Decimal, price: Decimal, rules: MarketRules, cycle: str = ""
) -> tuple[Decision, str]:
    """Return the decision that sizes what is wanted at a price, and a warning (or an empty string)."""
    notional = want.notional(account_value)
    quantity = rules.quantity(notional, price)
    warning = ""
    if rules.spot and quantity < 0:
        quantity = ZERO
        warning = "a spot market cannot be held short: the target is 0"
    return Decision(
        number=number,
        key=want.key,
        at=at,
        exposure=want.exposure,
        account_value=account_value,
        notional=notional,
        price=price,
        quantity=quantity,
        contributions=want.contributions,
        cycle=cycle,
    ), warning


def gross_notional(decisions: Iterable[Decision]) -> Decimal:
    """Return the sum of |target notional|; a short that a spot market cannot hold is none."""
    return sum((abs(decision.notional) for decision in decisions if decision.quantity != 0), ZERO)


def stale_contributors(decision: Decision, states: Mapping[str, State], oldest: float, now: float) -> tuple[str, ...]:
    """Return the strategies that hold something of a decision and whose state is older than `oldest` seconds.

    One from the future says nothing of its age, and counts as old.

    Args:
        decision: the target.
        states: the last good states.
        oldest: 0 for no limit.
        now: epoch seconds.
    """
    return tuple(
        part.strategy
        for part in decision.contributions
        if oldest > 0
        and part.position != 0
        and part.weight != 0
        and (state := states.get(part.strategy)) is not None
        and not -CLOCK_SKEW_SECONDS <= now - state.updated_at <= oldest
    )
