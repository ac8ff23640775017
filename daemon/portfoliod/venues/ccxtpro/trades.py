"""The executions on an account, by order, each once: from streams, from replies and from REST."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from portfoliod.bounded import Bounded
from portfoliod.model import ZERO, Fill, Intent, Key, Side
from portfoliod.venues.ccxtpro.exchange import decimal
from portfoliod.venues.ccxtpro.markets import Market

REMEMBERED = 1_000
"""Orders, and trades of orders that nobody asked for yet."""
KEPT = ("id", "side", "amount", "price", "timestamp", "fee", "fees")
"""Of a trade: what a fill is made of. All that ccxt and the exchange say of it is ten times as large."""
CLIENT_ID_FIELDS = (
    *("clientOrderId", "c", "clOrdId", "orderLinkId", "cloid", "clientOid", "text", "cl_ord_id", "label", "client_oid"),
    *("client_order_id", "clOrdID", "externalOid", "cliOrdId", "clientId", "client_id", "clOrderId", "clOrderID"),
)
"""Where exchanges put a client order id in what their streams say."""
LIQUIDATIONS = ("full_liquidation", "partial_liquidation", "BustTrade", "LIQUIDATION", "CALCULATED")
DELEVERAGINGS = ("adl", "AdlTrade", "ADL")


class Trades:
    """What is known of which order was filled by which trades."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._client_ids: Bounded[str, str] = Bounded(REMEMBERED)
        self._order_ids: Bounded[str, str] = Bounded(REMEMBERED)
        self._expected: Bounded[str, str] = Bounded(REMEMBERED)
        self._by_order: Bounded[str, dict[str, Any]] = Bounded(REMEMBERED)

    def name(self, order_id: str, client_id: str) -> None:
        """Note which of our orders an exchange's order id is."""
        self._client_ids[order_id] = client_id
        self._order_ids[client_id] = order_id

    def expect(self, client_order_id: str, client_id: str) -> None:
        """Note, before an order is sent, in which form streams will name it."""
        self._expected[client_order_id] = client_id

    def order_id(self, client_id: str) -> str | None:
        """Return the exchange's id of one of our orders, None where it is not known."""
        return self._order_ids.get(client_id)

    def client_id(self, order_id: str) -> str | None:
        """Return whose an exchange's order id is, None where it is not known to be ours."""
        return self._client_ids.get(order_id)

    def add(self, trade: Mapping[str, Any]) -> bool:
        """Take in a trade as ccxt parsed it, and return whether it says enough to be a fill."""
        order_id, trade_id = str(trade.get("order")), trade.get("id")
        if trade_id is None or trade.get("side") is None or decimal(trade.get("amount")) is None:
            return False
        expected = self._expected.get(said_client_id(trade.get("info")) or "")
        if expected is not None and order_id not in self._client_ids:
            self.name(order_id, expected)
        self._by_order.setdefault(order_id, {})[str(trade_id)] = {name: trade.get(name) for name in KEPT}
        return True

    def fills(self, order_id: str, client_id: str, market: Market) -> list[Fill]:
        """Return an order's fills as far as they are known, oldest first."""
        trades = self._by_order.get(order_id, {}).values()
        return sorted((self.fill(trade, client_id, market) for trade in trades), key=lambda fill: fill.at)

    def fill(self, trade: Mapping[str, Any], client_id: str, market: Market) -> Fill:
        """Return a trade of one of our orders as a fill."""
        fee, currency = _fee(trade)
        return Fill(
            key=Key(self._venue, market.listing.symbol),
            trade_id=str(trade["id"]),
            client_id=client_id,
            side=Side(trade["side"]),
            quantity=market.quantity(decimal(trade.get("amount")) or ZERO),
            price=decimal(trade.get("price")) or ZERO,
            fee=fee,
            fee_currency=currency,
            at=float(trade.get("timestamp") or 0) / 1000,
        )

    def filled(self, order_id: str, market: Market) -> Decimal:
        """Return the sum of an order's fills that are known."""
        return sum((fill.quantity for fill in self.fills(order_id, "", market)), ZERO)


def whole_fill(order: Mapping[str, Any], intent: Intent, filled: Decimal) -> Fill:
    """Return all that filled of an order as one fill, for exchanges that list no trades."""
    fee, currency = _fee(order)
    price = decimal(order.get("average")) or decimal(order.get("price")) or ZERO
    at = float(order.get("lastTradeTimestamp") or order.get("timestamp") or intent.at * 1000) / 1000
    trade_id = f"{order.get('id') or intent.client_id}:{filled.normalize():f}"
    return Fill(intent.key, trade_id, intent.client_id, intent.side, filled, price, fee, currency, at)


def said_client_id(info: object) -> str | None:
    """Return the client order id in what an exchange said, where it has one."""
    if not isinstance(info, Mapping):
        return None
    return next((str(info[field]) for field in CLIENT_ID_FIELDS if info.get(field)), None)


def forced(info: object) -> str:
    """Return what an exchange did by itself, an empty string where an order or a trade is somebody's own."""
    if not isinstance(info, Mapping):
        return ""
    client_id = said_client_id(info) or ""
    words = [str(value) for value in _values(info)]
    if client_id.startswith("adl_autoclose") or any(word in DELEVERAGINGS for word in words):
        return "auto-deleveraging"
    if client_id.startswith("autoclose-") or any(word in LIQUIDATIONS for word in words) or info.get("liquidation"):
        return "liquidation"
    creation = str(info.get("createType") or "")
    return "liquidation" if "Liq" in creation else "auto-deleveraging" if "Adl" in creation else ""


def _values(info: Mapping[str, Any]) -> Iterable[object]:
    return (info.get(name) for name in ("o", "ot", "x", "category", "execType", "orderType", "type", "tradeType"))


def _fee(said: Mapping[str, Any]) -> tuple[Decimal, str]:
    """Return fee and currency; of several fees the sum of those in the first one's currency."""
    fees = [fee for fee in (said.get("fees") or [said.get("fee")]) if fee and decimal(fee.get("cost")) is not None]
    if not fees:
        return ZERO, ""
    currency = str(fees[0].get("currency") or "")
    same = (decimal(fee.get("cost")) or ZERO for fee in fees if str(fee.get("currency") or "") == currency)
    return sum(same, ZERO), currency
