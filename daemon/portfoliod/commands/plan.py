"""What would be traded now, and why, or why not. Nothing is sent, nothing is written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from functools import partial

import msgspec

from portfoliod.errors import UnknownSymbol, VenueUnreachable
from portfoliod.intake import Intake
from portfoliod.journal import Journal
from portfoliod.model import ZERO, Decision, Key, MarketRules, Side
from portfoliod.planning import FLATTENED, Leg, plan
from portfoliod.reconciler.capital import why_doubted
from portfoliod.reconciler.connection import Connection, resolve
from portfoliod.risk import Circumstances, Refusal, check
from portfoliod.service import open_connections
from portfoliod.settings import Settings, limits, thresholds
from portfoliod.status import plain
from portfoliod.switches import HaltSwitch
from portfoliod.targets import Wanted, changed, decide, gross_notional, sizing_venues, stale_contributors, wanted
from portfoliod.venues import Positions
from portfoliod.workspace import Workspace


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
    journal = Journal(workspace.journal_file, read_only=True) if workspace.journal_file.exists() else None
    connections = open_connections(workspace, settings, live=False, read_only=True)
    intake = Intake(workspace, journal, settings.risk.max_position)
    try:
        intake.read_all()
        connecting = (connection.load_markets() for connection in connections.values())
        for outcome in await asyncio.gather(*connecting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return await _Rehearsal(workspace, settings, intake, journal, connections).preview()
    finally:
        await asyncio.gather(*(connection.venue.close() for connection in connections.values()))
        if journal is not None:
            await journal.close()


class _Rehearsal:
    """The reconciler's questions, asked of the same pure functions, with nothing done about the answers."""

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        intake: Intake,
        journal: Journal | None,
        connections: dict[str, Connection],
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._journal = journal
        self._connections = connections
        self._halt = HaltSwitch(workspace)
        self._orders: list[PlannedOrder] = []
        self._skipped: list[Skipped] = []
        self._turnover = ZERO

    async def preview(self) -> Preview:
        decisions, notes = await self._decisions()
        snapshots = {
            name: await connection.venue.positions(time.monotonic()) for name, connection in self._connections.items()
        }
        gross = gross_notional(decisions)
        for decision in decisions:
            if decision.key.venue not in self._connections:
                self._skip(decision.key, decision.quantity, "no such venue in portfoliod.toml")
                continue
            try:
                await self._rehearse(decision, snapshots[decision.key.venue], gross)
            except (UnknownSymbol, VenueUnreachable) as error:
                self._skip(decision.key, decision.quantity, f"{error.what}: {error.found}")
        self._orders.sort(key=lambda order: (not order.reduce_only, order.venue, order.symbol))
        notes += [f"{problem.where}: {problem.what}; {problem.kept}" for problem in self._intake.problems.values()]
        return Preview(1, self._orders, self._skipped, round(float(self._turnover), 6), notes)

    async def _decisions(self) -> tuple[list[Decision], list[str]]:
        portfolio = self._intake.portfolio
        in_force = {} if self._journal is None else self._journal.targets
        if portfolio is None:
            return [*in_force.values()], [
                "config/portfolio_config.json: there are no weights yet; run: portfoliod optimize"
            ]
        wants, refused = wanted(
            self._intake.states, portfolio, in_force, partial(resolve, self._connections), self._settings.default_venue
        )
        notes = [f"{refusal.strategy}: {refusal.error.what}: {refusal.error.found}" for refusal in refused]
        by_equity = self._settings.capital == "equity"
        account_value, missing = portfolio.account_value, "account_value is missing"
        if by_equity:
            venues = sizing_venues(portfolio, self._settings.default_venue, in_force) & self._connections.keys()
            account_value, missing = await self._equity(sorted(venues))
        if account_value is None:
            return [*in_force.values()], [*notes, f"nothing is sized anew: {missing}"]
        decisions = []
        for key, want in wants.items():
            last = in_force.get(key)
            if last is not None and not changed(want, last, account_value, sized_by_equity=by_equity):
                decisions.append(last)
            elif key.venue in self._connections:
                decisions.append(await self._decided_now(want, account_value))
        return decisions, notes

    async def _equity(self, venues: Sequence[str]) -> tuple[Decimal | None, str]:
        """Return what venues are worth together; None, and why, where that is not known or not believed."""
        total = ZERO
        for name in venues:
            equity = await self._connections[name].venue.equity()
            if equity is None:
                return None, f"the equity of {name} is not known"
            worth = None if self._journal is None else self._journal.worths.get(name)
            doubt = "" if worth is None else why_doubted(worth, equity)
            if doubt:
                return None, f"the equity of {name} {doubt}"
            total += equity
        return total, ""

    async def _decided_now(self, want: Wanted, account_value: Decimal) -> Decision:
        venue = self._connections[want.key.venue].venue
        price = await venue.price(want.key.symbol)
        decision, _ = decide(
            want,
            number=0,
            at=time.time(),
            account_value=account_value,
            price=price.value,
            rules=venue.rules(want.key.symbol),
        )
        return decision

    async def _rehearse(self, decision: Decision, snapshot: Positions, gross: Decimal) -> None:
        key = decision.key
        venue = self._connections[key.venue].venue
        rules = venue.rules(key.symbol)
        position = self._position(key, snapshot)
        price = (await venue.price(key.symbol)).value
        target = ZERO if self._halt.flattening() else decision.quantity
        planned = plan(target, position, price, rules, thresholds(self._settings))
        blocked = self._blocked(key, position, rules)
        if blocked and planned.difference != 0:
            self._skip(key, planned.difference, blocked)
            return
        if not planned.legs and planned.difference != 0:
            self._skip(key, planned.difference, planned.reason)
        if self._halt.flattening() and decision.quantity != 0:
            self._skip(key, decision.quantity - position, FLATTENED)
        for leg in planned.legs:
            now = Circumstances(
                position=position,
                price=price,
                account_value=decision.account_value,
                gross_notional=gross,
                orders_last_minute=0,
                halted=self._halt.reason(),
                stale=stale_contributors(
                    decision, self._intake.states, self._settings.risk.state_max_age_seconds, time.time()
                ),
            )
            checked = check(leg, rules, now, limits(self._settings))
            if isinstance(checked, Refusal):
                self._skip(key, leg.signed, checked.reason)
            else:
                self._order(key, leg, abs(rules.notional(leg.quantity, price)), decision.account_value)
            position += leg.signed

    def _position(self, key: Key, snapshot: Positions) -> Decimal:
        if self._settings.reconciler.position_source == "ledger":
            book = None if self._journal is None else self._journal.books.get(key)
            return ZERO if book is None else book.expected
        return snapshot.quantity(key.symbol)

    def _blocked(self, key: Key, position: Decimal, rules: MarketRules) -> str:
        if self._journal is None:
            return ""
        if key in self._journal.locks:
            return f"locked: {self._journal.locks[key].reason}"
        if self._journal.unresolved(key):
            return "an order is not resolved yet"
        book = self._journal.books.get(key)
        drifted = book is not None and abs(position - book.expected) >= rules.step
        if drifted and self._settings.reconciler.on_drift == "lock":
            return "the position drifted: our fills do not explain it"
        return ""

    def _skip(self, key: Key, difference: Decimal, reason: str) -> None:
        self._skipped.append(Skipped(key.venue, key.symbol, plain(difference), reason))

    def _order(self, key: Key, leg: Leg, notional: Decimal, account_value: Decimal) -> None:
        self._turnover += notional / account_value
        self._orders.append(
            PlannedOrder(
                key.venue, key.symbol, leg.side, plain(leg.quantity), f"{notional:.2f}", leg.reduce_only, leg.reason
            )
        )
