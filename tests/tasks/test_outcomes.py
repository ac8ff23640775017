"""What a venue says of an order, when it says too little, and what is sent next because of it."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest

from portfoliod.errors import OrderUnknown
from portfoliod.model import IntentStatus, Standing
from portfoliod.venues import OrderReport, PositionMoved
from tests.harness.workspace import Files
from tests.journal.rows import new_intent
from tests.tasks.scripted_venue import BTC, ETH, Trading, fill_of, trade, unfilled

BOUGHT = Decimal("0.2")
"""Bitcoin for the whole account."""


def test_an_order_that_was_seen_is_not_absent_because_one_look_up_misses_it(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        trading.want(trend=1.0)
        worker = await trading.decided()
        venue.trouble["place", BTC.symbol] = OrderUnknown("timeout")
        await worker.look()
        (intent,) = venue.placed
        venue.found.append(OrderReport(intent.client_id, IntentStatus.WORKING, Decimal(0)))
        assert (await worker.look()).standing is Standing.UNKNOWN
        for _ in range(3):
            assert (await worker.look()).standing is Standing.LOCKED
        assert venue.placed == [intent]
        venue.found.append(venue.filled(intent))
        await worker.look()
        assert (await worker.look()).standing is Standing.IN_STEP
        assert venue.held == {BTC.symbol: BOUGHT}

    trade(files, scenario)


@pytest.mark.parametrize("status", [IntentStatus.CANCELLED, IntentStatus.REFUSED, IntentStatus.DONE])
def test_an_order_that_filled_nothing_is_sent_again_after_a_while_or_for_a_new_decision(
    files: Files, status: IntentStatus
) -> None:
    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        venue.answers.extend([unfilled(status)] * 2)
        trading.want(trend=1.0)
        first = (await trading.reconciler.once())[BTC]
        assert (first.standing, len(venue.placed)) == (Standing.REFUSED, 1)
        assert first.again is not None
        assert first.again > 0
        worker = trading.reconciler.worker(BTC)
        for _ in range(3):
            worker.moved()
            woken = await worker.look()
            assert woken.again is not None
            assert 0 < woken.again <= first.again
        assert len(venue.placed) == 1
        trading.want(trend=0.5)
        await trading.reconciler.once()
        assert [intent.quantity for intent in venue.placed] == [BOUGHT, BOUGHT / 2]

    trade(files, scenario)


def test_an_order_is_open_until_the_trades_that_the_venue_counts_are_known(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        venue.answers.append(venue.filled_without_trades)
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        (intent,) = venue.placed
        for fills in ((), (fill_of(intent, "0.25", "a"),)):
            venue.found.append(OrderReport(intent.client_id, IntentStatus.DONE, intent.quantity, fills))
            assert (await worker.look()).standing is Standing.UNKNOWN
            assert list(trading.journal.open_intents) == [intent.client_id]
        rest = (fill_of(intent, "0.75", "b"),)
        venue.found.append(OrderReport(intent.client_id, IntentStatus.DONE, intent.quantity, rest))
        assert (await worker.look()).standing is Standing.IN_STEP
        assert trading.journal.open_intents == {}
        assert trading.journal.locks == {}
        assert trading.journal.books[BTC].expected == BOUGHT
        assert venue.placed == [intent]

    trade(files, scenario)


def test_an_order_is_not_sent_if_the_position_moves_while_it_is_journaled(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        venue, loop = trading.venue, asyncio.get_running_loop()
        events = []

        def move_at_the_next_turn() -> None:
            # The look does not let go of the loop between its price and the journal's flush.
            events.append(loop.create_task(trading.reconciler.happened("main", PositionMoved(BTC.symbol))))

        trading.want(trend=1.0)
        worker = await trading.decided()
        venue.price_is_asked = move_at_the_next_turn
        look = await worker.look()
        assert (look.reason, venue.placed) == ("not sent", [])
        ((status, outcome),) = trading.rows("SELECT status, outcome FROM intents")
        assert (status, outcome.partition(":")[0]) == ("cancelled", "not sent")
        venue.price_is_asked = lambda: None
        await worker.look()
        assert [intent.quantity for intent in venue.placed] == [BOUGHT]
        await asyncio.gather(*events)

    trade(files, scenario)


def test_orders_a_minute_are_limited_across_markets_that_are_decided_together(files: Files) -> None:
    files.state("other", 0.2, symbol="ETHUSDT")
    files.state("third", 0.2, symbol="BNBUSDT")

    async def scenario(trading: Trading) -> None:
        trading.want(trend=0.2)
        looks = await trading.reconciler.once()
        assert len(trading.venue.placed) == 2
        assert sorted(look.standing for look in looks.values()).count(Standing.REFUSED) == 1

    weights = {"trend": 0.3, "other": 0.3, "third": 0.3}
    trade(files, scenario, weights=weights, settings="[risk]\nmax_orders_per_minute = 2")


def test_an_unexpected_exception_in_one_market_leaves_the_others_trading(files: Files) -> None:
    files.state("other", 0.5, symbol="ETHUSDT")

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        trading.want(trend=0.5)
        await trading.decided()
        venue.trouble["price", BTC.symbol] = KeyError("last")
        broken, healthy = trading.reconciler.worker(BTC), trading.reconciler.worker(ETH)
        look = await broken.look()
        assert look.standing is Standing.UNKNOWN
        assert look.again is not None
        await healthy.look()
        assert [intent.key for intent in venue.placed] == [ETH]
        assert trading.halted() == ""

    trade(files, scenario, weights={"trend": 0.5, "other": 0.5})


def test_a_resync_asks_for_positions_that_are_newer_than_itself(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        trading.want(trend=1.0)
        await trading.reconciler.once()
        before = asyncio.get_running_loop().time()
        trading.reconciler.look_at_everything()
        venue.asked_newer_than.clear()
        await trading.reconciler.worker(BTC).look()
        assert venue.asked_newer_than
        assert min(venue.asked_newer_than) >= before

    trade(files, scenario)


def test_a_trade_counts_once_a_market(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        journal = trading.journal
        for key in (BTC, ETH):
            await journal.take_over(key, Decimal(0), 0.0)
        _, intent = new_intent(journal, BTC, "0.5")
        fill = fill_of(intent, trade="7")
        elsewhere = msgspec.structs.replace(fill, key=ETH)
        assert await journal.record_fills([fill, fill, elsewhere]) == [fill, elsewhere]
        assert await journal.record_fills([fill, elsewhere]) == []
        assert {key: book.expected for key, book in journal.books.items()} == dict.fromkeys((BTC, ETH), Decimal("0.5"))
        assert trading.rows("SELECT expected FROM books") == [("0.5",), ("0.5",)]

    trade(files, scenario)
