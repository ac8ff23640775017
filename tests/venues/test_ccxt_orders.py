"""Orders through ccxt: sent once, whatever the answer is worth, and found again by their client order id."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from portfoliod.errors import KeysRefused, OrderRefused, OrderUnknown, VenueUnreachable
from portfoliod.model import IntentStatus
from portfoliod.venues import PositionMoved
from tests.emulators.binance import BinanceFutures, status_unknown
from tests.emulators.faults import (
    Answer,
    BusinessError,
    Delay,
    Fills,
    Hang,
    Lag,
    Late,
    OrderLooks,
    OrderMissing,
    Reset,
    Truncate,
    empty,
    garbled,
    html,
)
from tests.venues.exchanges import opened
from tests.venues.scenes import BINANCE, BOTH, OKX, On, Scene, filled_by, name_of, play

pytestmark = pytest.mark.slow  # an exchange and its client in each test

on_both = pytest.mark.parametrize("on", BOTH, ids=name_of)
Lost = Answer | Hang | Reset
LOST: Mapping[str, Callable[..., Lost]] = {
    "garbled": garbled,
    "empty": empty,
    "page-200": lambda *, processed: html(200, processed=processed),
    "page-502": lambda *, processed: html(502, processed=processed),
    "page-504": lambda *, processed: html(504, processed=processed),
    "json-500": lambda *, processed: Answer(status=500, body="{}", processed=processed),
    "status-unknown": status_unknown,
    "reset": lambda *, processed: Reset(processed=processed),
    "timeout": lambda *, processed: Hang(processed=processed),
}


@on_both
def test_an_answer_that_says_nothing_of_the_order_leaves_it_unknown(tmp_path: Path, on: On) -> None:
    """Each way to lose an answer: one request, an unknown outcome, and the look-up tells the truth."""

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            for name, lost in LOST.items():
                for processed in (False, True):
                    await lose(scene, lost(processed=processed), name)
            assert await scene.position() == scene.truth == Decimal("0.1") * len(LOST)

    async def lose(scene: Scene, fault: Lost, name: str) -> None:
        exchange = scene.exchange
        intent, trades, requests = scene.intent("0.1"), len(exchange.account.trades), exchange.count("place")
        exchange.faults.add("place", fault)
        await scene.unknown(intent)
        assert exchange.count("place") == requests + 1, name
        found = await scene.venue.find(intent)
        assert (found is not None) is fault.processed, name
        if fault.processed:
            report = await scene.settled(intent, found)
            assert (report.status, report.filled) == (IntentStatus.DONE, Decimal("0.1"))
        assert len(exchange.account.trades) == trades + fault.processed

    play(on, tmp_path, scenario, timeout_seconds=0.4)


@on_both
def test_a_reply_that_was_cut_is_no_refusal(tmp_path: Path, on: On) -> None:
    """An ExchangeError to ccxt; the order had filled."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.faults.add("place", Truncate())
        intent = scene.intent("0.2")
        await scene.unknown(intent)
        assert (await scene.settled(intent)).filled == Decimal("0.2") == scene.truth

    play(on, tmp_path, scenario)


