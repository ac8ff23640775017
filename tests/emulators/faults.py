"""What can go wrong with an exchange: rules that say which request or stream message is hit, and by what.

Examples:
    exchange.faults.add("place", Hang(processed=True))              the next order is accepted, its answer is lost
    exchange.faults.add("positions", HidePositions(), times=3)      the next three answers hold no rows
    exchange.faults.add("*", too_many_requests(30), seconds=2.0)    every request for two seconds
    exchange.faults.add_stream(Lose(), name="ORDER_TRADE_UPDATE")   the next such message never comes
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Literal, TypeAlias

import msgspec

from tests.emulators.account_records import OrderStatus, Position


class Delay(msgspec.Struct, frozen=True):
    """Wait before the request is processed, and before it is answered; of a message: before it is sent."""

    before: float = 0.0
    after: float = 0.0


class Hang(msgspec.Struct, frozen=True, kw_only=True):
    """Never answer; `processed` says whether the request took effect."""

    processed: bool


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """Reset the connection instead of answering; `processed` says whether the request took effect."""

    processed: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Answer with this instead, whatever it is; `processed` says whether the request took effect."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"
    processed: bool = False


class Truncate(msgspec.Struct, frozen=True):
    """Process the request, announce the whole answer, send half of it and cut the connection."""


class BusinessError(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's own error, in the venue's own form."""

    code: int
    message: str = "Injected."
    status: int | None = None
    """HTTP; None leaves it to the venue."""
    processed: bool = False


class Late(msgspec.Struct, frozen=True, kw_only=True):
    """Give the answer at once, process the request `seconds` later."""

    seconds: float
    answer: Answer | BusinessError | Reset | Hang = Reset(processed=False)


class Fills(msgspec.Struct, frozen=True, kw_only=True):
    """How a marketable order fills: `share` of it in `parts` after a wait, and what becomes of the rest."""

    after: float = 0.0
    """Seconds from the acknowledgement, which then shows the order as new, to the first part."""
    parts: int = 1
    between: float = 0.0
    share: Decimal = Decimal(1)
    then: OrderStatus = "expired"
    """Of what is not filled; `new` leaves it open."""


class Lag(msgspec.Struct, frozen=True):
    """Answer with the state of `seconds` ago."""

    seconds: float


class HidePositions(msgspec.Struct, frozen=True):
    """Leave rows out of the answer: those of some markets, or all."""

    markets: frozenset[str] | None = None


class ShowPosition(msgspec.Struct, frozen=True):
    """Answer with this row, in place of the true one of its leg or beside it: a phantom or a stale row."""

    position: Position


class WalletLooks(msgspec.Struct, frozen=True):
    """Answer with this balance: zero, NaN or a jump."""

    currency: str
    amount: Decimal


class OrderLooks(msgspec.Struct, frozen=True):
    """Answer an order request with another state than the true one."""

    status: OrderStatus
    filled: Decimal = Decimal(0)


class OrderMissing(msgspec.Struct, frozen=True):
    """Answer that the order does not exist, though it does."""


class Lose(msgspec.Struct, frozen=True):
    """Never send the message."""


class Twice(msgspec.Struct, frozen=True):
    """Send the message twice."""


class Swap(msgspec.Struct, frozen=True):
    """Send the message after the one that follows it on the same socket."""


Wire: TypeAlias = Hang | Reset | Answer | Truncate | BusinessError | Late
"""Replaces the answer; of several on one request the first counts."""
Sight: TypeAlias = Lag | HidePositions | ShowPosition | WalletLooks | OrderLooks | OrderMissing
"""Changes what the answer shows; several may be on one request."""
Action: TypeAlias = Wire | Sight | Delay | Fills
StreamAction: TypeAlias = Lose | Twice | Swap | Delay


class Request(msgspec.Struct, kw_only=True):
    """A request as it came in, parsed."""

    kind: str
    method: str
    path: str
    params: dict[str, str]
    """Query and form fields, or the fields of a JSON object as text."""
    query: str
    body: str
    headers: Mapping[str, str]
    """Names in lower case."""
    at: float
    """time.monotonic() when it arrived."""
    actions: list[Action] = []
    status: int | None = None
    """Of the answer, once it is given; 0 if the connection was cut or hangs."""


