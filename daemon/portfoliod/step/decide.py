"""From facts to the next action. The questions are in the order of precaution: what is not known comes first."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from portfoliod.model import ZERO, Decision, MarketRules, Standing
from portfoliod.planning import FLATTENED, Leg, Plan, plan
from portfoliod.risk import Circumstances, Refusal, check
from portfoliod.step.actions import (
    Action,
    Adopt,
    AwaitReductions,
    Cancel,
    Done,
    LockMarket,
    MeasureExposure,
    ReadPosition,
    ReadPrice,
    RecheckFinished,
    Resolve,
    Retry,
    Send,
    TakeOver,
    Unlock,
    Wait,
)
from portfoliod.step.availability import Availability, State
from portfoliod.step.facts import Exposure, Facts, Reading

STREAM_SECONDS = 0.3
"""How long after a fill its position may still be on its way in the stream, so that it need not be asked for."""
FIRST_RE_READ, LONGEST_RE_READ = 0.05, 0.5
"""Seconds between two reads while the venue's positions may lag behind our fills."""
AFTER_REFUSED_BY_RATE = 5.0
GO_LIVE = 'set mode = "live" and start with: portfoliod run --live'
"""What a person does about a venue that is only looked at."""


def decide_step(facts: Facts) -> Action:
    """Return what to do next about a market."""
    action = _blocked(facts.availability) or _unsettled(facts)
    if action is not None:
        return action
    if facts.rules is None:
        return _unlisted(facts) if facts.gone else Wait(Standing.UNKNOWN, facts.no_rules, Retry.AFTER_FAILURE)
    position = _position(facts, facts.rules)
    return _trade(facts, facts.rules, position) if isinstance(position, Decimal) else position


def _blocked(venue: Availability) -> Wait | None:
    if venue.usable:
        return None
    standing = Standing.REFUSED if venue.state is State.STOPPED else Standing.UNKNOWN
    return Wait(standing, venue.reason, Retry.AFTER_PAUSE if venue.seconds else Retry.ON_EVENT)


def _unsettled(facts: Facts) -> Action | None:
    """Return what is to be done about orders whose outcome is not final; None where there is none."""
    found = facts.resolution
    if found is not None and found.status.terminal and found.filled == 0:
        reason = f"order {found.client_id} was not filled: {found.status}"
        return Wait(Standing.REFUSED, reason, Retry.HOLD_BACK)
    if not facts.pending:
        return None
    intent = facts.pending[0]
    if found is None or found.client_id != intent.client_id:
        adds = not intent.reduce_only and not facts.read_only
        if facts.halt is not None and adds and intent.client_id not in facts.cancelled:
            return Cancel(intent)
        return Resolve(intent)
    if not found.doubt:
        return Wait(Standing.UNKNOWN, f"order {intent.client_id} is not resolved yet", Retry.ASK_AGAIN)
    if facts.lock is None:
        return LockMarket(found.doubt, facts.expected, drifted=False)
    return Wait(Standing.LOCKED, facts.lock.reason, Retry.ASK_AGAIN)


def _unlisted(facts: Facts) -> Action:
    target = ZERO if facts.decision is None or facts.flattening else facts.decision.quantity
    if target == 0 and facts.expected == 0:
        return Done("the market is not listed any more; nothing is held there", ZERO)
    reason = "the market is not listed any more: portfoliod forget takes it out of the books"
    return Wait(Standing.UNKNOWN, reason, Retry.AFTER_FAILURE, difference=target - facts.expected)


def _position(facts: Facts, rules: MarketRules) -> Decimal | Action:
    """Return the position to trade from, or what has to be done to know it."""
    read, book, lock = facts.snapshot, facts.book, facts.lock
    if facts.moved:
        return Wait(Standing.WORKING, "the position moved while it was read", Retry.AT_ONCE)
    if facts.read_only:
        if not facts.policy.ledger and read is None:
            return ReadPosition()
        position = facts.expected if read is None else read.quantity
        return position if lock is None else Wait(Standing.LOCKED, lock.reason, position=position)
    if facts.policy.ledger:
        return TakeOver(ZERO) if book is None else book.expected
    if book is None:
        return ReadPosition() if read is None else TakeOver(read.quantity)
    if facts.streamed is not None and lock is None and read is None:
        if abs(facts.streamed - book.expected) < rules.step:
            return facts.streamed
        if facts.since_fill < STREAM_SECONDS:
            return Wait(Standing.WORKING, "the stream does not show our last fill yet", FIRST_RE_READ)
    if read is None:
        return ReadPosition()
    if abs(read.quantity - book.expected) < rules.step:
        return read.quantity if lock is None else Unlock()
    if lock is None and facts.since_fill < facts.snapshot_lag:
        # To trade now would correct our last fill a second time.
        reason = "the venue's positions do not show our last fill yet"
        return Wait(Standing.WORKING, reason, Retry.RE_READ, read.quantity)
    return _unexplained(facts, read, book.expected) if read.confirmed else ReadPosition(confirm=True)