@on_both
def test_an_order_that_is_missing_after_a_timeout_may_still_fill(tmp_path: Path, on: On) -> None:
    """OrderNotFound right after a timeout proves nothing: the order is found once it arrived, and never sent again."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.faults.add("place", Late(seconds=0.8, answer=Hang(processed=False)))
        intent = scene.intent("0.2")
        await scene.unknown(intent)
        assert await scene.venue.find(intent) is None
        with pytest.raises(OrderUnknown):
            await scene.venue.place(intent)
        assert scene.exchange.count("place") == 1, "not sent again while it may be on its way"
        await scene.exchange.until(lambda: scene.exchange.account.trades)
        report = await scene.settled(intent, await scene.venue.place(intent))
        assert (report.status, report.filled) == (IntentStatus.DONE, Decimal("0.2"))
        assert scene.exchange.count("place") == 1
        assert scene.truth == Decimal("0.2")

    play(on, tmp_path, scenario, timeout_seconds=0.3)


@on_both
def test_a_filled_id_is_not_used_again(tmp_path: Path, on: On) -> None:
    """The exchanges would take a second order under the id of a filled one; another process does not send it either."""

    async def scenario(scene: Scene) -> None:
        intent = scene.intent("0.2")
        first = await scene.settled(intent, await scene.venue.place(intent))
        again = await scene.venue.place(intent)
        async with opened(scene.exchange, on.kind, tmp_path) as other:
            third = await other.place(intent)
        assert first.filled == again.filled == third.filled == Decimal("0.2") == scene.truth
        assert {fill.trade_id for fill in first.fills} == {fill.trade_id for fill in third.fills}
        assert scene.exchange.count("place") == 1

    play(on, tmp_path, scenario)


@on_both
def test_a_duplicate_client_id_adopts_the_order_that_has_it(tmp_path: Path, on: On) -> None:
    """The exchange says that the id is taken, though its look-up did not find it before: that order is ours."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.default_fills = Fills(after=0.6)
        intent = scene.intent("0.2")
        working = await scene.venue.place(intent)
        assert not working.status.terminal
        async with opened(scene.exchange, on.kind, tmp_path) as other:
            for kind in ("order", "open_orders", "orders"):
                scene.exchange.faults.add(kind, OrderMissing(), times=2 if on is OKX and kind == "orders" else 1)
            adopted = await Scene(on, scene.exchange, other).settled(intent, await other.place(intent))
        assert (adopted.status, adopted.filled) == (IntentStatus.DONE, Decimal("0.2"))
        assert scene.exchange.count("place") == 2, "the second was refused as a duplicate"
        assert scene.truth == Decimal("0.2") == (await scene.settled(intent)).filled

    play(on, tmp_path, scenario)


def test_an_acknowledgement_without_a_state_is_read_back(tmp_path: Path) -> None:
    """OKX names only the order: the look-up says what it came to, and one that fails leaves the order working."""

    async def scenario(scene: Scene) -> None:
        report = await scene.venue.place(scene.intent("0.2"))
        assert (report.status, report.filled, filled_by(report.fills)) == (IntentStatus.DONE, *[Decimal("0.2")] * 2)
        scene.exchange.faults.add("order", Reset(processed=False), times=2)
        intent = scene.intent("0.2")
        working = await scene.venue.place(intent)
        assert working.status in {IntentStatus.WORKING, IntentStatus.DONE}
        assert (await scene.settled(intent, working)).filled == Decimal("0.2")

    play(OKX, tmp_path, scenario)


@on_both
def test_a_fill_after_the_acknowledgement_is_followed(tmp_path: Path, on: On) -> None:
    """Taken first, filled in parts later: working, then done, with no fill told twice."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.default_fills = Fills(after=0.3, parts=3, between=0.05)
        async with scene.listening():
            intent = scene.intent("0.3")
            report = await scene.venue.place(intent)
            assert (report.status, report.filled) == (IntentStatus.WORKING, Decimal(0))
            done = await scene.settled(intent, report)
            assert len(done.fills) == 3
            await scene.caught_up()
            assert {fill.trade_id for fill in scene.fills()} <= {fill.trade_id for fill in done.fills}

    play(on, tmp_path, scenario)


@on_both
def test_what_a_cancelled_order_filled_counts(tmp_path: Path, on: On) -> None:
    """Half filled and then expired, and "cancelled, filled 0" of an order that filled: the trades are asked for."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.default_fills = Fills(share=Decimal("0.5"), then="expired")
        half = await scene.order("0.4")
        assert (half.status, half.filled) == (IntentStatus.CANCELLED, Decimal("0.2"))
        scene.exchange.default_fills = Fills()
        scene.exchange.faults.add_lasting("order", OrderLooks("canceled"))
        scene.exchange.faults.add("place", Hang(processed=True))
        intent = scene.intent("0.4")
        await scene.unknown(intent)
        report = await scene.venue.find(intent)
        assert report is not None
        assert report.filled == filled_by(report.fills) == Decimal("0.4")
        assert await scene.position() == Decimal("0.6")

    play(on, tmp_path, scenario, timeout_seconds=0.5)


