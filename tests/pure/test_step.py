"""What a reconciliation does next: a row for every standing of a market and everything that can happen to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod.model import (
    ZERO,
    Book,
    Decision,
    Halt,
    Intent,
    IntentStatus,
    Key,
    Lock,
    MarketRules,
    Side,
)
from portfoliod.settings import Settings, policy_of
from portfoliod.step import (
    Availability,
    Exposure,
    Facts,
    Price,
    Reading,
    Recheck,
    Resolution,
    State,
    actions,
    decide_step,
)

KEY = Key("main", "BTC/USDT:USDT")
POLICY = policy_of(Settings())
ONE = Decimal(1)
RULES = MarketRules(step=Decimal("0.001"))
NOTHING = Exposure(ZERO, 0)


def decided(quantity: str, number: int = 7) -> Decision:
    amount = Decimal(quantity)
    return Decision(number, KEY, 0.0, ONE, Decimal(10_000), amount * 100, Decimal(100), amount, ())


def order(side: Side = Side.BUY, *, reduce_only: bool = False, client_id: str = "a") -> Intent:
    return Intent(client_id, KEY, side, ONE, reduce_only, 7, 0.0, "open", IntentStatus.UNKNOWN)


def facts(**known: Any) -> Facts:
    """Return a market that is where it is to be: 1 is wanted, 1 is held, and everything is known."""
    found: dict[str, Any] = {
        "policy": POLICY,
        "availability": Availability(State.UP),
        "halt": None,
        "rules": RULES,
        "book": Book(KEY, ZERO, ONE),
        "lock": None,
        "decision": decided("1"),
        "snapshot": Reading(ONE),
        "price": Price(Decimal(100)),
        "exposure": NOTHING,
    }
    return Facts(**found | known)


def told(action: actions.Action) -> str:
    """Return an action in a few words."""
    match action:
        case actions.Send():
            leg = action.leg
            return f"send {leg.side} {leg.quantity.normalize():f}{' reduce-only' if leg.reduce_only else ''}"
        case actions.Wait():
            retry = "" if action.retry is actions.Retry.ON_EVENT else f", again {action.retry}"
            return f"{action.standing}: {action.reason}{retry}"
        case actions.Done():
            return f"in_step: {action.reason}"
        case actions.TakeOver() | actions.Adopt():
            return f"{type(action).__name__} {action.quantity}"
        case actions.ReadPosition():
            return "ReadPosition confirm" if action.confirm else "ReadPosition"
        case _:
            return type(action).__name__


NEVER = Availability(State.NEVER_REACHED, "the venue was never reached")
PAUSE = Availability(State.PAUSED, "the venue asks for a pause of 9.0 s", 9.0)
STANDINGS: Mapping[str, Facts] = {
    "never looked at": facts(book=None, snapshot=None, price=None, exposure=None),
    "in step": facts(),
    "working": facts(book=Book(KEY, ZERO, ZERO), snapshot=Reading(ZERO)),
    "unknown": facts(pending=(order(),)),
    "locked": facts(lock=Lock(KEY, "drift", ONE, Decimal(3), 0.0), snapshot=Reading(Decimal(3), confirmed=True)),
    "refused": facts(book=Book(KEY, ZERO, ZERO), snapshot=Reading(ZERO), held_back=4.0, set_back="not filled"),
}
LOST = Price(None)
Event = Callable[[Facts], Facts]


def change(**known: Any) -> Event:
    return lambda before: msgspec.structs.replace(before, **known)


EVENTS: Mapping[str, Event] = {
    "nothing": change(),
    "another target": change(decision=decided("2", 8), held_back=0.0),
    "a smaller target": change(decision=decided("0.5", 8), held_back=0.0),
    "the target is flat": change(decision=decided("0", 8), held_back=0.0),
    "the target is on the other side": change(decision=decided("-1", 8), held_back=0.0),
    "halt": change(halt=Halt("enough")),
    "flatten": change(halt=Halt("enough", flatten=True)),
    "the position moved": change(moved=True),
    "a snapshot is due": change(snapshot=None),
    "a position that is not explained": change(snapshot=Reading(Decimal(5))),
    "the same again": change(snapshot=Reading(Decimal(5), confirmed=True)),
    "and no order explains it": change(snapshot=Reading(Decimal(5), confirmed=True), recheck=Recheck()),
    "an order had filled after all": change(snapshot=Reading(Decimal(5), confirmed=True), recheck=Recheck(filled=True)),
    "its fills are not told yet": change(snapshot=Reading(Decimal(5), confirmed=True), recheck=Recheck(waiting=True)),
    "our last fill is not shown yet": change(snapshot=Reading(Decimal(5)), since_fill=1.0, snapshot_lag=5.0),
    "the position is back": change(snapshot=Reading(ONE), book=Book(KEY, ZERO, ONE)),
    "the stream tells it": change(snapshot=None, streamed=ONE, book=Book(KEY, ZERO, ONE)),
    "the stream lags": change(snapshot=None, streamed=ZERO, book=Book(KEY, ZERO, ONE), since_fill=0.1),
    "unlocked": change(book=None, lock=None),
    "no price": change(price=LOST),
    "reductions are due elsewhere": change(others_reduce=True),
    "the order was asked for in vain": change(resolution=Resolution("a", IntentStatus.UNKNOWN, ZERO)),
    "nothing tells of the order": change(resolution=Resolution("a", IntentStatus.UNKNOWN, ZERO, "nothing shows it")),
    "the order filled": change(resolution=Resolution("a", IntentStatus.DONE, ONE), pending=()),
    "the order came to nothing": change(resolution=Resolution("a", IntentStatus.CANCELLED, ZERO), pending=()),
    "the venue wants a pause": change(
        availability=Availability(State.PAUSED, "the venue asks for a pause of 9.0 s", 9.0)
    ),
    "the venue is stopped": change(availability=Availability(State.STOPPED, "the venue is stopped: another mode")),
    "the venue was never reached": change(
        availability=Availability(State.NEVER_REACHED, "the venue was never reached")
    ),
    "only looked at": change(read_only=True),
    "the market is delisted": change(rules=None, gone=True),
    "its rules cannot be had": change(rules=None, no_rules="not known yet"),
    "the daemon stops": change(stopping=True),
}

UNTOLD = "unknown: an order that had ended filled after all; the venue does not tell its fills yet, again 0.5"
FOUND = "working: an order that had ended filled after all, again at once"
LAGS = "working: the venue's positions do not show our last fill yet, again re-read"
STREAM_LAGS = "working: the stream does not show our last fill yet, again 0.05"
MOVED = "working: the position moved while it was read, again at once"
UNFILLED = "refused: order a was not filled: cancelled, again hold back"
DRIFTED = "locked: the position is 3, our fills explain 1"
FLATTENED = "in_step: flattened: the target waits for portfoliod resume; in step"
NO_PRICE = "unknown: no price to size it by, again after failure"
HELD_BACK = "refused: not filled, again 4.0"
READ_ONLY = 'refused: read only: would buy 1 (open); set mode = "live" and start with: portfoliod run --live'
DELISTED = (
    "unknown: the market is not listed any more: portfoliod forget takes it out of the books, again after failure"
)
PAUSED = "unknown: the venue asks for a pause of 9.0 s, again after pause"
STOPPED = "refused: the venue is stopped: another mode"
NEVER_REACHED = "unknown: the venue was never reached"
HALTED = "refused: halted: enough"
IN_STEP = "in_step: in step"
NO_RULES = "unknown: not known yet, again after failure"

ROWS: Mapping[str, tuple[str, ...]] = {
    # never looked at | in step | working | unknown | locked | refused
    "nothing": ("ReadPosition", IN_STEP, "send buy 1", "Resolve", DRIFTED, HELD_BACK),
    "another target": ("ReadPosition", "send buy 1", "send buy 2", "Resolve", DRIFTED, "send buy 2"),
    "a smaller target": (
        "ReadPosition",
        "send sell 0.5 reduce-only",
        "send buy 0.5",
        "Resolve",
        DRIFTED,
        "send buy 0.5",
    ),
    "the target is flat": ("ReadPosition", "send sell 1 reduce-only", IN_STEP, "Resolve", DRIFTED, IN_STEP),
    "the target is on the other side": (
        "ReadPosition",
        "send sell 1 reduce-only",
        "send sell 1",
        "Resolve",
        DRIFTED,
        "send sell 1",
    ),
    "halt": ("ReadPosition", IN_STEP, HALTED, "Cancel", DRIFTED, HALTED),
    "flatten": ("ReadPosition", "send sell 1 reduce-only", FLATTENED, "Cancel", DRIFTED, FLATTENED),
    "the position moved": (MOVED, MOVED, MOVED, "Resolve", MOVED, MOVED),
    "a snapshot is due": ("ReadPosition", "ReadPosition", "ReadPosition", "Resolve", "ReadPosition", "ReadPosition"),
    "a position that is not explained": (
        "TakeOver 5",
        "ReadPosition confirm",
        "ReadPosition confirm",
        "Resolve",
        "ReadPosition confirm",
        "ReadPosition confirm",
    ),
    "the same again": (
        "TakeOver 5",
        "RecheckFinished",
        "RecheckFinished",
        "Resolve",
        "RecheckFinished",
        "RecheckFinished",
    ),
    "and no order explains it": ("TakeOver 5", "LockMarket", "LockMarket", "Resolve", "LockMarket", "LockMarket"),
    "an order had filled after all": ("TakeOver 5", FOUND, FOUND, "Resolve", FOUND, FOUND),
    "its fills are not told yet": ("TakeOver 5", UNTOLD, UNTOLD, "Resolve", UNTOLD, UNTOLD),
    "our last fill is not shown yet": ("TakeOver 5", LAGS, LAGS, "Resolve", "ReadPosition confirm", LAGS),
    "the position is back": ("ReadPrice", IN_STEP, IN_STEP, "Resolve", "Unlock", IN_STEP),
    "the stream tells it": ("ReadPrice", IN_STEP, IN_STEP, "Resolve", "ReadPosition", IN_STEP),
    "the stream lags": (STREAM_LAGS, STREAM_LAGS, STREAM_LAGS, "Resolve", "ReadPosition", STREAM_LAGS),
    "unlocked": ("ReadPosition", "TakeOver 1", "TakeOver 0", "Resolve", "TakeOver 3", "TakeOver 0"),
    "no price": ("ReadPosition", IN_STEP, NO_PRICE, "Resolve", DRIFTED, NO_PRICE),
    "reductions are due elsewhere": ("ReadPosition", IN_STEP, "AwaitReductions", "Resolve", DRIFTED, "AwaitReductions"),
    "the order was asked for in vain": (
        "ReadPosition",
        IN_STEP,
        "send buy 1",
        "unknown: order a is not resolved yet, again ask again",
        DRIFTED,
        HELD_BACK,
    ),
    "nothing tells of the order": ("ReadPosition", IN_STEP, "send buy 1", "LockMarket", DRIFTED, HELD_BACK),
    "the order filled": ("ReadPosition", IN_STEP, "send buy 1", IN_STEP, DRIFTED, HELD_BACK),
    "the order came to nothing": (UNFILLED, UNFILLED, UNFILLED, UNFILLED, UNFILLED, UNFILLED),
    "the venue wants a pause": (PAUSED, PAUSED, PAUSED, PAUSED, PAUSED, PAUSED),
    "the venue is stopped": (STOPPED, STOPPED, STOPPED, STOPPED, STOPPED, STOPPED),
    "the venue was never reached": (
        NEVER_REACHED,
        NEVER_REACHED,
        NEVER_REACHED,
        NEVER_REACHED,
        NEVER_REACHED,
        NEVER_REACHED,
    ),
    "only looked at": ("ReadPosition", IN_STEP, READ_ONLY, "Resolve", "locked: drift", READ_ONLY),
    "the market is delisted": (DELISTED, DELISTED, DELISTED, "Resolve", DELISTED, DELISTED),
    "its rules cannot be had": (NO_RULES, NO_RULES, NO_RULES, "Resolve", NO_RULES, NO_RULES),
    "the daemon stops": ("ReadPosition", IN_STEP, "working: the daemon stops", "Resolve", DRIFTED, HELD_BACK),
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("standing", STANDINGS)
def test_every_standing_meets_every_event(standing: str, event: str) -> None:
    expected = dict(zip(STANDINGS, ROWS[event], strict=True))
    assert told(decide_step(EVENTS[event](STANDINGS[standing]))) == expected[standing]


def test_a_delisted_market_in_which_nothing_is_wanted_nor_held_is_done() -> None:
    """Else it would be looked at for ever, and every command would wait for it."""
    gone = facts(rules=None, gone=True, book=Book(KEY, ZERO, ZERO), decision=decided("0"))
    assert told(decide_step(gone)) == "in_step: the market is not listed any more; nothing is held there"
    wanted = msgspec.structs.replace(gone, decision=decided("1"))
    assert isinstance(decide_step(wanted), actions.Wait)
    flattened = msgspec.structs.replace(wanted, halt=Halt("enough", flatten=True))
    assert isinstance(decide_step(flattened), actions.Done)


def test_what_is_left_of_a_split_order_is_no_adjustment_inside_the_band() -> None:
    left = facts(decision=decided("1.01"))
    assert told(decide_step(left)) == "in_step: inside the no-trade band: 1.00 % of the position"
    small = msgspec.structs.replace(POLICY.thresholds, min_order_notional=ZERO)
    policy = msgspec.structs.replace(POLICY, thresholds=small)
    assert told(decide_step(msgspec.structs.replace(left, in_parts=True, policy=policy))) == "send buy 0.01"


def test_by_the_ledger_no_position_is_read() -> None:
    ledger = msgspec.structs.replace(POLICY, ledger=True)
    unread = facts(policy=ledger, snapshot=None)
    assert told(decide_step(unread)) == IN_STEP
    assert told(decide_step(msgspec.structs.replace(unread, book=None))) == "TakeOver 0"


def test_a_drift_that_is_adopted_is_traded_from() -> None:
    adopting = msgspec.structs.replace(POLICY, adopts_drift=True)
    drifted = facts(policy=adopting, snapshot=Reading(Decimal(5), confirmed=True), recheck=Recheck())
    assert told(decide_step(drifted)) == "Adopt 5"
    adopted = msgspec.structs.replace(drifted, book=Book(KEY, ZERO, Decimal(5)))
    assert told(decide_step(adopted)) == "send sell 4 reduce-only"


quantities = st.integers(-3, 3).map(Decimal)
orders = st.builds(order, st.sampled_from(Side), reduce_only=st.booleans(), client_id=st.sampled_from("ab"))
halts = st.none() | st.builds(Halt, st.just("enough"), flatten=st.booleans())
anything = st.builds(
    Facts,
    policy=st.builds(
        lambda ledger, adopts: msgspec.structs.replace(POLICY, ledger=ledger, adopts_drift=adopts),
        st.booleans(),
        st.booleans(),
    ),
    availability=st.sampled_from(State).map(Availability),
    read_only=st.booleans(),
    halt=halts,
    rules=st.sampled_from([RULES, None]),
    book=st.none() | quantities.map(lambda expected: Book(KEY, ZERO, expected)),
    lock=st.none() | quantities.map(lambda actual: Lock(KEY, "drift", ZERO, actual, 0.0)),
    decision=st.none() | quantities.map(lambda quantity: decided(str(quantity))),
    pending=st.lists(orders, max_size=2, unique_by=lambda intent: intent.client_id).map(tuple),
    stopping=st.booleans(),
    moved=st.booleans(),
    streamed=st.none() | quantities,
    snapshot=st.none() | st.builds(Reading, quantities, st.booleans()),
    since_fill=st.sampled_from([0.1, 10.0]),
    snapshot_lag=st.sampled_from([0.0, 5.0]),
    fills_missing=st.booleans(),
    price=st.none() | st.sampled_from([LOST, Price(Decimal(100))]),
    exposure=st.none() | st.builds(Exposure, st.sampled_from([ZERO, Decimal(10**6)]), st.sampled_from([0, 60])),
    others_reduce=st.booleans(),
    held_back=st.sampled_from([0.0, 3.0]),
)


@given(anything)
def test_an_order_goes_out_only_where_nothing_is_in_doubt(known: Facts) -> None:
    action = decide_step(known)
    if not isinstance(action, actions.Send):
        return
    assert known.availability.usable
    assert not known.read_only
    assert not known.pending
    assert not known.stopping
    assert known.lock is None or known.policy.ledger
    assert known.book is not None
    assert action.position == known.book.expected
    assert action.leg.reduce_only or (known.halt is None and not known.others_reduce and known.exposure is not None)


@given(anything)
def test_what_only_adds_is_not_asked_before_a_reduction(known: Facts) -> None:
    """A halt, a limit, reductions elsewhere: none of them changes what is done about a reduction."""
    action = decide_step(known)
    if isinstance(action, actions.Send) and action.leg.reduce_only:
        flatten = None if known.halt is None else known.halt.flatten
        hindered = msgspec.structs.replace(
            known,
            halt=Halt("enough", flatten=bool(flatten)),
            exposure=Exposure(Decimal(10**9), 10**6),
            others_reduce=True,
        )
        assert decide_step(hindered) == action


@given(anything, st.lists(quantities, min_size=3, max_size=3), st.booleans())
def test_every_question_is_answered_once_and_then_it_ends(
    known: Facts, told_positions: list[Decimal], resolved: bool
) -> None:
    """Whatever the answers are: no look goes on for ever."""
    positions = iter(told_positions)
    asked = []
    while not isinstance(
        action := decide_step(known), (actions.Send, actions.Wait, actions.Done, actions.AwaitReductions)
    ):
        asked.append(told(action))
        known = answered(known, action, positions, resolved=resolved)
        assert len(asked) < 15, asked


def answered(  # noqa: PLR0911 - an answer a question
    known: Facts, action: actions.Action, positions: Iterator[Decimal], *, resolved: bool
) -> Facts:
    """Return the facts after an action was carried out."""
    match action:
        case actions.Cancel():
            return msgspec.structs.replace(known, cancelled=known.cancelled | {action.intent.client_id})
        case actions.Resolve():
            status = IntentStatus.DONE if resolved else IntentStatus.UNKNOWN
            found = Resolution(action.intent.client_id, status, ONE if resolved else ZERO, "" if resolved else "doubt")
            left = known.pending[1:] if resolved else known.pending
            return msgspec.structs.replace(known, resolution=found, pending=left)
        case actions.ReadPosition():
            return msgspec.structs.replace(known, snapshot=Reading(next(positions), confirmed=action.confirm))
        case actions.ReadPrice():
            return msgspec.structs.replace(known, price=LOST)
        case actions.MeasureExposure():
            return msgspec.structs.replace(known, exposure=NOTHING)
        case actions.RecheckFinished():
            return msgspec.structs.replace(known, recheck=Recheck())
        case actions.TakeOver() | actions.Adopt():
            return msgspec.structs.replace(known, book=Book(KEY, ZERO, action.quantity))
        case actions.LockMarket():
            return msgspec.structs.replace(known, lock=Lock(KEY, action.reason, ZERO, action.actual, 0.0))
        case _:
            return msgspec.structs.replace(known, lock=None)
