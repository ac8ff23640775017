"""On a venue that cannot look orders up, the position says what became of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

import pytest

from portfoliod.commands.switches import unlock
from portfoliod.errors import OrderUnknown, VenueUnreachable
from portfoliod.model import Intent, IntentStatus, Standing
from portfoliod.reconciler import Look
from portfoliod.venues import OrderReport
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, PRICES, Trading, fill_of, trade

BOUGHT = Decimal("0.2")


def lost(trading: Trading, part: str) -> Callable[[Intent], OrderReport]:
    """Return the answer that fills a part of an order and then gets lost."""

    def answer(intent: Intent) -> OrderReport:
        held = trading.venue.held
        held[intent.key.symbol] = held.get(intent.key.symbol, Decimal(0)) + intent.signed * Decimal(part)
        raise OrderUnknown("timeout")

    return answer


async def order_lost(trading: Trading, part: str = "0") -> Look:
    """Send an order whose answer gets lost after a part of it was filled, and look what became of it."""
    trading.venue.finds_orders = False
    trading.venue.answers.append(lost(trading, part))
    trading.want(trend=1.0)
    worker = await trading.decided()
    assert (await worker.look()).standing is Standing.UNKNOWN
    return await worker.look()


def outcome(trading: Trading) -> tuple[str, str]:
    """Return the status of the first intent and what was said of it."""
    ((status, text),) = trading.rows("SELECT status, outcome FROM intents ORDER BY number LIMIT 1")
    return status, text


def test_a_position_that_moved_by_the_order_is_its_fill(files: Files) -> None:
    """One fill stands for all of them, at the price of now; nothing is sent again."""

    async def scenario(trading: Trading) -> None:
        look = await order_lost(trading, "1")
        (intent,) = trading.venue.placed
        assert (look.standing, outcome(trading)) == (
            Standing.IN_STEP,
            ("done", "the position shows that it filled"),
        )
        ((trade_id, client_id, quantity, price, fee, currency),) = trading.rows(
            "SELECT trade_id, client_id, quantity, price, fee, fee_currency FROM fills"
        )
        assert (trade_id, client_id) == (f"{intent.client_id}-position", intent.client_id)
        assert (Decimal(quantity), Decimal(price), Decimal(fee), currency) == (BOUGHT, PRICES["BTC"], Decimal(0), "")
        assert trading.journal.books[BTC].expected == BOUGHT

    trade(files, scenario)


def test_a_position_that_did_not_move_shows_that_the_order_never_arrived(files: Files) -> None:
    """It is sent again after a while, under another id."""

    async def scenario(trading: Trading) -> None:
        look = await order_lost(trading)
        assert outcome(trading) == ("cancelled", "the position shows that it never arrived")
        assert look.standing is Standing.REFUSED
        assert look.again is not None
        assert look.again > 0
        trading.reconciler.worker(BTC).decided_anew(PRICES["BTC"])
        await trading.reconciler.worker(BTC).look()
        assert len({intent.client_id for intent in trading.venue.placed}) == 2
        assert trading.venue.held == {BTC.symbol: BOUGHT}

    trade(files, scenario)


def test_a_position_that_moved_by_a_part_shows_a_part(files: Files) -> None:
    """The rest is planned anew."""

    async def scenario(trading: Trading) -> None:
        await order_lost(trading, "0.25")
        assert outcome(trading) == ("cancelled", "the position shows that a part of it filled")
        assert [intent.quantity for intent in trading.venue.placed] == [BOUGHT, BOUGHT * 3 / 4]
        assert trading.venue.held == {BTC.symbol: BOUGHT}
        assert trading.journal.books[BTC].expected == BOUGHT

    trade(files, scenario)


@pytest.mark.parametrize("part", ["-1", "1.5"])
def test_a_position_that_the_order_does_not_explain_leaves_it_unknown(files: Files, part: str) -> None:
    """The key is locked, and says why, until the position makes sense."""

    async def scenario(trading: Trading) -> None:
        look = await order_lost(trading, part)
        (intent,) = trading.venue.placed
        assert look.standing is Standing.LOCKED
        moved = f"{(BOUGHT * Decimal(part)).normalize():f}"
        assert look.reason == f"order {intent.client_id} does not explain the position: it moved by {moved}"
        worker = trading.reconciler.worker(BTC)
        await worker.look()
        assert list(trading.journal.open_intents) == [intent.client_id]
        trading.venue.held[BTC.symbol] = BOUGHT
        assert (await worker.look()).standing is Standing.IN_STEP
        assert trading.venue.placed == [intent]

    trade(files, scenario)


@pytest.mark.parametrize("seconds", ["absence_grace", "snapshot_lag"])
def test_the_position_is_asked_only_when_it_must_show_the_order(files: Files, seconds: str) -> None:
    """Before that it proves nothing."""

    async def scenario(trading: Trading) -> None:
        setattr(trading.venue, seconds, 0.2)
        began = time.monotonic()
        look = await order_lost(trading)
        assert look.standing is Standing.UNKNOWN
        assert "not resolved yet" in look.reason
        trading.venue.held[BTC.symbol] = BOUGHT
        while trading.journal.open_intents:
            look = await trading.reconciler.worker(BTC).look()
        assert time.monotonic() - began >= 0.2
        assert outcome(trading)[0] == "done"
        assert trading.venue.placed[1:] == []

    trade(files, scenario)


def test_an_order_that_was_seen_is_not_absent_because_the_position_did_not_move(files: Files) -> None:
    """It may still fill: the key is locked until the position shows that it has."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        venue.finds_orders = False
        venue.answers.append(lambda intent: OrderReport(intent.client_id, IntentStatus.WORKING, Decimal(0)))
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        for held in (Decimal(0), BOUGHT / 2):
            venue.held[BTC.symbol] = held
            assert (await worker.look()).standing is Standing.LOCKED
        venue.held[BTC.symbol] = BOUGHT
        assert (await worker.look()).standing is Standing.IN_STEP
        assert len(venue.placed) == 1

    trade(files, scenario)


