"""A spot account: trades move balances, and the fee is taken from what is received, or from a currency kept for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from tests.emulators.account import Account
from tests.emulators.account_records import ZERO, AccountEvent, Market, Order, OrderEvent, OrderStatus, Trade


class SpotAccount(Account):
    """Balances of currencies; the positions of the base class stay flat."""

    def __init__(
        self,
        markets: Iterable[Market],
        prices: Mapping[str, Decimal],
        wallet: Mapping[str, Decimal],
        *,
        taker: Decimal = Decimal("0.001"),
        fee_currency: str = "",
    ) -> None:
        super().__init__(markets, prices, wallet, taker=taker, maker=taker)
        self.fee_currency = fee_currency
        """Pays all fees, by its price against the quote currency; empty: a buy pays in base, a sale in quote."""

    def _trade(self, order: Order, quantity: Decimal, price: Decimal, *, maker: bool) -> Trade:
        market, now, cost = self.markets[order.market], self.now(), quantity * price
        self._pay(market.base, quantity * order.sign)
        self._pay(market.quote, -cost * order.sign)
        fee, currency = self._fee(market, order, quantity, cost)
        self._pay(currency, -fee)
        trade = Trade(
            id=next(self._trade_ids), order_id=order.id, client_id=order.client_id, market=order.market,
            side=order.side, leg="net", quantity=quantity, price=price, fee=fee, fee_currency=currency,
            realized=ZERO, maker=maker, time=now,
        )  # fmt: skip
        self.trade_history.put(trade.id, trade)
        filled = order.filled + quantity
        status: OrderStatus = "filled" if filled == order.quantity else "partial"
        order = msgspec.structs.replace(
            order, filled=filled, turnover=order.turnover + cost, status=status, updated=now
        )
        self.order_history.put(order.id, order)
        self._emit(AccountEvent("order", (), tuple(dict.fromkeys((market.base, market.quote, currency)))))
        self._emit(OrderEvent(order, trade))
        return trade

    def _fee(self, market: Market, order: Order, quantity: Decimal, cost: Decimal) -> tuple[Decimal, str]:
        if self.fee_currency:
            return cost * self.taker / self.prices[self.fee_currency + market.quote], self.fee_currency
        if order.side == "buy":
            return quantity * self.taker, market.base
        return cost * self.taker, market.quote

    def _pay(self, currency: str, amount: Decimal) -> None:
        self.wallet_history.put(currency, (self.wallet_history.get(currency) or ZERO) + amount)
