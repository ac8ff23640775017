"""Rows of the journal as tests make them."""

from __future__ import annotations

from decimal import Decimal

from portfoliod.journal import Journal
from portfoliod.model import Contribution, Decision, Fill, Intent, Key, Side

BTC = Key("paper", "BTC/USDT:USDT")
ETH = Key("paper", "ETH/USDT:USDT")


def new_intent(journal: Journal, key: Key = BTC, quantity: str = "0.5") -> tuple[int, Intent]:
    """Return the number and the intent of an order that was not journaled yet."""
    number, client_id = journal.next_client_id(key, 0.0)
    side = Side.BUY if Decimal(quantity) > 0 else Side.SELL
    return number, Intent(client_id, key, side, abs(Decimal(quantity)), False, 1, 1000.0 + number, "open")


def new_decision(journal: Journal, key: Key = BTC, quantity: str = "0.12345678") -> Decision:
    """Return a decision that was not journaled yet."""
    size = Decimal(quantity)
    return Decision(
        number=journal.next_decision(),
        key=key,
        at=1000.5,
        exposure=Decimal("0.3"),
        account_value=Decimal(10_000),
        notional=Decimal(3000),
        price=Decimal("60123.4"),
        quantity=size,
        contributions=(Contribution("carry", Decimal("-0.5"), Decimal("0.6")), Contribution("trend", size, size)),
    )


def new_fill(trade_id: str, quantity: str, *, key: Key = BTC, client_id: str = "order") -> Fill:
    """Return a fill of a signed quantity."""
    signed = Decimal(quantity)
    side = Side.BUY if signed > 0 else Side.SELL
    return Fill(key, trade_id, client_id, side, abs(signed), Decimal("60000.1"), Decimal("0.01"), "USDT", 1001.25)
