"""The simulated exchange: the truth about an account, which goes on whether or not a daemon is connected."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

import msgspec

from portfoliod.model import ZERO, Fill, Intent, IntentStatus, Key, MarketRules, Side
from portfoliod.venues import Filled, Liquidated, OrderReport, PositionMoved, VenueEvent
from tests.simulation.clock import Clock

FEE = Decimal("0.0005")
RULES = {
    "BTC/USDT:USDT": MarketRules(step=Decimal("0.001"), min_notional=Decimal(5)),
    "ETH/USDT:USDT": MarketRules(step=Decimal("0.01"), min_notional=Decimal(5), reduce_only_exempt=True),
    "SOL/USDT:USDT": MarketRules(step=Decimal("0.1"), min_notional=Decimal(5)),
}
PRICES = {"BTC/USDT:USDT": 50_000.0, "ETH/USDT:USDT": 2_500.0, "SOL/USDT:USDT": 100.0}

Fate = Literal["fills", "in parts", "expires in parts", "late", "dies", "dead but fills"]
"""What becomes of an order that arrived."""
FATES: dict[Fate, int] = {"fills": 80, "in parts": 8, "expires in parts": 4, "late": 4, "dies": 2, "dead but fills": 2}
SURE_FATES: dict[Fate, int] = {"fills": 90, "in parts": 5, "late": 5}
"""Where orders cannot be looked up, one that was acknowledged is filled sooner or later: nothing could tell else."""


class Order(msgspec.Struct):
    """An order at the exchange."""

    intent: Intent
    at: float
    filled: Decimal = ZERO
    live: bool = True
    denied: bool = False
    """The exchange says that it is over and filled nothing, which is not so."""
    fills: list[Fill] = []

    @property
    def left(self) -> Decimal:
        """What may still be filled."""
        return self.intent.quantity - self.filled

    def report(self) -> OrderReport:
        """Return what the exchange says of it."""
        if self.denied:
            return OrderReport(self.intent.client_id, IntentStatus.CANCELLED, ZERO)
        over = IntentStatus.DONE if self.left <= 0 else IntentStatus.CANCELLED
        status = IntentStatus.WORKING if self.live else over
        return OrderReport(self.intent.client_id, status, self.filled, tuple(self.fills))


class Exchange:
    """One account: its positions, orders and fills, and the moving prices of its markets."""

    def __init__(self, name: str, clock: Clock, chance: random.Random, *, finds_orders: bool) -> None:
        self.name = name
        self.finds_orders = finds_orders
        self._fates = FATES if finds_orders else SURE_FATES
        self._longest_rest = 15.0 if finds_orders else 4.0
        """Seconds between two fills of an order: where it cannot be looked up, one that rests longer counts as over."""
        self.clock = clock
        self.chance = chance
        self.calm = False
        """Nothing goes wrong while this is so."""
        self.prices = dict(PRICES)
        self.positions: dict[str, Decimal] = dict.fromkeys(RULES, ZERO)
        self.past: dict[str, list[tuple[float, Decimal]]] = {symbol: [(0.0, ZERO)] for symbol in RULES}
        self.orders: dict[str, Order] = {}
        self.on_their_way: dict[str, Intent] = {}
        """Orders that were sent, did not arrive yet, and will."""
        self.fills: list[Fill] = []
        self.cash = Decimal(100_000)
        self.tell: Callable[[VenueEvent], None] = lambda _: None
        """Where the streams of a connected daemon begin."""
        self.surprises: dict[str, list[tuple[float, Decimal]]] = {symbol: [] for symbol in RULES}
        """What moved without the daemon's doing, or in spite of what the daemon was told, and when."""
        self.twice: list[str] = []
        """Client order ids that arrived more than once."""

    def rules(self, symbol: str) -> MarketRules:
        """Return what the exchange accepts in a market."""
        return RULES[symbol]

    def price(self, symbol: str) -> Decimal:
        """Return what a market trades at."""
        return Decimal(f"{self.prices[symbol]:.6g}")

    def move_prices(self, size: float) -> None:
        """Let every price take a step."""
        for symbol in self.prices:
            self.prices[symbol] *= math.exp(self.chance.gauss(0, size))

    def equity(self) -> Decimal:
        """Return what the account is worth."""
        return self.cash + sum((held * self.price(symbol) for symbol, held in self.positions.items()), ZERO)

    def position_at(self, symbol: str, moment: float) -> Decimal:
        """Return what a position was."""
        return next(held for at, held in reversed(self.past[symbol]) if at <= moment)

    def arrive(self, intent: Intent) -> Order:
        """Take an order on, and begin to fill it as its fate is."""
        if intent.client_id in self.orders:
            self.twice.append(intent.client_id)
            return self.orders[intent.client_id]
        order = Order(intent, self.clock.now)
        self.orders[intent.client_id] = order
        fates = list(self._fates)
        fate = "fills" if self.calm else self.chance.choices(fates, [self._fates[name] for name in fates])[0]
        if fate == "fills":
            self._fill(order, order.left)
            order.live = False
        elif fate == "dies":
            order.live = False
        elif fate == "dead but fills":
            order.denied, order.live = True, False
            self.surprises[intent.key.symbol].append((self.clock.now, intent.quantity))
            self.clock.after(self.chance.uniform(0.1, 20), lambda: self._fill_after_all(order))
        else:
            share = Decimal(0) if fate == "late" else self._part(order, self.chance.uniform(0.1, 0.9))
            self._fill(order, share)
            over = fate == "expires in parts"
            self.clock.after(self.chance.uniform(0.05, self._longest_rest), lambda: self._go_on(order, over=over))
        return order

    def cancel(self, client_id: str) -> None:
        """Take what is left of an order back."""
        order = self.orders.get(client_id)
        if order is not None:
            order.live = False

    def trade_by_hand(self, symbol: str, quantity: Decimal) -> None:
        """Let somebody else trade on the account."""
        self.surprises[symbol].append((self.clock.now, abs(quantity)))
        side = Side.BUY if quantity > 0 else Side.SELL
        fill = self._execution(Key(self.name, symbol), "by-hand", side, abs(quantity))
        self._move(symbol, quantity)
        self.tell(Filled(fill))
        self.tell(PositionMoved(symbol))

    def liquidate(self, symbol: str) -> None:
        """Close half of a position by force."""
        part = -(self.positions[symbol] / 2 // RULES[symbol].step) * RULES[symbol].step
        if part == 0:
            return
        self.surprises[symbol].append((self.clock.now, abs(part)))
        self._move(symbol, part)
        self.tell(Liquidated(symbol, "liquidation"))
        self.tell(PositionMoved(symbol))

    def _part(self, order: Order, share: float) -> Decimal:
        step = RULES[order.intent.key.symbol].step
        return (order.left * Decimal(share) // step) * step

    def _go_on(self, order: Order, *, over: bool) -> None:
        if not order.live:
            return
        if over:
            order.live = False
            return
        if self.chance.random() < 0.4:
            self._fill(order, self._part(order, 0.5))
            over = self.finds_orders and self.chance.random() < 0.2
            self.clock.after(self.chance.uniform(0.05, 4), lambda: self._go_on(order, over=over))
            return
        self._fill(order, order.left)
        order.live = False

    def _fill_after_all(self, order: Order) -> None:
        order.denied = False
        self._fill(order, order.left)

    def _fill(self, order: Order, quantity: Decimal) -> None:
        intent = order.intent
        symbol = intent.key.symbol
        if intent.reduce_only:
            held = self.positions[symbol]
            quantity = min(quantity, abs(held)) if held * intent.side.sign < 0 else ZERO
        if quantity <= 0:
            return
        parts = 1 if self.calm or self.chance.random() < 0.8 else 2
        done = ZERO
        for part in range(parts):
            size = quantity - done if part == parts - 1 else self._half(symbol, quantity)
            if size > 0:
                fill = self._execution(intent.key, intent.client_id, intent.side, size)
                order.fills.append(fill)
                order.filled += size
                done += size
                self.fills.append(fill)
                self._move(symbol, fill.signed)
                self.tell(Filled(fill))
        self.tell(PositionMoved(symbol))

    def _half(self, symbol: str, quantity: Decimal) -> Decimal:
        step = RULES[symbol].step
        return (quantity / 2 // step) * step

    def _execution(self, key: Key, client_id: str, side: Side, quantity: Decimal) -> Fill:
        price = self.price(key.symbol)
        fee = quantity * price * FEE
        self.cash -= quantity * side.sign * price + fee
        trade = f"t{len(self.fills)}-{self.clock.now:.6f}"
        return Fill(key, trade, client_id, side, quantity, price, fee, "USDT", self.clock.wall())

    def _move(self, symbol: str, quantity: Decimal) -> None:
        self.positions[symbol] += quantity
        past = self.past[symbol]
        past.append((self.clock.now, self.positions[symbol]))
        if len(past) > 2_000:
            del past[:1_000]
