"""The Venue protocol: an account on an exchange, as the reconciler needs it.

Quantities are signed or positive Decimals in the base currency (inverse markets: contracts); symbols are unified
(`BTC/USDT:USDT`). Times of evidence (`at` of a snapshot or a price) are on the clock of `time.monotonic`, times of the
world (of a fill) in epoch seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from decimal import Decimal
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from portfoliod.errors import MarketGone, OrderRefused
from portfoliod.model import ZERO, Fill, Intent, IntentStatus, MarketRules, Problem

PositionMode = Literal["one_way", "hedge"]


class Price(msgspec.Struct, frozen=True):
    """What a market trades at, and when that was known."""

    value: Decimal
    at: float


class Positions(msgspec.Struct, frozen=True):
    """Every position of the account at one moment; a symbol that is not in it is flat."""

    at: float
    """A moment at or before which the venue made this snapshot: what happened later may be missing from it."""
    quantities: Mapping[str, Decimal]
    unlisted: Set[str] = frozenset()
    """Markets that are gone, and in which the account holds something all the same: nobody knows how much."""

    def quantity(self, symbol: str) -> Decimal:
        """Return what is held in a market, 0 where that is flat.

        Raises:
            MarketGone: something is, but the market that would say how much is not listed any more.
        """
        if symbol in self.unlisted:
            raise MarketGone("a position's market is not listed any more", where=symbol, found="it is still held")
        return self.quantities.get(symbol, ZERO)


class OrderReport(msgspec.Struct, frozen=True):
    """What the venue says of an order: how far it has come, and its fills as far as they are known."""

    client_id: str
    status: IntentStatus
    filled: Decimal
    fills: Sequence[Fill] = ()
    summed: bool = False
    """Whether the venue lists no trades: `fills` is then one that stands for all of `filled`, at the average price."""
    guessed: bool = False
    """Whether that price is the driver's own, because the venue tells none: it says nothing of what was paid before."""


class Filled(msgspec.Struct, frozen=True):
    """An execution on the account, of whoever sent the order, that no reply of `place` or `find` told."""

    fill: Fill


class PositionMoved(msgspec.Struct, frozen=True):
    """Something changed in a market: look at it."""

    symbol: str


class Reconnected(msgspec.Struct, frozen=True):
    """The stream was away; what happened meanwhile never appears on it: look at everything."""


class Liquidated(msgspec.Struct, frozen=True):
    """The venue closed or cut a position by itself."""

    symbol: str
    what: str
    """liquidation | auto-deleveraging, and what the venue said of it."""


VenueEvent = Filled | PositionMoved | Reconnected | Liquidated


class Inspection(msgspec.Struct, frozen=True):
    """What `check --online` has to say of an account."""

    fine: Sequence[str] = ()
    problems: Sequence[Problem] = ()


class VenueContext(msgspec.Struct, frozen=True):
    """What a venue is opened with, besides its own table of settings."""

    name: str
    var: Path
    """Where it may keep files; their names start with the venue's."""
    settings_file: Path
    """For errors."""
    read_only: bool
    """Look, but neither trade nor write: a command beside a running daemon, or an exchange without `--live`."""
    ledger: bool = False
    """Only what this daemon bought is managed: the account may hold more, so the venue must not measure reduce-only."""


class Venue(Protocol):
    """One account. Every coroutine may raise VenueUnreachable, VenueStopped or KeysRefused."""

    name: str

    @property
    def patience(self) -> float:
        """Seconds after which a question counts as not answered; more than the driver's own limits."""
        ...

    @property
    def absence_grace(self) -> float:
        """Seconds after which an order that the venue does not know can no longer appear."""
        ...

    @property
    def snapshot_lag(self) -> float:
        """Seconds after a fill for which a snapshot of the positions may not show it yet."""
        ...

    @property
    def finds_orders(self) -> bool:
        """Whether `find` can tell that there is no such order. Where it cannot, the position decides."""
        ...

    @property
    def position_mode(self) -> PositionMode | None:
        """How the account keeps long and short in a market, None where it is not known or means nothing."""
        ...

    async def connect(self) -> None:
        """Load the markets and prove the keys. Called again after a failure."""
        ...

    async def close(self) -> None:
        """Let go of sockets and files."""
        ...

    def describe(self) -> str:
        """Return in a few words where the prices come from, for the log and `status`."""
        ...

    def resolve(self, text: str) -> str:
        """Return the unified symbol of a market in any of the forms that a strategy may write.

        Raises:
            UnknownSymbol: with the candidates.
        """
        ...

    def rules(self, symbol: str) -> MarketRules:
        """Return what the venue accepts in a market that `resolve` returned, now or in an earlier process.

        A market that is suspended, or in which positions can only be closed, has rules all the same.

        Raises:
            MarketGone: the venue lists it no more.
            UnknownSymbol: its rules are not known yet.
        """
        ...

    async def price(self, symbol: str) -> Price:
        """Return the latest price of a market."""
        ...

    async def positions(self, newer_than: float) -> Positions:
        """Return a complete snapshot whose `at` is not before `newer_than` (`time.monotonic`).

        An error, an empty answer or a part of one is VenueUnreachable, never a flat account.
        """
        ...

    def streamed_position(self, symbol: str) -> Decimal | None:
        """Return what a stream that is open said last of a market's position, None where none said anything.

        It may be wrong, and is believed only where it agrees with what our own fills explain.
        """
        ...

    async def equity(self) -> Decimal | None:
        """Return the account's equity in the quote currency, None where the venue cannot tell it."""
        ...

    async def place(self, intent: Intent) -> OrderReport:
        """Send a market order once, under the intent's client order id. Its fills are told here, not in `events` too.

        Raises:
            OrderRefused: the venue proved that it did not take it.
            OrderUnknown: anything else that is not a report.
        """
        ...

    async def cancel(self, intent: Intent) -> None:
        """Ask for an order's cancellation. What came of it is for `find` to say; an unknown order is no error."""
        ...

    async def find(self, intent: Intent) -> OrderReport | None:
        """Return what the venue knows of an order, None where it does not know it now.

        Fills that were told before are in it again: whoever asks knows them by their trade ids, or, of a `summed`
        report, by what he has of the order already.
        """
        ...

    def pause(self) -> float:
        """Return for how many seconds the venue asked to be left alone, 0 where it did not."""
        ...

    async def verify(self) -> None:
        """Look whether the account and its markets are still what they were. Called at every resync.

        Raises:
            VenueStopped: the account changed in a way in which orders would be guesses.
        """
        ...

    async def inspect(self) -> Inspection:
        """Return what a person should know of the keys, their permissions, the clock and the account."""
        ...

    def events(self) -> AsyncIterator[VenueEvent]:
        """Yield what the venue's streams say, until it is closed. Raises VenueUnreachable when they break off.

        An execution that a stream brings before the reply to its order is told here as well as there.
        """
        ...


def refused(intent: Intent, what: str, found: str = "", mend: str = "") -> OrderRefused:
    """Return the error that says that an order was not taken."""
    return OrderRefused(what, where=str(intent.key), found=found, kept="the position stays as it is", mend=mend)


async def silence() -> AsyncIterator[VenueEvent]:
    """Yield nothing and never end: the events of a venue without streams, whose replies tell everything."""
    events: asyncio.Queue[VenueEvent] = asyncio.Queue()
    while True:
        yield await events.get()
