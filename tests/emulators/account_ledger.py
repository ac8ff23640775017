"""What an account consists of now and what it was: markets, prices, and the histories that everything is read from.

Reading only; `account.Account` makes things happen to it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from tests.emulators.account_records import ZERO, Event, History, Leg, Market, Order, OrderSide, Position, Trade


class Ledger:
    """Markets, prices, wallet, positions, orders and trades of one account.

    `changed` is notified after every change; its lock is held while listeners run, in the thread that made the change.
    """

    def __init__(
        self,
        markets: Iterable[Market],
        prices: Mapping[str, Decimal],
        wallet: Mapping[str, Decimal],
        *,
        taker: Decimal = Decimal("0.0005"),
        maker: Decimal = Decimal("0.0002"),
    ) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.markets = {market.id: market for market in markets}
        self.prices = dict(prices)
        self.taker, self.maker = taker, maker
        self.hedged = False
        self.leverages: dict[str, int] = {}
        self.margin_modes: dict[str, str] = {}
        self.clock_offset = 0.0
        """Seconds by which the exchange's clock is ahead of this computer's."""
        self.listeners: list[Callable[[Event], None]] = []
        self.order_history: History[int, Order] = History()
        self.trade_history: History[int, Trade] = History()
        self.position_history: History[tuple[str, Leg], Position] = History()
        self.wallet_history: History[str, Decimal] = History()
        for currency, amount in wallet.items():
            self.wallet_history.put(currency, amount, always=True)

    @property
    def orders(self) -> list[Order]:
        """Every order ever accepted, oldest first."""
        with self.changed:
            return self.order_history.values()

    @property
    def trades(self) -> list[Trade]:
        """Every fill, oldest first."""
        with self.changed:
            return self.trade_history.values()

    @property
    def positions(self) -> list[Position]:
        """Every leg that is not flat."""
        with self.changed:
            return [position for position in self.position_history.values() if position.quantity]

    @property
    def wallet(self) -> dict[str, Decimal]:
        """Balances before unrealized profit, by currency."""
        with self.changed:
            return dict(self.wallet_history.items())

    def position(self, market: str, leg: Leg | None = None) -> Decimal:
        """Return the signed quantity of one leg, or of all legs together."""
        legs: tuple[Leg, ...] = ("net", "long", "short") if leg is None else (leg,)
        with self.changed:
            return sum((self.leg(market, each).quantity for each in legs), ZERO)

    def leg(self, market: str, leg: Leg) -> Position:
        """Return the position of one leg, flat if there is none."""
        return self.position_history.get((market, leg)) or Position(market, leg)

    def order(self, order_id: int) -> Order | None:
        """Return the order with this id."""
        return self.order_history.get(order_id)

    def orders_by_client_id(self, client_id: str) -> list[Order]:
        """Return all orders that have this client id, oldest first."""
        return [order for order in self.orders if order.client_id == client_id]

    def reducible(self, market: str, leg: Leg, side: OrderSide) -> Decimal:
        """Return how much an order of this side could close."""
        held = self.leg(market, leg).quantity
        closes = held < 0 if side == "buy" else held > 0
        return abs(held) if closes else ZERO

    def unrealized(self, position: Position) -> Decimal:
        """Return the profit that a position shows, in the settlement currency."""
        return self.markets[position.market].profit(position.quantity, position.entry, self.prices[position.market])

    def leverage(self, market: str) -> int:
        """Return the leverage set, 20 if none was."""
        return self.leverages.get(market, 20)

    def margin(self, market: str, quantity: Decimal, price: Decimal | None = None) -> Decimal:
        """Return the initial margin of a quantity, in the settlement currency."""
        return self.markets[market].value(quantity, price or self.prices[market]) / self.leverage(market)

    def available(self, currency: str) -> Decimal:
        """Return what new positions and orders may use: wallet and open profit less the margin in use."""
        free = self.wallet.get(currency, ZERO)
        for position in self.positions:
            if self.markets[position.market].settle == currency:
                free += self.unrealized(position) - self.margin(position.market, position.quantity)
        for order in self.open_orders():
            if self.markets[order.market].settle == currency and not order.reduce_only:
                free -= self.margin(order.market, order.remaining, order.price)
        return free

    def open_orders(self, market: str | None = None) -> list[Order]:
        """Return the orders that may still fill."""
        return [order for order in self.orders if order.is_open and market in (None, order.market)]

    def now(self) -> int:
        """Return the exchange's time in milliseconds since 1970."""
        return int((time.time() + self.clock_offset) * 1000)