class Rule:
    """One fault; `hits` counts how often it struck."""

    def __init__(
        self, kind: str, skip: int, times: int | None, seconds: float | None, where: Callable[[Request], bool] | None
    ) -> None:
        self.kind = kind
        self.hits = 0
        self._skip = skip
        self._times = times
        self._until = None if seconds is None else time.monotonic() + seconds
        self._where = where

    def strikes(self, kind: str, request: Request | None = None) -> bool:
        """Return whether the rule applies, and count it."""
        if self.kind not in ("*", kind) or (self._until is not None and time.monotonic() > self._until):
            return False
        if self._where is not None and (request is None or not self._where(request)):
            return False
        if self._skip:
            self._skip -= 1
            return False
        if self._times is not None and self.hits >= self._times:
            return False
        self.hits += 1
        return True


class Faults:
    """The rules in force. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[tuple[Rule, Action]] = []
        self._stream_rules: list[tuple[Rule, str, StreamAction]] = []

    def add(
        self,
        kind: str,
        action: Action,
        *,
        skip: int = 0,
        times: int | None = None,
        seconds: float | None = None,
        where: Callable[[Request], bool] | None = None,
    ) -> Rule:
        """Hit requests of a kind (`*`: all): `times` after `skip`, or all within `seconds`; else the next one."""
        rule = Rule(kind, skip, 1 if times is None and seconds is None else times, seconds, where)
        with self._lock:
            self._rules.append((rule, action))
        return rule

    def add_lasting(self, kind: str, action: Action, *, where: Callable[[Request], bool] | None = None) -> Rule:
        """Hit every request of a kind until `remove` or `clear`."""
        rule = Rule(kind, 0, None, None, where)
        with self._lock:
            self._rules.append((rule, action))
        return rule

    def add_stream(
        self,
        action: StreamAction,
        *,
        socket: str = "*",
        name: str = "*",
        skip: int = 0,
        times: int | None = 1,
        seconds: float | None = None,
    ) -> Rule:
        """Hit messages to sockets of a kind, by the venue's name for the message; `times=None` is all of them."""
        rule = Rule(name, skip, times, seconds, None)
        with self._lock:
            self._stream_rules.append((rule, socket, action))
        return rule

    def remove(self, rule: Rule) -> None:
        """Take one rule away."""
        with self._lock:
            self._rules = [pair for pair in self._rules if pair[0] is not rule]
            self._stream_rules = [row for row in self._stream_rules if row[0] is not rule]

    def clear(self) -> None:
        """Take all rules away."""
        with self._lock:
            self._rules.clear()
            self._stream_rules.clear()

    def strike(self, request: Request) -> list[Action]:
        """Return what happens to a request."""
        with self._lock:
            return [action for rule, action in self._rules if rule.strikes(request.kind, request)]

    def strike_message(self, socket: str, name: str) -> list[StreamAction]:
        """Return what happens to a message."""
        with self._lock:
            rules = [(rule, action) for rule, kind, action in self._stream_rules if kind in ("*", socket)]
            return [action for rule, action in rules if rule.strikes(name)]


def garbled(*, processed: bool = True) -> Answer:
    """Return a 200 that is not JSON."""
    return Answer(body='{"orderId": 12, "sta\x00\x00', processed=processed)


def empty(*, processed: bool = True) -> Answer:
    """Return a 200 without a body."""
    return Answer(processed=processed)


def html(status: Literal[200, 502, 503, 504] = 502, *, processed: bool = False) -> Answer:
    """Return the page of a load balancer."""
    body = f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>"
    return Answer(status=status, body=body, content_type="text/html", processed=processed)


def too_many_requests(retry_after: int = 1, *, banned: bool = False) -> Answer:
    """Return a 429 (or 418) that says when to come back, in seconds."""
    status = 418 if banned else 429
    body = '{"code":-1003,"msg":"Too many requests."}'
    return Answer(status=status, body=body, headers={"Retry-After": str(retry_after)})
