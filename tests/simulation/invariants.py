"""What must hold at every step, and what must hold once the daemon was left in peace for a while."""

from __future__ import annotations

import collections
import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import structlog

from portfoliod.model import ZERO, Fill, Intent, Key
from portfoliod.planning import nearest_step
from portfoliod.reconciler.desk import Desk
from tests.simulation.clock import EPOCH
from tests.simulation.exchange import RULES, Exchange
from tests.simulation.venue import GRACE, LAG

if TYPE_CHECKING:
    from tests.simulation.run import Run

UNNOTICED = 60.0 + 30.0 + GRACE + LAG
"""Seconds within which a daemon has noticed what moved without it: a resync, and what that takes."""
UNRESOLVED = 900.0
"""Seconds for which an order may be unknown: an outage, a restart and the grace time."""
BUGS = {"look.failed", "venue.failed", "watch.failed"}
"""Events that only a mistake in the daemon, or in this simulation, brings about."""
MIN_NOTIONAL = Decimal(10)

REPEATED = """
    SELECT later.number FROM decisions later JOIN decisions earlier ON earlier.number = (
        SELECT max(number) FROM decisions
        WHERE number < later.number AND venue = later.venue AND symbol = later.symbol
    ) WHERE earlier.notional = later.notional AND earlier.contributions = later.contributions
"""


class Violation(Exception):
    """An invariant does not hold."""


