"""From states, weights and routes to journaled decisions, and what is said of those that cannot be made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial

import structlog

from portfoliod.errors import (
    KeysRefused,
    MarketGone,
    UnknownSymbol,
    VenueError,
    VenuePaused,
    VenueStopped,
    VenueUnreachable,
)
from portfoliod.intake import PORTFOLIO, Kind, Source
from portfoliod.model import Decision, Key, MarketRules, PortfolioConfig, Problem
from portfoliod.problems import Owner, Part, Strategy, Target
from portfoliod.reconciler.connection import Connection, resolve
from portfoliod.reconciler.desk import Desk
from portfoliod.targets import Wanted, ascribed_anew, changed, decide, wanted

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_ANY_RULES = MarketRules(step=Decimal(1))
"""Of a market that is gone: nothing, by whatever rules, is nothing."""


class Decider:
    """Compares what is wanted with what was decided."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._seen: dict[Key, int] = {}
        """The number of the last change of a file that a key's decision looked at."""

    async def decide(self, venue: str) -> list[Decision]:
        """Journal a decision for each key of a venue whose wanted notional changed, and return them.

        What is closed comes first, and alone: the next call brings the rest.

        Raises:
            JournalFailed: nothing was decided.
        """
        portfolio = self.desk.intake.portfolio
        if portfolio is None:
            return []
        policy = self.desk.policy
        connections, seen = self.desk.connections, self.desk.intake.cycles.number
        everything, refused = wanted(
            self.desk.intake.states,
            portfolio,
            self.desk.journal.targets,
            partial(resolve, connections),
            policy.default_venue,
        )
        self._say_refused(
            {refusal.strategy: refusal.error for refusal in refused if isinstance(refusal.error, UnknownSymbol)}
        )
        # A venue that does not exist has nobody of its own to say so.
        wants = {key: want for key, want in everything.items() if key.venue == venue or key.venue not in connections}
        await self._ascribe_anew(wants)
        by_equity, in_force = policy.by_equity, self.desk.journal.targets
        account_value = None if by_equity else self._account_value(portfolio)
        due = self._due(wants, account_value)
        # To close needs no capital: nothing of whatever it is, is nothing.
        closing = [want for want in due if want.exposure == 0 and want.key in in_force]
        made = await self._made([(want, in_force[want.key].account_value) for want in closing])
        if not made:
            adding = [want for want in due if want not in closing]
            if adding and by_equity:
                account_value = await self._equity(venue)
            if account_value is not None:
                made = await self._made([(want, account_value) for want in adding])
        for decision in made:
            self._seen[decision.key] = seen
            _log_decision(decision)
        return made

    async def _made(self, sized: Sequence[tuple[Wanted, Decimal]]) -> list[Decision]:
        """Price what is wanted by some account values, journal the decisions and return them."""
        decisions = await asyncio.gather(*(self._decision(want, account_value) for want, account_value in sized))
        made = [decision for decision in decisions if decision is not None]
        if made:
            await self.desk.journal.decide(made)
        return made

    def _due(self, wants: Mapping[Key, Wanted], account_value: Decimal | None) -> list[Wanted]:
        in_force = self.desk.journal.targets
        return [want for key, want in wants.items() if changed(want, in_force.get(key), account_value)]

    async def _ascribe_anew(self, wants: Mapping[Key, Wanted]) -> None:
        """Note in the decisions that stay whom they belong to now."""
        journal = self.desk.journal
        for key, want in wants.items():
            last = journal.targets.get(key)
            again = ascribed_anew(want, last)
            if last is not None and again is not None and want.exposure == last.exposure:
                await journal.ascribe(again)

    async def _decision(self, want: Wanted, account_value: Decimal) -> Decision | None:
        """Price what is wanted in a key; None where that cannot be done now."""
        connection = self.desk.connections.get(want.key.venue)
        if connection is None:
            self._refuse(want.key, "no such venue in portfoliod.toml: its position is left as it is")
            return None
        if not connection.known:
            return None
        try:
            price = await self._price(connection, want)
            rules = connection.venue.rules(want.key.symbol)
        except (KeysRefused, VenuePaused, VenueStopped) as error:
            self.desk.venue_failed(connection, error)
            return None
        except MarketGone as error:
            last = self.desk.journal.targets.get(want.key)
            if want.exposure != 0 or last is None:
                self._refuse(want.key, error.what)
                return None
            price, rules = last.price, _ANY_RULES
        except (VenueError, UnknownSymbol) as error:
            self._refuse(want.key, error.what)
            return None
        number, cycle = self.desk.journal.next_decision(), self._cycle(want)
        decision, warning = decide(
            want, number=number, at=time.time(), account_value=account_value, price=price, rules=rules, cycle=cycle
        )
        if warning:
            log.warning("target.clipped", venue=want.key.venue, symbol=want.key.symbol, warning=warning)
        self.desk.intake.problems.set(Owner.DECIDER, Target(want.key), None)
        return decision

    def _cycle(self, want: Wanted) -> str:
        """Return which changes a new decision follows from: those of the files that it, or the one before, rests on."""
        cycles, last = self.desk.intake.cycles, self.desk.journal.targets.get(want.key)
        parts = (*want.contributions, *(() if last is None else last.contributions))
        states = (Source(Kind.STATE, part.strategy) for part in parts)
        return cycles.since(self._seen.get(want.key, 0), [PORTFOLIO, *states])

    async def _price(self, connection: Connection, want: Wanted) -> Decimal:
        """Return the price to size a key by; to close it, the last one will do."""
        last = self.desk.journal.targets.get(want.key)
        try:
            return await connection.fresh_price(want.key.symbol, self.desk.policy.oldest_price)
        except VenueUnreachable:
            if want.exposure == 0 and last is not None:
                return last.price
            raise

    def _account_value(self, portfolio: PortfolioConfig) -> Decimal | None:
        """Return the account value of the file, and say it where there is none."""
        missing = portfolio.account_value is None
        if self.desk.intake.problems.set(Owner.DECIDER, Part.CAPITAL, _NO_CAPITAL if missing else None) and missing:
            log.warning("target.refused", reason=_NO_CAPITAL.what, where=_NO_CAPITAL.where)
        return portfolio.account_value

    async def _equity(self, venue: str) -> Decimal | None:
        """Return the equity that sizes a venue's targets, None where it is not positive, or not known of one venue."""
        usage, connections = self.desk.usage(), self.desk.connections
        venues = usage.sizing(paper=venue in usage.paper) & connections.keys()
        if not all(connections[name].known for name in venues):
            return None
        equities = await asyncio.gather(*(self._equity_of(connections[name]) for name in venues))
        return usage.view(venues, dict(zip(venues, equities, strict=True)), by_equity=True).account_value

    async def _equity_of(self, connection: Connection) -> Decimal | None:
        try:
            return await self.desk.capital.read(connection, self.desk.policy)
        except VenueError as error:
            self.desk.venue_failed(connection, error)
            return None

    def _say_refused(self, errors: dict[str, UnknownSymbol]) -> None:
        kept = "what the strategy held stays in force; the others go on"
        problems = {
            Strategy(name): Problem(error.what, where=error.where, found=error.found, kept=kept, mend=error.mend)
            for name, error in errors.items()
        }
        for subject in self.desk.intake.problems.replace(Owner.DECIDER, Strategy, problems):
            error = errors[subject.strategy]
            fields = {"what": error.what, "found": error.found, "mend": error.mend}
            log.warning("target.refused", strategy=subject.strategy, **fields)

    def _refuse(self, key: Key, reason: str) -> None:
        """Log once why a target cannot be decided now."""
        if self.desk.intake.problems.set(Owner.DECIDER, Target(key), Problem(reason)):
            log.warning("target.refused", venue=key.venue, symbol=key.symbol, reason=reason)


_NO_CAPITAL = Problem(
    "account_value is missing",
    where="config/portfolio_config.json  $.account_value",
    kept="targets stay as they are",
    mend='write the capital to size for ("account_value": 10000), or set capital = "equity"',
)


def _log_decision(decision: Decision) -> None:
    counting = [part for part in decision.contributions if part.weight and part.position]
    parts = ", ".join(f"{part.strategy} {part.weight} x {part.position}" for part in counting)
    log.info(
        "target.decided",
        venue=decision.key.venue,
        symbol=decision.key.symbol,
        quantity=f"{decision.quantity:.8f}",
        notional=f"{decision.notional:.2f}",
        price=f"{decision.price:f}",
        decision=decision.number,
        contributors=parts or "none",
        strategies=tuple(part.strategy for part in counting),
        cycle=decision.cycle,
    )