@on_both
def test_an_open_order_is_cancelled_and_a_closed_one_is_no_error(tmp_path: Path, on: On) -> None:
    """Also from a process that only knows the client order id."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.default_fills = Fills(share=Decimal("0.5"), then="new")
        intent = scene.intent("0.4")
        await scene.venue.place(intent)
        async with opened(scene.exchange, on.kind, tmp_path) as other:
            await other.cancel(intent)
            await other.cancel(intent)
        report = await scene.settled(intent)
        assert (report.status, report.filled) == (IntentStatus.CANCELLED, Decimal("0.2"))
        await scene.venue.cancel(intent)

    play(on, tmp_path, scenario)


def test_a_cooling_off_is_a_refusal_and_no_matter_of_keys(tmp_path: Path) -> None:
    """-4192 is a PermissionDenied to ccxt; the daemon must not halt for it."""

    async def scenario(scene: Scene) -> None:
        for _ in range(3):
            scene.exchange.faults.add("place", BusinessError(code=-4192, message="Cooling-off period."))
            with pytest.raises(OrderRefused):
                await scene.venue.place(scene.intent("0.2"))
        assert (await scene.order("0.2")).filled == Decimal("0.2")

    play(BINANCE, tmp_path, scenario)


@pytest.mark.parametrize(("on", "code"), [(BINANCE, -2015), (OKX, 50111)], ids=["binanceusdm", "okx"])
def test_keys_are_refused_only_when_that_is_certain(tmp_path: Path, on: On, code: int) -> None:
    """One refusal after success is a hiccup, of a read and of an order; a second one in a row is certain."""

    async def scenario(scene: Scene) -> None:
        hiccup = BusinessError(code=code)
        scene.exchange.faults.add("place", hiccup)
        with pytest.raises(OrderRefused):
            await scene.venue.place(scene.intent("0.2"))
        await scene.order("0.2")
        scene.exchange.faults.add("positions", hiccup)
        with pytest.raises(Exception, match="no usable answer"):
            await scene.position()
        assert await scene.position() == Decimal("0.2")
        scene.exchange.faults.add("place", hiccup, times=2)
        with pytest.raises(OrderRefused):
            await scene.venue.place(scene.intent("0.2"))
        with pytest.raises(KeysRefused):
            await scene.venue.place(scene.intent("0.2"))

    play(on, tmp_path, scenario)


@on_both
def test_revoked_keys_are_noticed_at_the_first_request(tmp_path: Path, on: On) -> None:
    """Reads and orders say that the keys are refused; nothing was sent twice."""

    async def scenario(scene: Scene) -> None:
        exchange = scene.exchange
        if isinstance(exchange, BinanceFutures):
            exchange.keys_revoked = True
        else:
            exchange.revoke_keys()
        for ask in (scene.position, scene.venue.equity, scene.venue.verify, scene.venue.connect):
            with pytest.raises(KeysRefused):
                await ask()
        with pytest.raises(KeysRefused):
            await scene.venue.place(scene.intent("0.2"))
        assert exchange.count("place") == 1

    play(on, tmp_path, scenario)


@on_both
@pytest.mark.parametrize("seconds", [90.0, -90.0])
def test_a_clock_that_is_off_is_mended_at_the_next_request(tmp_path: Path, on: On, seconds: float) -> None:
    """It steps while the venue is connected: a read works at once; an order is refused, and the next one works."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.account.clock_offset = seconds
        with pytest.raises(OrderRefused):
            await scene.venue.place(scene.intent("0.2"))
        assert (await scene.order("0.2")).filled == Decimal("0.2") == scene.truth
        scene.exchange.account.clock_offset = -seconds
        assert await scene.position() == Decimal("0.2")
        async with opened(scene.exchange, on.kind, tmp_path) as other:
            assert (await other.positions(time.monotonic())).quantities

    play(on, tmp_path, scenario)


