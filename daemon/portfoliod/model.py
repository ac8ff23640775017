"""What flows through the daemon: frozen values without behaviour that needs a clock, a file or a venue."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

ZERO = Decimal(0)


class Key(NamedTuple):
    """What is traded where: the unit of targets, positions, locks and workers."""

    venue: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.symbol} on {self.venue}"


class Side(StrEnum):
    """The direction of an order or a fill."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class State(msgspec.Struct, frozen=True):
    """What a strategy wants to hold: its signed position, in units of its weight, for each symbol as it wrote it."""

    positions: Mapping[str, Decimal]
    updated_at: float
    """When the strategy decided it, in epoch seconds."""


class History(msgspec.Struct, frozen=True):
    """A strategy's simple daily returns: `days` are proleptic Gregorian ordinals, strictly increasing."""

    days: tuple[int, ...]
    returns: tuple[float, ...]


class PortfolioConfig(msgspec.Struct, frozen=True):
    """portfolio_config.json, as far as the daemon reads it. What a user may leave out is None."""

    account_value: Decimal | None = None
    weights: Mapping[str, Decimal] = {}
    weighted: bool = False
    """Whether the file speaks of weights at all."""
    leverage: Decimal = ZERO
    target_vol_pct: float | None = None
    lookback_days: int | None = None
    exchanges: Mapping[str, str] = {}
    inputs_hash: str | None = None


class MarketRules(msgspec.Struct, frozen=True):
    """What a venue accepts in one market. Quantities in the base currency (inverse markets: contracts)."""

    step: Decimal
    min_quantity: Decimal = ZERO
    min_notional: Decimal = ZERO
    max_quantity: Decimal | None = None
    contract_size: Decimal = Decimal(1)
    spot: bool = False
    """A spot market cannot be held short."""
    inverse: bool = False
    """Quantities are contracts of `contract_size` quote units each; notional does not depend on the price."""
    reduce_only_exempt: bool = False
    """Orders that only reduce may be smaller than `min_notional`."""

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Return the value of a quantity in the quote currency, with the quantity's sign."""
        return quantity * self.contract_size if self.inverse else quantity * price

    def quantity(self, notional: Decimal, price: Decimal) -> Decimal:
        """Return the quantity, not yet rounded to the step, that is worth `notional` in the quote currency."""
        return notional / self.contract_size if self.inverse else notional / price


class Contribution(msgspec.Struct, frozen=True):
    """One strategy's part of a decision. Its share of the notional is account_value x leverage x weight x position."""

    strategy: str
    position: Decimal
    weight: Decimal


class Decision(msgspec.Struct, frozen=True):
    """One change of a target, as it was journaled. `quantity` stays in force until the next decision."""

    number: int
    key: Key
    at: float
    exposure: Decimal
    """Notional as a share of account_value: leverage x sum of weight x position."""
    account_value: Decimal
    notional: Decimal
    price: Decimal
    quantity: Decimal
    contributions: tuple[Contribution, ...]
    cycle: str = ""
    """Which change of a file it follows from (`portfoliod.cycles`)."""


class IntentStatus(StrEnum):
    """How far an order is known to have come. Only DONE, REFUSED and CANCELLED are terminal."""

    INTENDED = "intended"
    UNKNOWN = "unknown"
    WORKING = "working"
    DONE = "done"
    REFUSED = "refused"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the venue can no longer fill anything of it."""
        return self in {IntentStatus.DONE, IntentStatus.REFUSED, IntentStatus.CANCELLED}


class Intent(msgspec.Struct, frozen=True):
    """One order that stands in the journal before it is sent."""

    client_id: str
    key: Key
    side: Side
    quantity: Decimal
    reduce_only: bool
    """It may only bring the position nearer to zero. Whether the venue is told so is for its driver to know."""
    decision: int
    at: float
    reason: str
    status: IntentStatus = IntentStatus.INTENDED
    part: bool = False
    """More of the same order follows: it was split."""
    cycle: str = ""
    """Its decision's."""

    @property
    def signed(self) -> Decimal:
        """The quantity with the sign of its side."""
        return self.quantity * self.side.sign


class Fill(msgspec.Struct, frozen=True):
    """One execution, as the venue reports it. `trade_id` is unique within the key."""

    key: Key
    trade_id: str
    client_id: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    at: float

    @property
    def signed(self) -> Decimal:
        """The quantity with the sign of its side."""
        return self.quantity * self.side.sign

    @property
    def moved(self) -> Decimal:
        """What it did to the position: in a spot market a fee that is taken in the base currency comes off it."""
        symbol = self.key.symbol
        fee = self.fee if ":" not in symbol and self.fee_currency == symbol.partition("/")[0] else ZERO
        return self.signed - fee


class Book(msgspec.Struct, frozen=True):
    """What the journal knows of a key's position: what was taken over, and that plus every fill since."""

    key: Key
    taken_over: Decimal
    expected: Decimal


class Lock(msgspec.Struct, frozen=True):
    """Why a key is not traded until a person unlocks it or the position comes back."""

    key: Key
    reason: str
    expected: Decimal
    actual: Decimal
    since: float


class Worth(msgspec.Struct, frozen=True):
    """What a venue is believed to be worth, in the quote currency."""

    equity: Decimal
    at: float
    """When it was read, in epoch seconds."""
    traded: int = 0
    """How many fills of ours were recorded there since."""
    doubted: Decimal | None = None
    """Another figure that the venue told since, so far off that nobody believes it yet."""
    doubted_at: float = 0.0
    """When it told that first, in epoch seconds."""


class HighWater(msgspec.Struct, frozen=True):
    """The most that some venues were worth together: what a drawdown is measured from."""

    venues: tuple[str, ...]
    """Sorted."""
    equity: Decimal


class Standing(StrEnum):
    """Where a market stands after it was looked at."""

    IN_STEP = "in_step"
    WORKING = "working"
    UNKNOWN = "unknown"
    LOCKED = "locked"
    REFUSED = "refused"


class HaltCause(StrEnum):
    """What halted the daemon."""

    OPERATOR = "operator"
    DRAWDOWN = "max_drawdown"
    KEYS = "keys_refused"
    LIQUIDATION = "liquidation"
    JOURNAL = "journal"


class Halt(msgspec.Struct, frozen=True):
    """Why nothing that adds exposure may be sent."""

    reason: str
    cause: HaltCause = HaltCause.OPERATOR
    flatten: bool = False
    """Whether managed positions are closed too."""


class Problem(msgspec.Struct, frozen=True):
    """Something that a person has to mend, as `status` shows it."""

    what: str
    where: str = ""
    found: str = ""
    kept: str = ""
    mend: str = ""
