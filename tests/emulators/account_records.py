"""What an exchange's account consists of: markets, positions, orders, trades, and the events that change them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

ZERO = Decimal(0)

OrderSide: TypeAlias = Literal["buy", "sell"]
Leg: TypeAlias = Literal["net", "long", "short"]
"""Which position an order moves: `net` in one-way mode, `long` or `short` in hedge mode."""
OrderKind: TypeAlias = Literal["market", "limit"]
OrderStatus: TypeAlias = Literal["new", "partial", "filled", "canceled", "expired"]
Origin: TypeAlias = Literal["api", "manual", "liquidation", "adl"]
"""Who made the order: a client, a person at the website, or the exchange itself."""


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument. Every quantity is in the venue's own unit: base currency, or contracts."""

    id: str
    base: str
    quote: str
    settle: str
    step: Decimal
    tick: Decimal
    minimum: Decimal
    maximum: Decimal
    """Of one market order."""
    min_notional: Decimal = ZERO
    contract_size: Decimal = Decimal(1)
    """Base currency per unit; of an inverse market, quote currency per unit."""
    inverse: bool = False
    expiry: int | None = None
    """Milliseconds since 1970; None is a perpetual."""
    max_leverage: int = 125
    active: bool = True

    def notional(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Return the absolute value in the quote currency."""
        size = abs(quantity) * self.contract_size
        return size if self.inverse else size * price

    def value(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Return the absolute value in the settlement currency, which margin and fees are counted in."""
        return self.notional(quantity, price) / price if self.inverse else self.notional(quantity, price)

    def profit(self, quantity: Decimal, entry: Decimal, price: Decimal) -> Decimal:
        """Return what `quantity` (signed) entered at `entry` has gained at `price`, in the settlement currency."""
        if not quantity or not entry or not price:
            return ZERO
        moved = (1 / entry - 1 / price) if self.inverse else price - entry
        return quantity * self.contract_size * moved


class Position(msgspec.Struct, frozen=True):
    """One leg of a market; `quantity` is signed in every mode, a short leg is negative."""

    market: str
    leg: Leg
    quantity: Decimal = ZERO
    entry: Decimal = ZERO
    realized: Decimal = ZERO
    """Accumulated profit before fees, in the settlement currency."""
    updated: int = 0
    """Milliseconds since 1970, by the exchange's clock."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the exchange knows it."""

    id: int
    client_id: str
    market: str
    side: OrderSide
    leg: Leg
    kind: OrderKind
    quantity: Decimal
    price: Decimal | None
    reduce_only: bool
    time_in_force: str
    status: OrderStatus
    filled: Decimal
    turnover: Decimal
    """The sum of quantity times price over its trades."""
    created: int
    updated: int
    origin: Origin
    tags: Mapping[str, str]
    """What else the request said, as the venue wants to repeat it."""

    @property
    def sign(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self.side == "buy" else -1

    @property
    def remaining(self) -> Decimal:
        """The quantity that is not filled."""
        return self.quantity - self.filled

    @property
    def average(self) -> Decimal:
        """The mean price of what is filled, 0 if nothing is."""
        return self.turnover / self.filled if self.filled else ZERO

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status in ("new", "partial")

    @property
    def closes_leg(self) -> bool:
        """Whether it is of hedge mode and closes, which is never more than the leg holds."""
        return self.leg != "net" and (self.leg == "long") == (self.side == "sell")


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One fill."""

    id: int
    order_id: int
    client_id: str
    market: str
    side: OrderSide
    leg: Leg
    quantity: Decimal
    price: Decimal
    fee: Decimal
    """Paid, so positive; in `fee_currency`."""
    fee_currency: str
    realized: Decimal
    maker: bool
    time: int


class OrderEvent(msgspec.Struct, frozen=True):
    """An order was accepted, filled (then with its trade) or ended."""

    order: Order
    trade: Trade | None = None


class AccountEvent(msgspec.Struct, frozen=True):
    """The wallet or positions changed; `reason` is order, funding, deposit, adjustment, liquidation or adl."""

    reason: str
    positions: tuple[Position, ...]
    currencies: tuple[str, ...]


class PriceEvent(msgspec.Struct, frozen=True):
    """The price of a market was set."""

    market: str


class SettingEvent(msgspec.Struct, frozen=True):
    """Position mode, leverage, margin mode or a market's rules changed; `market` is empty for the whole account."""

    setting: Literal["mode", "leverage", "margin_mode", "market"]
    market: str = ""


Event: TypeAlias = OrderEvent | AccountEvent | PriceEvent | SettingEvent

K = TypeVar("K")
V = TypeVar("V")


class History(Generic[K, V]):
    """A mapping that remembers what it was, so that a request can be answered with the state of a while ago."""

    def __init__(self) -> None:
        self._now: dict[K, V] = {}
        self._log: dict[K, list[tuple[float, V]]] = {}

    def put(self, key: K, value: V, *, always: bool = False) -> None:
        """Set the present value; `always` makes it that of all times before, too."""
        self._now[key] = value
        self._log.setdefault(key, []).append((float("-inf") if always else time.monotonic(), value))

    def get(self, key: K, lag: float = 0.0) -> V | None:
        """Return the value `lag` seconds ago, None if there was none."""
        if not lag:
            return self._now.get(key)
        moment = time.monotonic() - lag
        return next((value for at, value in reversed(self._log.get(key, [])) if at <= moment), None)

    def span(self, key: K) -> tuple[float, float] | None:
        """Return when the first and the present value were put (`time.monotonic`), None if there never was one."""
        log = self._log.get(key)
        return (log[0][0], log[-1][0]) if log else None

    def values(self, lag: float = 0.0) -> list[V]:
        """Return every value of `lag` seconds ago, in the order in which the keys first came."""
        if not lag:
            return list(self._now.values())
        past = (self.get(key, lag) for key in self._now)
        return [value for value in past if value is not None]

    def items(self, lag: float = 0.0) -> list[tuple[K, V]]:
        """Return the same with the keys."""
        past = ((key, self.get(key, lag)) for key in self._now)
        return [(key, value) for key, value in past if value is not None]
