"""What happens to the journal, and what each event does to the state that is in memory.

`Store.store` is the other interpreter: it turns the same events into rows. What it returns is what became true, and
only that is applied, in the order of the commits: so the state is always what a restart would load.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import TypeVar, assert_never

import msgspec

from portfoliod.model import ZERO, Book, Contribution, Decision, Fill, HighWater, Intent, IntentStatus, Key, Lock, Worth

Value = TypeVar("Value")

ENDED = 256
"""Orders that ended lately, whose fills are asked for without the disk."""


class Document(msgspec.Struct, frozen=True):
    """The last good content of a file: `content` normalised by whoever keeps it, `hash` of the file's own bytes."""

    name: str
    content: bytes
    hash: str


class Retirement(msgspec.Struct, frozen=True):
    """A retired strategy, and the folder that still bore its name then."""

    strategy: str
    inode: int | None = None


class Decided(msgspec.Struct, frozen=True):
    """A decision came into force."""

    decision: Decision


class Ascribed(msgspec.Struct, frozen=True):
    """A decision belongs to others than before."""

    key: Key
    number: int
    contributions: tuple[Contribution, ...]


class Intended(msgspec.Struct, frozen=True):
    """An order is about to be sent."""

    number: int
    intent: Intent


class Settled(msgspec.Struct, frozen=True):
    """It is known how far an order came. What is final stays as it is."""

    client_id: str
    status: IntentStatus
    outcome: str


class Filled(msgspec.Struct, frozen=True):
    """An order of ours was filled. A trade id counts once."""

    fill: Fill


class TakenOver(msgspec.Struct, frozen=True):
    """A position was taken over as it is."""

    key: Key
    position: Decimal
    at: float


class Expected(msgspec.Struct, frozen=True):
    """A position was accepted that our fills do not explain."""

    key: Key
    position: Decimal


class Locked(msgspec.Struct, frozen=True):
    """A key is not traded any more. One about a book is void once a person unlocked the key: that deletes the book."""

    lock: Lock
    about_book: bool


class Unlocked(msgspec.Struct, frozen=True):
    """The position of a locked key came back."""

    key: Key


class Released(msgspec.Struct, frozen=True):
    """A person unlocked a key: its position is taken over anew, and orders that nobody can tell about are over."""

    key: Key


class Dropped(msgspec.Struct, frozen=True):
    """A person took a market out: its target, its position and its orders are no matter any more."""

    key: Key


class Believed(msgspec.Struct, frozen=True):
    """A venue's equity was read, and is believed."""

    venue: str
    at: float
    equity: Decimal
    before: Worth | None
    """What was believed when the venue was asked: fills that were recorded since may not be in the figure."""

    def after(self, worth: Worth | None) -> Worth:
        """Return what follows from what is believed at this moment."""
        traded = 0 if worth is None else worth.traded
        if worth is not None and self.before is not None and worth.at == self.before.at:
            traded -= self.before.traded
        return Worth(self.equity, self.at, traded)


class Doubted(msgspec.Struct, frozen=True):
    """A venue told a figure that is not believed yet."""

    venue: str
    at: float
    equity: Decimal

    def after(self, worth: Worth) -> Worth:
        """Return what follows from what is believed at this moment."""
        return msgspec.structs.replace(worth, doubted=self.equity, doubted_at=self.at)


class Marked(msgspec.Struct, frozen=True):
    """A drawdown is measured from another mark, or from whatever is looked at next."""

    high_water: HighWater | None


class Kept(msgspec.Struct, frozen=True):
    """A file has good content. Content of a strategy that was retired while its file was read is not kept."""

    document: Document
    at: float


class Retired(msgspec.Struct, frozen=True):
    """A strategy was taken out of the portfolio."""

    retirement: Retirement
    at: float


class Forgotten(msgspec.Struct, frozen=True):
    """A name that was retired may be a new strategy."""

    strategy: str


class Noted(msgspec.Struct, frozen=True):
    """A fact has a value."""

    key: str
    value: str


Traded = (
    Decided | Ascribed | Intended | Settled | Filled | TakenOver | Expected | Locked | Unlocked | Released | Dropped
)
Event = Traded | Believed | Doubted | Marked | Kept | Retired | Forgotten | Noted


class Switches(msgspec.Struct, frozen=True):
    """What commands change from outside, as it is in the file."""

    targets: frozenset[Key]
    """Markets that have one."""
    locks: dict[Key, Lock]
    books: dict[Key, Book]
    open_orders: frozenset[str]
    high_water: HighWater | None
    confirmed_at: float
    """When a person stood by the equity, and resumed, last, in epoch seconds; 0 for never."""
    retirements: list[Retirement]


