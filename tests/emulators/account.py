"""The true account behind an emulated exchange: what is held, ordered and traded, whatever the wire makes of it.

It enforces no venue's rules; it moves positions and money. Every method may be called from any thread.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from tests.emulators.account_ledger import Ledger
from tests.emulators.account_records import (
    ZERO,
    AccountEvent,
    Event,
    Leg,
    Market,
    Order,
    OrderEvent,
    OrderKind,
    OrderSide,
    OrderStatus,
    Origin,
    Position,
    PriceEvent,
    SettingEvent,
    Trade,
)


class Account(Ledger):
    """A ledger that orders, trades, payments and people change."""

    def __init__(
        self,
        markets: Iterable[Market],
        prices: Mapping[str, Decimal],
        wallet: Mapping[str, Decimal],
        *,
        taker: Decimal = Decimal("0.0005"),
        maker: Decimal = Decimal("0.0002"),
    ) -> None:
        super().__init__(markets, prices, wallet, taker=taker, maker=maker)
        self._ids = itertools.count(time.time_ns() // 1_000_000 * 1000)
        self._trade_ids = itertools.count(time.time_ns() // 1_000_000_000 % 1_000_000_000)

    def accept(
        self,
        market: str,
        side: OrderSide,
        quantity: Decimal,
        *,
        client_id: str = "",
        leg: Leg = "net",
        kind: OrderKind = "market",
        price: Decimal | None = None,
        reduce_only: bool = False,
        time_in_force: str = "GTC",
        origin: Origin = "api",
        tags: Mapping[str, str] | None = None,
    ) -> Order:
        """Record a new open order and return it; nothing is filled yet."""
        with self.changed:
            order_id = next(self._ids)
            order = Order(
                id=order_id, client_id=client_id, market=market, side=side, leg=leg, kind=kind,
                quantity=quantity, price=price, reduce_only=reduce_only, time_in_force=time_in_force, status="new",
                filled=ZERO, turnover=ZERO, created=self.now(), updated=self.now(), origin=origin, tags=tags or {},
            )  # fmt: skip
            self.order_history.put(order_id, order)
            self._emit(OrderEvent(order))
            return order

    def fill(
        self, order_id: int, quantity: Decimal | None = None, price: Decimal | None = None, *, maker: bool = False
    ) -> Trade | None:
        """Fill an open order by `quantity` (default: all that remains) and return the trade.

        An order that may only reduce is clipped to what is held, and what is left of it expires; None if nothing is.
        """
        with self.changed:
            order = self._open(order_id)
            wanted = order.remaining if quantity is None else min(quantity, order.remaining)
            closing = order.reduce_only or order.closes_leg
            traded = min(wanted, self.reducible(order.market, order.leg, order.side)) if closing else wanted
            trade = self._trade(order, traded, price or self.prices[order.market], maker=maker) if traded else None
            if traded < wanted:
                self.end(order_id, "expired")
            return trade

    def end(self, order_id: int, status: OrderStatus = "canceled") -> Order:
        """Cancel or expire an open order and return it; one that has ended stays as it is."""
        with self.changed:
            order = self.order_history.get(order_id)
            if order is None or not order.is_open:
                return self._known(order_id)
            order = msgspec.structs.replace(order, status=status, updated=self.now())
            self.order_history.put(order_id, order)
            self._emit(OrderEvent(order))
            return order

    def trade(
        self, market: str, side: OrderSide, quantity: Decimal | str, *, leg: Leg = "net", origin: Origin = "manual"
    ) -> Trade:
        """Trade behind the clients' back, as a person at the website does, and return the fill."""
        with self.changed:
            order = self.accept(market, side, Decimal(quantity), leg=leg, origin=origin)
            trade = self.fill(order.id)
            if trade is None:
                raise ValueError(f"{market} holds nothing in {leg} that a {side} could close")
            return trade

    def force_close(self, market: str, leg: Leg = "net", *, origin: Origin = "liquidation") -> Trade:
        """Close a position as the exchange does in a liquidation or an auto-deleveraging, and return the fill."""
        held = self.leg(market, leg).quantity
        return self.trade(market, "sell" if held > 0 else "buy", abs(held), leg=leg, origin=origin)

    def set_position(
        self, market: str, quantity: Decimal | str, entry: Decimal | None = None, leg: Leg = "net"
    ) -> None:
        """Give the account a position without any order or trade."""
        with self.changed:
            position = Position(market, leg, Decimal(quantity), entry or self.prices[market], ZERO, self.now())
            self.position_history.put((market, leg), position)
            self._emit(AccountEvent("adjustment", (position,), ()))

    def set_wallet(self, currency: str, amount: Decimal | str, reason: str = "deposit") -> None:
        """Set a balance; NaN and negative amounts are taken as they are."""
        with self.changed:
            self.wallet_history.put(currency, Decimal(amount))
            self._emit(AccountEvent(reason, (), (currency,)))

    def pay_funding(self, market: str, amount: Decimal | str) -> None:
        """Add a funding payment (negative when the account pays) to the wallet."""
        with self.changed:
            currency = self.markets[market].settle
            self.wallet_history.put(currency, self.wallet.get(currency, ZERO) + Decimal(amount))
            held = tuple(position for position in self.positions if position.market == market)
            self._emit(AccountEvent("funding", held, (currency,)))

    def set_price(self, market: str, price: Decimal | str) -> None:
        """Move a price; resting limit orders that it reaches fill at their limit."""
        with self.changed:
            self.prices[market] = Decimal(price)
            self._emit(PriceEvent(market))
            for order in self.open_orders(market):
                if order.kind == "limit" and order.price is not None and self.reaches(order):
                    self.fill(order.id, price=order.price, maker=True)

    def reaches(self, order: Order) -> bool:
        """Return whether the price is at the order's limit or better; always so for a market order."""
        return order.price is None or (self.prices[order.market] - order.price) * order.sign <= 0

    def set_hedged(self, hedged: bool) -> None:
        """Toggle the position mode; refuses nothing, the venue does."""
        with self.changed:
            self.hedged = hedged
            self._emit(SettingEvent("mode"))

    def set_leverage(self, market: str, leverage: int) -> None:
        """Set the leverage of a market."""
        with self.changed:
            self.leverages[market] = leverage
            self._emit(SettingEvent("leverage", market))

    def set_margin_mode(self, market: str, mode: str) -> None:
        """Set `cross` or `isolated` for a market."""
        with self.changed:
            self.margin_modes[market] = mode
            self._emit(SettingEvent("margin_mode", market))

    def replace_market(self, market: Market) -> None:
        """Change the rules of a market, or list a new one, while clients are connected."""
        with self.changed:
            self.markets[market.id] = market
            self._emit(SettingEvent("market", market.id))

    def _known(self, order_id: int) -> Order:
        order = self.order_history.get(order_id)
        if order is None:
            raise KeyError(f"no order {order_id}")
        return order

    def _open(self, order_id: int) -> Order:
        order = self._known(order_id)
        if not order.is_open:
            raise ValueError(f"order {order_id} is {order.status}")
        return order

    def _trade(self, order: Order, quantity: Decimal, price: Decimal, *, maker: bool) -> Trade:
        market, now = self.markets[order.market], self.now()
        realized = self._move(order, quantity, price, now)
        fee = market.value(quantity, price) * (self.maker if maker else self.taker)
        wallet = self.wallet_history.get(market.settle) or ZERO
        self.wallet_history.put(market.settle, wallet + realized - fee)
        trade = Trade(
            id=next(self._trade_ids), order_id=order.id, client_id=order.client_id, market=order.market,
            side=order.side, leg=order.leg, quantity=quantity, price=price, fee=fee, fee_currency=market.settle,
            realized=realized, maker=maker, time=now,
        )  # fmt: skip
        self.trade_history.put(trade.id, trade)
        filled = order.filled + quantity
        status: OrderStatus = "filled" if filled == order.quantity else "partial"
        order = msgspec.structs.replace(
            order, filled=filled, turnover=order.turnover + quantity * price, status=status, updated=now
        )
        self.order_history.put(order.id, order)
        reason = order.origin if order.origin in ("liquidation", "adl") else "order"
        self._emit(AccountEvent(reason, (self.leg(order.market, order.leg),), (market.settle,)))
        self._emit(OrderEvent(order, trade))
        return trade

    def _move(self, order: Order, quantity: Decimal, price: Decimal, now: int) -> Decimal:
        """Move the order's leg and return the realized profit."""
        market, held = self.markets[order.market], self.leg(order.market, order.leg)
        change = quantity * order.sign
        after = held.quantity + change
        if held.quantity * change >= 0:
            realized = ZERO
            spent = abs(held.quantity) * held.entry + quantity * price
            entry = spent / abs(after) if after else ZERO
        else:
            closed = min(abs(held.quantity), quantity) * (1 if held.quantity > 0 else -1)
            realized = market.profit(closed, held.entry, price)
            entry = ZERO if not after else price if after * held.quantity < 0 else held.entry
        position = Position(order.market, order.leg, after, entry, held.realized + realized, now)
        self.position_history.put((order.market, order.leg), position)
        return realized

    def _emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)
        self.changed.notify_all()