class Invariants:
    """Looks at the exchanges' truth and at the daemon's journal."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._refused: set[str] = set()

    def check_sent(self, intent: Intent) -> None:
        """See that an order may be sent, at the moment when it is."""
        life = self.run.life
        assert life is not None
        assert life.desk is not None
        desk, exchange = life.desk, self.run.exchanges[intent.key.venue]
        if intent.client_id in exchange.orders or intent.client_id in exchange.on_their_way:
            self._violated(f"{intent.client_id} was sent twice")
        if intent.client_id not in desk.journal.open_intents:
            self._violated(f"{intent.client_id} was sent and is not in the journal")
        if not intent.reduce_only:
            self._check_addition(intent, desk, exchange)

    def _check_addition(self, intent: Intent, desk: Desk, exchange: Exchange) -> None:
        key, symbol = intent.key, intent.key.symbol
        if self.run.workspace.halt_file.exists() or desk.halt.now() is not None:
            self._violated(f"{intent.client_id} adds exposure, but the daemon is halted")
        journaled = [other.client_id for other in desk.journal.unresolved(key) if other.client_id != intent.client_id]
        underway = [name for name, other in exchange.on_their_way.items() if other.key == key]
        live = [name for name, order in exchange.orders.items() if order.live and order.intent.key == key]
        if journaled or underway or live:
            self._violated(
                f"{intent.client_id} was sent before another order was resolved: "
                f"in the journal {journaled}, on its way {underway}, at the exchange {live}"
            )
        held = exchange.positions[symbol]
        target = ZERO if _flattening(desk) else desk.journal.targets[key].quantity
        since = self.run.clock.now - UNNOTICED
        unnoticed = sum((size for at, size in exchange.surprises[symbol] if at >= since), ZERO)
        most = max(abs(held), abs(target)) + RULES[symbol].step + unnoticed
        if abs(held + intent.signed) > most:
            self._violated(f"{intent.client_id} brings {key} from {held} to {held + intent.signed}, target {target}")

    def hear(self, event: structlog.typing.EventDict) -> None:
        """Take in what the daemon logs."""
        self.run.counts[f"event {event['event']}"] += 1
        if event["event"] in BUGS:
            self._violated(f"{event['event']}: {event.get('exc_info') or event}")
        if event["event"] == "order.refused":
            self._refused.add(event["client_id"])

    def check_in_peace(self) -> None:
        """See that everything came right."""
        if self.run.life is None or self.run.life.desk is None:
            raise Violation("no daemon runs after a time of peace")
        desk = self.run.life.desk
        wrong = self._unresolved(desk)
        for name, exchange in self.run.exchanges.items():
            wrong += self._fills_that_differ(name, exchange)
            wrong += [f"order {client_id} arrived twice" for client_id in exchange.twice]
        wrong += self._unlogged() + self._wrong_targets(desk) + self._away_from_target(desk)
        wrong += [f"decision {number} repeats the one before it" for (number,) in self._rows(REPEATED)]
        self.run.files.settled()
        self.run.counts["hours"] += 1
        if wrong:
            raise Violation("\n".join(wrong))

    def _unresolved(self, desk: Desk) -> list[str]:
        return [f"{intent.client_id} is still {intent.status}" for intent in desk.journal.open_intents.values()]

    def _fills_that_differ(self, venue: str, exchange: Exchange) -> list[str]:
        """Return the orders of which the journal counts other fills than the exchange."""
        ours = [fill for fill in exchange.fills if fill.client_id in exchange.orders]
        true = _by_order(ours)
        journaled: collections.Counter[str] = collections.Counter()
        for client_id, quantity in self._rows("SELECT client_id, quantity FROM fills WHERE venue = ?", venue):
            journaled[client_id] += Decimal(quantity)  # type: ignore[assignment]
        return [
            f"order {client_id} on {venue}: filled {true[client_id]}, in the journal {journaled[client_id]}"
            for client_id in true.keys() | journaled.keys()
            if true[client_id] != journaled[client_id] and not self._beyond_proof(exchange, client_id)
        ]

    def _beyond_proof(self, exchange: Exchange, client_id: str) -> bool:
        """Return whether nothing could tell what an order filled: no look-up, and the position moved without it too."""
        if exchange.finds_orders:
            return False
        surprises = [
            began - UNNOTICED <= EPOCH + at <= began + UNRESOLVED
            for began, symbol in self._rows("SELECT at, symbol FROM intents WHERE client_id = ?", client_id)
            for at, _ in exchange.surprises[str(symbol)]
        ]
        return any(surprises)

    def _unlogged(self) -> list[str]:
        refused = {client_id for (client_id,) in self._rows("SELECT client_id FROM intents WHERE status = 'refused'")}
        # A kill may come between the journal and the log.
        unlogged = refused - self._refused
        return [f"the refusal of {name} is not logged" for name in unlogged] if not self.run.counts["kills"] else []

    def _wrong_targets(self, desk: Desk) -> list[str]:
        wrong = []
        for key, exposures in self.run.files.exposures().items():
            decision = desk.journal.targets.get(key)
            exposure = ZERO if decision is None else decision.exposure
            if exposure not in exposures:
                wrong.append(f"target {key}: decided {exposure}, wanted {exposures}")
        return wrong

    def _away_from_target(self, desk: Desk) -> list[str]:
        """Return the keys that are neither where they are to be nor halted or locked with a reason."""
        wrong = []
        for key, decision in desk.journal.targets.items():
            exchange = self.run.exchanges[key.venue]
            held = exchange.positions[key.symbol]
            lock = desk.journal.locks.get(key)
            if lock is not None:
                wrong.append(f"{key} is locked again after all was unlocked: {lock.reason}")
                continue
            step = RULES[key.symbol].step
            target = ZERO if _flattening(desk) else nearest_step(decision.quantity, step)
            if desk.halt.now() is not None and not _flattening(desk):
                continue
            if not self._in_step(key, held, target, desk):
                reason = self._said_of(key, desk)
                wrong.append(f"{key}: held {held}, target {target} ({reason})")
        return wrong

    def _in_step(self, key: Key, held: Decimal, target: Decimal, desk: Desk) -> bool:
        apart = abs(target - held)
        small = apart * self.run.exchanges[key.venue].price(key.symbol) < MIN_NOTIONAL
        band = Decimal(str(desk.policy.thresholds.no_trade_band))
        return apart < RULES[key.symbol].step or small or (held * target > 0 and apart < band * abs(held))

    def _said_of(self, key: Key, desk: Desk) -> str:
        return (
            f"problems {[problem.what for problem in desk.connections[key.venue].problems]}, halted {desk.halt.now()}"
        )

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.run.workspace.journal_file)
        try:
            return list(connection.execute(query, values))
        finally:
            connection.close()

    def _violated(self, what: str) -> None:
        """Stop the run; from within the daemon's own tasks nothing can be raised that it would not catch."""

        def stop() -> None:
            raise Violation(what)

        self.run.note(f"VIOLATION {what}")
        self.run.clock.after(0, stop)


def _by_order(fills: list[Fill]) -> collections.Counter[str]:
    sums: collections.Counter[str] = collections.Counter()
    for fill in fills:
        sums[fill.client_id] += fill.quantity  # type: ignore[assignment]
    return sums


def _flattening(desk: Desk) -> bool:
    halt = desk.halt.now()
    return halt is not None and halt.flatten
