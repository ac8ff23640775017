"""Sums that a venue tells, turned into fills that add up to them."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from portfoliod.model import ZERO, Fill, Key, Side
from portfoliod.reconciler.increment import increment

KEY = Key("main", "ETH/USDT:USDT")
TRADES = st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 10**6), st.integers(-50, 50)), min_size=1, max_size=8)
"""Quantities in thousandths, prices in cents, fees in cents."""


def whole_of(trades: list[tuple[int, int, int]]) -> Fill:
    """Return the sum of some trades as a venue tells it."""
    quantity = sum((Decimal(amount) for amount, _, _ in trades), ZERO) / 1000
    cost = sum((Decimal(amount) * price for amount, price, _ in trades), ZERO) / 100_000
    fee = sum((Decimal(fee) for _, _, fee in trades), ZERO) / 100
    return Fill(KEY, f"7:{quantity}", "ours", Side.BUY, quantity, cost / quantity, fee, "USDT", 1.0)


@given(trades=TRADES, looks=st.sets(st.integers(1, 8)))
def test_increments_add_up_to_the_last_sum_whenever_sums_were_told(
    trades: list[tuple[int, int, int]], looks: set[int]
) -> None:
    """Quantity, cost and fee are those of the whole, no id comes twice, and a sum told again adds nothing."""
    known: list[Fill] = []
    for look in sorted({min(look, len(trades)) for look in looks} | {len(trades)}):
        whole = whole_of(trades[:look])
        more = increment(whole, known)
        assert more is not None
        known.append(more)
        assert increment(whole, known) is None
    whole = whole_of(trades)
    assert sum((fill.quantity for fill in known), ZERO) == whole.quantity
    cost = sum((fill.quantity * fill.price for fill in known), ZERO)
    assert abs(cost - whole.quantity * whole.price) < Decimal("1e-18") * (1 + cost)
    assert sum((fill.fee for fill in known), ZERO) == whole.fee
    assert len({fill.trade_id for fill in known}) == len(known)
    assert all(fill.quantity > 0 and fill.price > 0 for fill in known)


def test_what_single_trades_told_counts() -> None:
    """Trades that a stream told before, under ids of their own, are taken off the sum."""
    whole = whole_of([(1000, 10_000, 10)])
    trade = msgspec.structs.replace(whole, trade_id="t1", quantity=Decimal("0.4"), fee=Decimal("0.04"))
    more = increment(whole, [trade])
    assert more is not None
    assert (more.quantity, more.price, more.fee) == (Decimal("0.6"), Decimal(100), Decimal("0.06"))


def test_a_price_that_the_driver_guessed_is_the_price_of_what_is_missing() -> None:
    """It says nothing of what was paid before: 0.9 at 100 and a price of 99 now do not mean that 0.1 cost 90."""
    before, now = whole_of([(900, 10_000, 0)]), whole_of([(1000, 9_900, 0)])
    more = increment(now, [before], guessed=True)
    assert more is not None
    assert (more.quantity, more.price) == (Decimal("0.1"), Decimal(99))
    told = increment(now, [before])
    assert told is not None
    assert told.price == Decimal(90)


def test_a_sum_that_shrank_adds_nothing() -> None:
    """A venue that takes a fill back is not believed here: the position decides."""
    assert increment(whole_of([(400, 10_000, 0)]), [whole_of([(1000, 10_000, 0)])]) is None


def test_an_average_that_cannot_be_leaves_the_price_as_it_was_told() -> None:
    """Of sums that yield no positive price for what is missing the average is taken, also where it is not known."""
    cheap, dear = whole_of([(1000, 100, 0)]), whole_of([(400, 10_000, 0)])
    more = increment(cheap, [dear])
    assert more is not None
    assert more.price == cheap.price
    unknown = msgspec.structs.replace(cheap, price=ZERO)
    more = increment(unknown, [dear])
    assert more is not None
    assert more.price == 0
