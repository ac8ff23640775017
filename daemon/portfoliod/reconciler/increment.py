"""What a sum that a venue tells of an order adds to the fills that are known of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from portfoliod.model import ZERO, Fill


def increment(whole: Fill, known: Sequence[Fill], *, guessed: bool = False) -> Fill | None:
    """Return the fill that brings what is known of an order up to the whole, None where nothing is missing.

    Args:
        whole: all that filled of the order, at the average price and with the whole fee. Its trade id differs from
            that of every other sum of the order.
        known: the order's fills that are known.
        guessed: whether the whole's price is a guess at the price of now.

    Returns:
        A fill of the whole's trade id over the missing quantity: at the price and with the fee that make the sums
        right, or at the whole's price where that is a guess, or the sums yield none.
    """
    quantity = whole.quantity - sum((fill.quantity for fill in known), ZERO)
    if quantity <= 0:
        return None
    cost = whole.quantity * whole.price - sum((fill.quantity * fill.price for fill in known), ZERO)
    paid = sum((fill.fee for fill in known if fill.fee_currency == whole.fee_currency), ZERO)
    told = whole.price > 0 and not guessed
    price = cost / quantity if told and cost > 0 else whole.price
    return msgspec.structs.replace(whole, quantity=quantity, price=price, fee=whole.fee - paid)
