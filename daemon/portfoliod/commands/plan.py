"""What would be traded now, and why, or why not. Nothing is sent, nothing is written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from functools import partial

import msgspec

from portfoliod.capital import paper_venues
from portfoliod.errors import MarketGone, UnknownSymbol, VenueUnreachable
from portfoliod.intake import Intake
from portfoliod.journal import CONFIRMED, Journal, opened_to_read
from portfoliod.model import ZERO, Book, Decision, Key, MarketRules, PortfolioConfig, Side, Standing
from portfoliod.planning import FLATTENED
from portfoliod.reconciler.capital import why_doubted
from portfoliod.reconciler.connection import Connection, resolve
from portfoliod.reconciler.order_rate import MINUTE
from portfoliod.service import open_connections
from portfoliod.settings import Settings, drivers, policy_of
from portfoliod.status import plain
from portfoliod.step import Exposure, Facts, Price, Reading, Recheck, actions, decide_step
from portfoliod.switches import HaltSwitch
from portfoliod.targets import Wanted, changed, decide, gross_notional, stale_contributors, wanted
from portfoliod.venues import Positions
from portfoliod.workspace import Workspace

MOST_PARTS = 50
"""Orders of one market that are listed: of a split one more may follow."""


class PlannedOrder(msgspec.Struct, frozen=True):
    """An order that would be sent."""

    venue: str
    symbol: str
    side: Side
    quantity: str
    notional: str
    reduce_only: bool
    reason: str


class Skipped(msgspec.Struct, frozen=True):
    """A market that is not at its target and would not be traded."""

    venue: str
    symbol: str
    difference: str
    reason: str


class Preview(msgspec.Struct, frozen=True):
    """The content of `plan --json`."""

    version: int
    orders: list[PlannedOrder]
    skipped: list[Skipped]
    turnover: float
    """Sum of the orders' notionals as a share of account_value."""
    notes: list[str] = []
    """What keeps strategies out of the plan."""


async def preview(workspace: Workspace, settings: Settings) -> Preview:
    """Return what the daemon would do with the files and positions of this moment.

    Raises:
        VenueUnreachable: a venue does not answer.
        KeysRefused: a venue does not accept its keys.
        JournalFailed: the journal cannot be read.
    """
    with opened_to_read(workspace.journal_file) as journal:
        return await _preview(workspace, settings, journal)


