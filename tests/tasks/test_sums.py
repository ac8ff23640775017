"""Venues that list no trades: they tell how much of an order filled, and the journal has each part once."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from portfoliod.model import Intent, IntentStatus, Standing
from portfoliod.venues import OrderReport
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ScriptedVenue, Trading, fill_of, trade

BOUGHT = Decimal("0.2")
"""Bitcoin for the whole account."""


def so_far(intent: Intent, share: str, status: IntentStatus) -> OrderReport:
    """Return what a venue of sums says of an order of which a share filled."""
    whole = fill_of(intent, share, f"7:{share}")
    return OrderReport(intent.client_id, status, whole.quantity, (whole,), summed=True)


class SummingVenue(ScriptedVenue):
    """An account that takes every order and fills 0.4 of it at once."""

    async def place(self, intent: Intent) -> OrderReport:
        """Fill a part."""
        self.placed.append(intent)
        self.held[intent.key.symbol] = intent.signed
        return so_far(intent, "0.4", IntentStatus.WORKING)


def fills(trading: Trading) -> list[tuple[str, Decimal]]:
    """Return the journaled fills."""
    return [(name, Decimal(quantity)) for name, quantity in trading.rows("SELECT trade_id, quantity FROM fills")]


def test_the_parts_of_an_order_are_counted_once_each(files: Files) -> None:
    """A part, the same part again, the whole: two fills, and the order is done."""

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        (intent,) = trading.venue.placed
        trading.venue.found.append(so_far(intent, "0.4", IntentStatus.WORKING))
        await worker.look()
        assert fills(trading) == [("7:0.4", BOUGHT * Decimal("0.4"))]
        trading.venue.found.append(so_far(intent, "1", IntentStatus.DONE))
        await worker.look()
        assert fills(trading) == [("7:0.4", BOUGHT * Decimal("0.4")), ("7:1", BOUGHT * Decimal("0.6"))]
        assert (await worker.look()).standing is Standing.IN_STEP
        assert trading.journal.books[BTC].expected == BOUGHT
        assert trading.venue.placed == [intent]

    trade(files, scenario, SummingVenue())


def test_a_price_that_the_venue_did_not_tell_is_no_sum(files: Files) -> None:
    """The price fell between two looks at an order: the second part is journaled at the later price."""

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        (intent,) = trading.venue.placed
        whole = so_far(intent, "1", IntentStatus.DONE)
        lower = whole.fills[0].price * Decimal("0.99")
        fill = msgspec.structs.replace(whole.fills[0], price=lower)
        trading.venue.found.append(msgspec.structs.replace(whole, fills=(fill,), guessed=True))
        await worker.look()
        prices = [Decimal(price) for (price,) in trading.rows("SELECT price FROM fills")]
        assert prices == [whole.fills[0].price, lower]

    trade(files, scenario, SummingVenue())


def test_a_part_that_was_told_before_a_kill_is_not_told_again_after_it(files: Files) -> None:
    """The venue does not remember what it told; the journal does."""
    venue = SummingVenue()

    async def before(trading: Trading) -> None:
        trading.want(trend=1.0)
        await (await trading.decided()).look()

    async def after(trading: Trading) -> None:
        (intent,) = venue.placed
        again = ScriptedVenue()
        again.held = venue.held
        again.found.append(so_far(intent, "1", IntentStatus.DONE))
        trading.desk.connections["main"].venue.inner = again
        worker = await trading.decided()
        await worker.look()
        assert (await worker.look()).standing is Standing.IN_STEP
        assert sum(quantity for _, quantity in fills(trading)) == BOUGHT == trading.journal.books[BTC].expected
        assert again.placed == []

    trade(files, before, venue)
    trade(files, after)


def test_an_order_that_ended_and_filled_more_after_all_is_counted_once(files: Files) -> None:
    """Cancelled with a part filled; the position shows more, and the sum that is asked for then says so too."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        (intent,) = venue.placed
        venue.held[BTC.symbol] = intent.signed * Decimal("0.4")
        venue.found.append(so_far(intent, "0.4", IntentStatus.CANCELLED))
        venue.trouble["price", BTC.symbol] = OSError("no price: nothing more is sent")
        await worker.look()
        venue.held[BTC.symbol] = intent.signed
        venue.found.append(so_far(intent, "1", IntentStatus.DONE))
        worker.look_afresh()
        await worker.look()
        assert sum(quantity for _, quantity in fills(trading)) == BOUGHT == trading.journal.books[BTC].expected
        assert not trading.journal.locks

    trade(files, scenario, SummingVenue())
