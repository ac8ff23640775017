"""Mistakes to make on purpose: the simulation has to find each, or it would find none.

Some were in the daemon until the simulation found them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from unittest import mock

import msgspec

from portfoliod.intake import Intake, Source
from portfoliod.journal import Document, Journal, Store
from portfoliod.model import ZERO, Fill, Intent, IntentStatus, Problem
from portfoliod.reconciler.market import Learned, Market
from portfoliod.reconciler.orders import Orders
from portfoliod.reconciler.positions import PositionClock
from portfoliod.step.facts import Facts, Resolution
from portfoliod.switches import HaltSwitch


def make(name: str) -> None:
    """Make a mistake in this process."""
    MISTAKES[name]()


def _put(kind: type, method: str, replacement: Callable[..., object]) -> None:
    mock.patch.object(kind, method, replacement).start()


def _absence_is_believed_at_once() -> None:
    async def resolve(orders: Orders, intent: Intent) -> Resolution:
        report = await orders._venue.find(intent)
        if report is not None:
            return Resolution(intent.client_id, await orders._record(intent, report, "order.resolved"), ZERO)
        await orders._conclude(intent, IntentStatus.CANCELLED, "not found")
        return Resolution(intent.client_id, IntentStatus.CANCELLED, ZERO)

    _put(Orders, "resolve", resolve)


def _unknown_is_failed() -> None:
    settle = Journal.settle

    async def settled(
        journal: Journal, intent: Intent, status: IntentStatus, outcome: str, fills: Iterable[Fill] = ()
    ) -> list[Fill]:
        certain = IntentStatus.CANCELLED if status is IntentStatus.UNKNOWN else status
        return await settle(journal, intent, certain, outcome, fills)

    _put(Journal, "settle", settled)


def _fills_of_the_stream_are_dropped() -> None:
    async def dropped(_journal: Journal, _fills: Iterable[Fill]) -> list[Fill]:
        return []

    _put(Journal, "record_fills", dropped)


def _lagging_positions_are_traded_on() -> None:
    gather = Market.gather

    def at_once(market: Market, learned: Learned, *, own: str = "") -> Facts:
        facts = gather(market, learned, own=own)
        return msgspec.structs.replace(
            facts, snapshot_lag=0.0, policy=msgspec.structs.replace(facts.policy, adopts_drift=True)
        )

    _put(Market, "gather", at_once)


def _missing_is_flat() -> None:
    missing = Intake.missing

    def flat(intake: Intake, source: Source) -> tuple[Problem, bool]:
        intake.states.pop(source.strategy, None)
        return missing(intake, source)

    _put(Intake, "missing", flat)


def _halts_are_overlooked() -> None:
    _put(HaltSwitch, "read", lambda _: None)


def _nothing_is_journaled_before_the_wire() -> None:
    async def intend(journal: Journal, _number: int, intent: Intent) -> None:
        journal.open_intents[intent.client_id] = intent

    _put(Journal, "intend", intend)


def _what_is_read_of_the_retired_is_kept() -> None:
    def put(store: Store, document: Document, at: float) -> None:
        store.connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", (document.name, document.content, document.hash, at)
        )

    _put(Store, "put_document", put)


def _a_position_that_moves_decides() -> None:
    _put(Orders, "_at_rest", lambda *_: True)


def _trades_that_are_not_told_yet_are_drift() -> None:
    _put(PositionClock, "wait_for_fills", lambda *_, **__: False)


MISTAKES = {
    "absence is believed at once": _absence_is_believed_at_once,
    "unknown is failed": _unknown_is_failed,
    "fills of the stream are dropped": _fills_of_the_stream_are_dropped,
    "lagging positions are traded on": _lagging_positions_are_traded_on,
    "missing is flat": _missing_is_flat,
    "halts are overlooked": _halts_are_overlooked,
    "nothing is journaled before the wire": _nothing_is_journaled_before_the_wire,
    "what is read of the retired is kept": _what_is_read_of_the_retired_is_kept,
    "a position that moves decides": _a_position_that_moves_decides,
    "trades that are not told yet are drift": _trades_that_are_not_told_yet_are_drift,
}