def _unexplained(facts: Facts, read: Reading, expected: Decimal) -> Action:
    """Return what to do about a position that was read twice, and that our fills do not explain."""
    lock, actual = facts.lock, read.quantity
    if facts.recheck is None and (lock is None or lock.actual != actual or facts.fills_missing):
        return RecheckFinished()
    if facts.recheck is not None and facts.recheck.filled:
        reason = "an order that had ended filled after all"
        return Wait(Standing.WORKING, reason, Retry.AT_ONCE, actual)
    if facts.recheck is not None and facts.recheck.waiting:
        reason = "an order that had ended filled after all; the venue does not tell its fills yet"
        return Wait(Standing.UNKNOWN, reason, LONGEST_RE_READ, actual)
    if facts.policy.adopts_drift:
        return Adopt(actual)
    reason = f"the position is {actual:f}, our fills explain {expected:f}"
    if lock is None or lock.actual != actual:
        return LockMarket(reason, actual, drifted=True)
    return Wait(Standing.LOCKED, reason, position=actual, difference=expected - actual)


def _trade(facts: Facts, rules: MarketRules, position: Decimal) -> Action:
    """Return what to do about the difference between target and position."""
    decision = facts.decision
    if decision is None:
        return Done("no target", position)
    if facts.price is None:
        return ReadPrice()
    price, small = facts.price.value, facts.policy.thresholds
    if facts.in_parts:
        # What is left of a split order may be small: it is no adjustment of its own.
        small = msgspec.structs.replace(small, no_trade_band=ZERO)
    planned = plan(ZERO if facts.flattening else decision.quantity, position, price, rules, small)
    if not planned.legs:
        return _nothing_to_send(facts, decision, planned, position)
    leg, difference = planned.legs[0], planned.difference
    if facts.read_only:
        would = ", then ".join(f"{one.side} {one.quantity.normalize():f} ({one.reason})" for one in planned.legs)
        refusal = Refusal("mode", facts.policy.mode, f"read only: would {would}; {GO_LIVE}")
        return _refused(refusal, position, difference, planned.legs)
    if facts.exposure is None and not leg.reduce_only:
        return MeasureExposure()
    checked = _checked(facts, leg, rules, decision, position)
    if isinstance(checked, Refusal):
        return _refused(checked, position, difference, planned.legs)
    if not leg.reduce_only and facts.others_reduce:
        return AwaitReductions()
    if facts.held_back > 0:
        return Wait(Standing.REFUSED, facts.set_back, facts.held_back, position, difference)
    if facts.stopping:
        return Wait(Standing.WORKING, "the daemon stops", position=position, difference=difference)
    return Send(checked, decision.number, checked.quantity < leg.quantity, position)


def _nothing_to_send(facts: Facts, decision: Decision, planned: Plan, position: Decimal) -> Action:
    if facts.price is not None and facts.price.value is None and planned.difference != 0:
        return Wait(Standing.UNKNOWN, planned.reason, Retry.AFTER_FAILURE, position, planned.difference)
    waits = decision.quantity != 0 and facts.flattening
    reason = f"{FLATTENED}; {planned.reason}" if waits else planned.reason
    return Done(reason, position, planned.difference, waits)


def _refused(refusal: Refusal, position: Decimal, difference: Decimal, legs: tuple[Leg, ...]) -> Wait:
    retry = AFTER_REFUSED_BY_RATE if refusal.limit == "max_orders_per_minute" else Retry.ON_EVENT
    return Wait(Standing.REFUSED, refusal.reason, retry, position, difference, refusal, legs)


def _checked(facts: Facts, leg: Leg, rules: MarketRules, decision: Decision, position: Decimal) -> Leg | Refusal:
    """Return the order that may be sent, perhaps a first part of it, or what refuses it."""
    exposure = facts.exposure or Exposure(ZERO, 0)  # reductions are measured against nothing
    price = None if facts.price is None else facts.price.value
    now = Circumstances(
        position=position,
        price=price or decision.price,
        account_value=decision.account_value,
        gross_notional=exposure.gross_notional,
        orders_last_minute=exposure.orders_last_minute,
        halted="" if facts.halt is None else facts.halt.reason,
        stale=exposure.stale,
    )
    return check(leg, rules, now, facts.policy.limits)