class JournalState(msgspec.Struct):
    """What is true by the journal. The dictionaries are changed in place."""

    targets: dict[Key, Decision] = {}
    books: dict[Key, Book] = {}
    open_intents: dict[str, Intent] = {}
    locks: dict[Key, Lock] = {}
    worths: dict[str, Worth] = {}
    in_parts: dict[Key, int] = {}
    """The decision in force of each key whose last order is a part of a split one: more was to follow."""
    high_water: HighWater | None = None
    confirmed_at: float = 0.0
    """When a person resumed last, as far as that was read."""
    filled: dict[str, tuple[Key, Decimal]] = {}
    """The sum of the fills of each order that is open, or ended lately."""
    ended: deque[str] = msgspec.field(default_factory=deque)
    """The orders that ended lately, oldest first."""

    def take_in(self, switches: Switches) -> None:
        """Take in what commands changed. What did not change stays the same object."""
        self.high_water, self.confirmed_at = switches.high_water, switches.confirmed_at
        for key in self.targets.keys() - switches.targets:
            del self.targets[key]
            self.in_parts.pop(key, None)
        _become(self.locks, switches.locks)
        _become(self.books, switches.books)
        for client_id in self.open_intents.keys() - switches.open_orders:
            _end(self, client_id)


def apply(state: JournalState, event: Event) -> None:  # noqa: C901, PLR0912 - one case an event
    """Change a state by what happened."""
    match event:
        case Decided(decision):
            state.targets[decision.key] = decision
            state.in_parts.pop(decision.key, None)
        case Ascribed(key, number, contributions):
            in_force = state.targets.get(key)
            if in_force is not None and in_force.number == number:
                state.targets[key] = msgspec.structs.replace(in_force, contributions=contributions)
        case Intended(_, intent):
            _intended(state, intent)
        case Settled(client_id, status, _):
            if status.terminal:
                _end(state, client_id)
            elif client_id in state.open_intents:
                intent = state.open_intents[client_id]
                state.open_intents[client_id] = msgspec.structs.replace(intent, status=status)
        case Filled(fill):
            _filled(state, fill)
        case TakenOver(key, position, _):
            state.books[key] = Book(key, position, position)
        case Expected(key, position):
            if key in state.books:
                state.books[key] = msgspec.structs.replace(state.books[key], expected=position)
        case Locked(lock, _):
            state.locks[lock.key] = lock
        case Unlocked(key):
            state.locks.pop(key, None)
        case Released(key) | Dropped(key):
            if isinstance(event, Dropped):
                state.targets.pop(key, None)
                state.in_parts.pop(key, None)
            state.locks.pop(key, None)
            state.books.pop(key, None)
            for client_id in [other.client_id for other in state.open_intents.values() if other.key == key]:
                _end(state, client_id)
        case Believed(venue, _, _):
            state.worths[venue] = event.after(state.worths.get(venue))
        case Doubted(venue, _, _):
            if venue in state.worths:
                state.worths[venue] = event.after(state.worths[venue])
        case Marked(high_water):
            state.high_water = high_water
        case Kept() | Retired() | Forgotten() | Noted():
            pass  # on disk only
        case _:
            assert_never(event)


def _intended(state: JournalState, intent: Intent) -> None:
    if not intent.status.terminal:
        state.open_intents[intent.client_id] = intent
        state.filled[intent.client_id] = intent.key, ZERO
    in_force = state.targets.get(intent.key)
    if in_force is None or in_force.number != intent.decision:
        return
    if intent.part:
        state.in_parts[intent.key] = intent.decision
    else:
        state.in_parts.pop(intent.key, None)


def _end(state: JournalState, client_id: str) -> None:
    if state.open_intents.pop(client_id, None) is None:
        return
    state.ended.append(client_id)
    if len(state.ended) > ENDED:
        state.filled.pop(state.ended.popleft(), None)


def _filled(state: JournalState, fill: Fill) -> None:
    worth, book = state.worths.get(fill.key.venue), state.books.get(fill.key)
    if worth is not None:
        state.worths[fill.key.venue] = msgspec.structs.replace(worth, traded=worth.traded + 1)
    if book is not None:
        state.books[fill.key] = msgspec.structs.replace(book, expected=book.expected + fill.moved)
    key, before = state.filled.get(fill.client_id, (None, ZERO))
    if key == fill.key:
        state.filled[fill.client_id] = key, before + fill.quantity


def _become(known: dict[Key, Value], found: dict[Key, Value]) -> None:
    """Make a dictionary equal to what was found, and keep the objects that did not change."""
    for key in known.keys() - found.keys():
        del known[key]
    for key, value in found.items():
        if known.get(key) != value:
            known[key] = value