@on_both
def test_many_places_of_one_intent_are_one_request(tmp_path: Path, on: On) -> None:
    """Also when the first of them is given up by who asked for it."""

    async def scenario(scene: Scene) -> None:
        intent = scene.intent("0.2")
        scene.exchange.faults.add("place", Delay(before=0.2, after=0.2))
        first = asyncio.ensure_future(scene.venue.place(intent))
        await scene.exchange.until(lambda: scene.exchange.count("place"))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        with pytest.raises(OrderUnknown):
            await scene.venue.place(intent)
        await scene.exchange.until(lambda: scene.exchange.account.trades)
        report = await scene.settled(intent, await scene.venue.place(intent))
        assert report.filled == Decimal("0.2") == scene.truth
        assert scene.exchange.count("place") == 1

    play(on, tmp_path, scenario)


@on_both
def test_trades_that_rest_shows_later_complete_the_report(tmp_path: Path, on: On) -> None:
    """An order is done before its trades can be read: the report says so much, and a later look has them all."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.faults.add("trades", Lag(5.0), times=2)
        intent = scene.intent("0.2")
        report = await scene.venue.place(intent)
        assert (report.status, report.filled, report.fills) == (IntentStatus.DONE, Decimal("0.2"), [])
        assert filled_by((await scene.settled(intent, report)).fills) == Decimal("0.2")

    play(on, tmp_path, scenario)


@on_both
def test_an_order_of_somebody_else_is_a_move_and_no_fill_of_ours(tmp_path: Path, on: On) -> None:
    """A manual trade is told as a position that moved."""

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            scene.manual("0.3")
            await scene.hears(PositionMoved, lambda event: event.symbol == scene.symbol)
            report = await scene.order("0.1")
            await scene.caught_up()
            assert {fill.client_id for fill in scene.fills()} <= {report.client_id}

    play(on, tmp_path, scenario)


@on_both
def test_an_exchange_that_lists_no_trades_tells_sums(tmp_path: Path, on: On) -> None:
    """A part, then the whole: each sum is one fill under an id of its own, and no stream tells trades beside them."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.default_fills = Fills(after=0.2, parts=2, between=1.0)
        async with scene.listening():
            intent = scene.intent("0.4")
            reports = [await scene.venue.place(intent)]
            while not reports[-1].status.terminal:
                found = await scene.venue.find(intent)
                assert found is not None
                if found.filled != reports[-1].filled:
                    reports.append(found)
            assert [report.filled for report in reports] == [Decimal(0), Decimal("0.2"), Decimal("0.4")]
            assert all(report.summed and filled_by(list(report.fills)) == report.filled for report in reports)
            names = [fill.trade_id for report in reports for fill in report.fills]
            assert len(set(names)) == 2
            assert {name.partition(":")[2] for name in names} == {"0.2", "0.4"}
            assert scene.fills() == []
            await scene.hears(PositionMoved)

    no_trades = {"fetchMyTrades": False, "fetchOrderTrades": False}
    play(on, tmp_path, scenario, options={"has": no_trades})


def test_a_list_of_orders_that_knows_no_such_order_is_no_answer(tmp_path: Path) -> None:
    """It was not asked for one: the venue does not answer, and nobody takes that for the driver's mistake."""

    async def scenario(scene: Scene) -> None:
        intent = scene.intent("0.2")
        scene.exchange.faults.add("open_orders", BusinessError(code=-2013))
        with pytest.raises(VenueUnreachable):
            await scene.venue.find(intent)
        assert await scene.venue.find(intent) is None

    play(BINANCE, tmp_path, scenario)