def test_what_was_recorded_of_an_order_already_is_not_counted_again(files: Files) -> None:
    """The position stands for the rest of it only."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        venue.finds_orders = False
        venue.answers.append(
            lambda intent: OrderReport(intent.client_id, IntentStatus.WORKING, BOUGHT / 4, (fill_of(intent, "0.25"),))
        )
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        venue.held[BTC.symbol] = BOUGHT
        await worker.look()
        fills = [Decimal(quantity) for (quantity,) in trading.rows("SELECT quantity FROM fills")]
        assert fills == [BOUGHT / 4, BOUGHT * 3 / 4]
        assert trading.journal.books[BTC].expected == BOUGHT

    trade(files, scenario)


def test_without_a_price_nothing_is_recorded_yet(files: Files) -> None:
    """The next look finds the same."""

    async def scenario(trading: Trading) -> None:
        trading.venue.finds_orders = False
        trading.venue.answers.append(lost(trading, "1"))
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        trading.venue.trouble["price", BTC.symbol] = VenueUnreachable("no ticker")
        assert (await worker.look()).standing is Standing.UNKNOWN
        assert trading.rows("SELECT * FROM fills") == []
        trading.venue.trouble.clear()
        assert (await worker.look()).standing is Standing.IN_STEP

    trade(files, scenario)


def test_the_ledger_has_no_position_of_the_account_to_go_by(files: Files) -> None:
    """The account holds its owner's too: the key waits for a person."""

    async def scenario(trading: Trading) -> None:
        look = await order_lost(trading, "1")
        assert look.standing is Standing.LOCKED
        assert "nothing shows what became" in look.reason

    trade(files, scenario, settings='[reconciler]\nposition_source = "ledger"\n')


def test_a_person_may_give_up_an_order_that_nothing_explains(files: Files) -> None:
    """Unlocking takes the position over as it is, counts the order as over, and trading goes on."""

    async def scenario(trading: Trading) -> None:
        await order_lost(trading, "-1")
        assert "unlocked" in unlock(trading.workspace, "BTC/USDT:USDT")
        await trading.journal.reread_switches()
        assert not trading.journal.open_intents
        assert outcome(trading) == ("cancelled", "given up by a person")
        worker = trading.reconciler.worker(BTC)
        look = await worker.look()
        while look.again == 0:
            look = await worker.look()
        assert look.standing is Standing.IN_STEP
        assert trading.venue.held == {BTC.symbol: BOUGHT}
        assert trading.venue.placed[1:] != []

    trade(files, scenario)