async def _preview(workspace: Workspace, settings: Settings, journal: Journal | None) -> Preview:
    connections = open_connections(workspace, settings, live=False, read_only=True)
    intake = Intake(workspace, journal, settings.risk.max_position)
    try:
        intake.read_all()
        usage = intake.usage(settings.default_venue, drivers(settings))
        used = {name: connections[name] for name in sorted(usage.opened(drivers(settings)))}
        connecting = (connection.load_markets() for connection in used.values())
        for outcome in await asyncio.gather(*connecting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return await _Rehearsal(workspace, settings, intake, journal, used).preview()
    finally:
        await asyncio.gather(*(connection.venue.close() for connection in connections.values()))


class _Rehearsal:
    """Asks what the daemon asks, and only takes note of what it would do."""

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        intake: Intake,
        journal: Journal | None,
        connections: dict[str, Connection],
    ) -> None:
        self._policy = policy_of(settings)
        self._intake = intake
        self._journal = journal
        self._connections = connections
        self._drivers = drivers(settings)
        self._paper = paper_venues(self._drivers)
        self._halt = HaltSwitch(workspace).read()
        self._snapshots: dict[str, Positions] = {}
        self._sent = 0 if journal is None else len(journal.sent_since(time.time() - MINUTE))
        self._orders: list[PlannedOrder] = []
        self._skipped: list[Skipped] = []
        self._notes: list[str] = []
        self._turnover = ZERO

    async def preview(self) -> Preview:
        decisions = await self._decisions()
        for decision in sorted(decisions, key=lambda decision: decision.key):
            await self._rehearse(decision, decisions)
        self._orders.sort(key=lambda order: (not order.reduce_only, order.venue, order.symbol))
        self._notes += [f"{one.where}: {one.what}; {one.kept}" for one in self._intake.problems.values()]
        return Preview(1, self._orders, self._skipped, round(float(self._turnover), 6), self._notes)

    async def _decisions(self) -> list[Decision]:
        """Return the targets that would be in force."""
        portfolio, in_force = self._intake.portfolio, {} if self._journal is None else self._journal.targets
        if portfolio is None:
            self._note("config/portfolio_config.json: there are no weights yet; run: portfoliod optimize")
            return [*in_force.values()]
        resolver = partial(resolve, self._connections)
        wants, refused = wanted(self._intake.states, portfolio, in_force, resolver, self._policy.default_venue)
        for refusal in refused:
            self._note(f"{refusal.strategy}: {refusal.error.what}: {refusal.error.found}")
        decisions = []
        sized: dict[bool, Decimal | None] = {}
        for key, want in wants.items():
            last, paper = in_force.get(key), key.venue in self._paper
            decision = last
            if changed(want, last, None if self._policy.by_equity else portfolio.account_value):
                if paper not in sized:
                    sized[paper] = await self._account_value(portfolio, paper=paper)
                decision = await self._decided_now(want, sized[paper], last)
            decisions += [] if decision is None else [decision]
        return decisions

    async def _account_value(self, portfolio: PortfolioConfig, *, paper: bool) -> Decimal | None:
        """Return what targets are sized by; None, and note why, where that is not known."""
        if not self._policy.by_equity:
            if portfolio.account_value is None:
                self._note("nothing is sized anew: account_value is missing")
            return portfolio.account_value
        usage = self._intake.usage(self._policy.default_venue, self._drivers)
        venues = sorted(usage.sizing(paper=paper) & self._connections.keys())
        equities = {name: await self._equity(name) for name in venues}
        return usage.view(venues, equities, by_equity=True).account_value

    async def _equity(self, name: str) -> Decimal | None:
        """Return a venue's equity; None, and note why, where it is not known or not believed."""
        try:
            equity = await self._connections[name].venue.equity()
        except VenueUnreachable as error:
            self._note(f"nothing is sized anew: the equity of {name}: {error.what}")
            return None
        doubt = "" if equity is not None else "is not known"
        if self._journal is not None and equity is not None:
            confirmed, worth = await self._journal.meta(CONFIRMED), self._journal.worths.get(name)
            doubt = why_doubted(worth, equity, time.time(), float(confirmed or 0), self._policy.resync_seconds)
        if doubt:
            self._note(f"nothing is sized anew: the equity of {name} {doubt}")
        return None if doubt else equity

    async def _decided_now(self, want: Wanted, account_value: Decimal | None, last: Decision | None) -> Decision | None:
        """Return the decision that would be made; the last one, and note why, where that cannot be done."""
        connection = self._connections.get(want.key.venue)
        if connection is None:
            return last
        account_value = last.account_value if last is not None and want.exposure == 0 else account_value
        if account_value is None:
            return last
        try:
            price = await connection.fresh_price(want.key.symbol, self._policy.oldest_price)
            rules = connection.venue.rules(want.key.symbol)
        except (UnknownSymbol, VenueUnreachable) as error:
            self._note(f"{want.key}: no new target: {error.what}")
            return last
        at = time.time()
        decision, _ = decide(want, number=0, at=at, account_value=account_value, price=price, rules=rules)
        return decision

    async def _rehearse(self, decision: Decision, decisions: Sequence[Decision]) -> None:
        """Do in the mind what a worker would do until its market is at its target."""
        key = decision.key
        connection = self._connections.get(key.venue)
        if connection is None:
            if key.venue not in self._drivers:  # else nobody uses it: nothing is wanted nor held there
                self._skip(key, decision.quantity, "no such venue in portfoliod.toml")
            return
        facts = self._facts(decision, connection)
        for _ in range(MOST_PARTS):
            action = decide_step(facts)
            while not isinstance(action, (actions.Send, actions.Wait, actions.Done)):
                fresh = await self._learned(facts, action, connection, decisions)
                if isinstance(fresh, str):
                    self._skip(key, self._away(facts), fresh)
                    return
                facts = fresh
                action = decide_step(facts)
            if not isinstance(action, actions.Send):
                self._ended(facts, decision, action)
                return
            facts = self._sent_in_mind(facts, action, decision)
        self._skip(key, self._away(facts), f"more parts of the same order follow the {MOST_PARTS} listed")

    def _away(self, facts: Facts) -> Decimal:
        """Return how far a market is from its target, as far as its position is known."""
        target = ZERO if facts.decision is None or facts.flattening else facts.decision.quantity
        return target - (facts.expected if facts.snapshot is None else facts.snapshot.quantity)

    def _facts(self, decision: Decision, connection: Connection) -> Facts:
        journal, key = self._journal, decision.key
        return Facts(
            policy=self._policy,
            availability=connection.availability(),
            halt=self._halt,
            rules=_listed(connection, key.symbol),
            book=None if journal is None else journal.books.get(key),
            lock=None if journal is None else journal.locks.get(key),
            decision=decision,
            pending=() if journal is None else tuple(journal.unresolved(key)),
            in_parts=journal is not None and 0 < decision.number == journal.in_parts.get(key),
        )

    async def _learned(
        self, facts: Facts, action: actions.Action, connection: Connection, decisions: Sequence[Decision]
    ) -> Facts | str:
        """Return the facts after an action that sends nothing, or why it ends here."""
        decision = facts.decision
        assert decision is not None  # noqa: S101 - a rehearsal is of a decision
        key = decision.key
        match action:
            case actions.Cancel() | actions.Resolve():
                return "an order is not resolved yet"
            case actions.LockMarket():
                return "the position drifted: our fills do not explain it"
            case actions.ReadPosition():
                try:
                    quantity = await self._position(key)
                except (MarketGone, VenueUnreachable) as error:
                    return f"{error.what}: {error.found}"
                return msgspec.structs.replace(facts, snapshot=Reading(quantity, confirmed=True))
            case actions.ReadPrice():
                return msgspec.structs.replace(facts, price=await self._price(connection, key.symbol))
            case actions.MeasureExposure():
                same = [one for one in decisions if (one.key.venue in self._paper) is (key.venue in self._paper)]
                stale = stale_contributors(decision, self._intake.states, self._policy.oldest_state, time.time())
                return msgspec.structs.replace(facts, exposure=Exposure(gross_notional(same), self._sent, stale))
            case actions.RecheckFinished():
                return msgspec.structs.replace(facts, recheck=Recheck())
            case actions.TakeOver() | actions.Adopt():
                return msgspec.structs.replace(facts, book=Book(key, action.quantity, action.quantity))
            case actions.Unlock():
                return msgspec.structs.replace(facts, lock=None)
            case actions.AwaitReductions() | _:
                return msgspec.structs.replace(facts, others_reduce=False)

    def _sent_in_mind(self, facts: Facts, send: actions.Send, decision: Decision) -> Facts:
        """Take note of an order, and return the facts after it filled."""
        assert facts.rules is not None  # noqa: S101 - an order has a market
        assert facts.book is not None  # noqa: S101 - and a position
        price = decision.price if facts.price is None or facts.price.value is None else facts.price.value
        self._order(decision, send, abs(facts.rules.notional(send.leg.quantity, price)))
        self._sent += 1
        moved, read = send.leg.signed, facts.snapshot
        return msgspec.structs.replace(
            facts,
            book=msgspec.structs.replace(facts.book, expected=facts.book.expected + moved),
            snapshot=None if read is None else Reading(read.quantity + moved, confirmed=True),
            exposure=None,
            in_parts=facts.in_parts or send.part,
        )

    async def _position(self, key: Key) -> Decimal:
        if key.venue not in self._snapshots:
            self._snapshots[key.venue] = await self._connections[key.venue].venue.positions(time.monotonic())
        return self._snapshots[key.venue].quantity(key.symbol)

    async def _price(self, connection: Connection, symbol: str) -> Price:
        try:
            return Price(await connection.fresh_price(symbol, self._policy.oldest_price))
        except VenueUnreachable:
            return Price(None)

    def _ended(self, facts: Facts, decision: Decision, action: actions.Wait | actions.Done) -> None:
        """Take note of why nothing more would be sent."""
        key = decision.key
        if isinstance(action, actions.Wait):
            locked = "locked: " if action.standing is Standing.LOCKED else ""
            away = action.legs[0].signed if action.legs else self._away(facts)
            self._skip(key, away, f"{locked}{action.reason}")
        elif action.difference != 0:
            self._skip(key, action.difference, action.reason)
        elif action.flattened:
            self._skip(key, decision.quantity, FLATTENED)

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def _skip(self, key: Key, difference: Decimal, reason: str) -> None:
        self._skipped.append(Skipped(key.venue, key.symbol, plain(difference), reason))

    def _order(self, decision: Decision, send: actions.Send, notional: Decimal) -> None:
        key, leg = decision.key, send.leg
        self._turnover += notional / decision.account_value
        quantity = plain(leg.quantity)
        self._orders.append(
            PlannedOrder(key.venue, key.symbol, leg.side, quantity, f"{notional:.2f}", leg.reduce_only, leg.reason)
        )


def _listed(connection: Connection, symbol: str) -> MarketRules | None:
    try:
        return connection.venue.rules(symbol)
    except MarketGone:
        return None
