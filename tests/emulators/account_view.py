"""What one answer shows of the account: the truth, unless a fault lets it lag or leaves things out."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from tests.emulators.account import Account
from tests.emulators.account_records import ZERO, Order, Position, Trade
from tests.emulators.faults import (
    Action,
    HidePositions,
    Lag,
    OrderLooks,
    OrderMissing,
    ShowPosition,
    WalletLooks,
)


class View:
    """The account as one request sees it."""

    def __init__(self, account: Account, actions: Iterable[Action] = ()) -> None:
        self._account = account
        self._actions = tuple(actions)
        self._lag = max((action.seconds for action in self._actions if isinstance(action, Lag)), default=0.0)

    @property
    def positions(self) -> list[Position]:
        """Every leg that ever was held, flat ones too; the caller drops those the venue would not list."""
        shown = {(row.market, row.leg): row for row in self._account.position_history.values(self._lag)}
        for action in self._actions:
            if isinstance(action, ShowPosition):
                shown[action.position.market, action.position.leg] = action.position
            if isinstance(action, HidePositions):
                hidden = action.markets
                shown = {key: row for key, row in shown.items() if hidden is not None and key[0] not in hidden}
        return list(shown.values())

    @property
    def wallet(self) -> dict[str, Decimal]:
        """Balances before unrealized profit."""
        shown = dict(self._account.wallet_history.items(self._lag))
        return shown | {each.currency: each.amount for each in self._actions if isinstance(each, WalletLooks)}

    @property
    def orders(self) -> list[Order]:
        """Every order, oldest first."""
        if any(isinstance(action, OrderMissing) for action in self._actions):
            return []
        return [self._seen(order) for order in self._account.order_history.values(self._lag)]

    @property
    def trades(self) -> list[Trade]:
        """Every fill, oldest first."""
        return self._account.trade_history.values(self._lag)

    def unrealized(self, currency: str) -> Decimal:
        """Return the open profit of all positions that settle in a currency."""
        markets = self._account.markets
        held = [row for row in self.positions if markets[row.market].settle == currency]
        return sum((self._account.unrealized(row) for row in held), ZERO)

    def _seen(self, order: Order) -> Order:
        for action in self._actions:
            if isinstance(action, OrderLooks):
                price = order.average
                return msgspec.structs.replace(
                    order, status=action.status, filled=action.filled, turnover=action.filled * price
                )
        return order
