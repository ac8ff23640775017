"""What every venue must do, whatever is behind it: `VenueContract`, to be inherited by the tests of each venue.

    class TestMyVenue(VenueContract):
        @pytest.fixture
        def stages(self, tmp_path: Path) -> StageFactory:
            return lambda: a context manager that yields a Stage

A scenario runs on one stage and in one event loop. It knows nothing of the venue but the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from portfoliod.errors import OrderRefused, UnknownSymbol
from portfoliod.model import ZERO, Fill, Intent, IntentStatus, Key, Side
from portfoliod.venues import Filled, OrderReport, Venue

PATIENCE = 30.0
"""Seconds after which what was not seen counts as never happening."""


@dataclass(frozen=True)
class Stage:
    """A connected venue, flat in `symbol`, and what a scenario must know of it."""

    venue: Venue
    symbol: str
    """Unified; its price hardly moves while a scenario runs."""
    forms: Sequence[str]
    """Every way in which a strategy may write it."""
    quote: str
    """The currency of `equity`."""
    quantity: Decimal
    """A multiple of twice the step, above every minimum; four times as much can be paid for."""
    reopen: Callable[[], Awaitable[Venue]]
    """Returns a new instance, connected to the same account."""
    price_noise: Decimal = ZERO
    """By which share of itself the price may move within a scenario."""

    @property
    def key(self) -> Key:
        """What is traded."""
        return Key(self.venue.name, self.symbol)

    async def position(self) -> Decimal:
        """Return what the account holds now."""
        snapshot = await self.venue.positions(time.monotonic())
        return snapshot.quantities.get(self.symbol, ZERO)

    async def equity(self) -> Decimal:
        """Return what the account is worth now."""
        equity = await self.venue.equity()
        assert equity is not None
        return equity

    async def settled(self, intent: Intent, report: OrderReport) -> OrderReport:
        """Return what an order has come to, once it is final."""
        deadline = time.monotonic() + PATIENCE
        while not (report.status.terminal and sum(fill.quantity for fill in report.fills) == report.filled):
            assert time.monotonic() < deadline, f"the order never became final: {report}"
            await asyncio.sleep(0.02)
            found = await self.venue.find(intent)
            assert found is not None, "an order that was taken is not known any more"
            report = found
        return report

    async def trade(self, signed: Decimal, *, reduce_only: bool = False) -> OrderReport:
        """Send an order for a signed quantity and return what it came to."""
        intent = self.intent(signed, reduce_only=reduce_only)
        return await self.settled(intent, await self.venue.place(intent))

    def intent(self, signed: Decimal, *, reduce_only: bool = False, client_id: str | None = None) -> Intent:
        """Return an order for a signed quantity, under an id of its own unless one is given."""
        return Intent(
            client_id=client_id or uuid.uuid4().hex[:28],
            key=self.key,
            side=Side.BUY if signed > 0 else Side.SELL,
            quantity=abs(signed),
            reduce_only=reduce_only,
            decision=1,
            at=time.time(),
            reason="contract",
        )


StageFactory = Callable[[], AbstractAsyncContextManager[Stage]]


def on_stage(play: Callable[[Any, Stage], Awaitable[None]]) -> Callable[[Any, StageFactory], None]:
    """Turn a scenario into a test that pytest runs on a stage of its own."""

    def test(self: object, stages: StageFactory) -> None:
        async def run() -> None:
            async with stages() as stage:
                await play(self, stage)

        asyncio.run(run())

    test.__name__ = getattr(play, "__name__", "test")
    test.__doc__ = play.__doc__
    return test


class VenueContract:
    """The scenarios. A subclass says on which stages they play."""

    @pytest.fixture
    def stages(self) -> StageFactory:
        """Return what opens a stage; each scenario opens one."""
        raise NotImplementedError

    @on_stage
    async def test_every_form_of_a_symbol_means_the_same_market(self, stage: Stage) -> None:
        """A strategy may write a symbol in any form that is in use, in any case, with spaces around it."""
        for form in (*stage.forms, stage.symbol):
            for written in (form, form.lower(), f" {form} "):
                assert stage.venue.resolve(written) == stage.symbol, written

    @on_stage
    async def test_an_unknown_symbol_is_said_to_be_unknown(self, stage: Stage) -> None:
        """What the venue does not list is UnknownSymbol, with the text and a way out in it."""
        for text in ("NOSUCHCOINUSDT", "NOSUCH/COIN:COIN", "?", ""):
            with pytest.raises(UnknownSymbol) as caught:
                stage.venue.resolve(text)
            assert caught.value.what
            assert caught.value.mend
            assert text in caught.value.found

    @on_stage
    async def test_rules_are_sane(self, stage: Stage) -> None:
        """A market has a positive step, minimums that are not negative, and a minimum that lies on the step."""
        rules = stage.venue.rules(stage.symbol)
        assert rules.step > 0
        assert rules.min_quantity >= 0
        assert rules.min_quantity % rules.step == 0
        assert rules.min_notional >= 0
        assert rules.contract_size > 0
        assert rules.max_quantity is None or rules.max_quantity >= stage.quantity

    @on_stage
    async def test_a_price_is_positive_and_fresh(self, stage: Stage) -> None:
        """A price is a finite positive number, and as old as it says: not from before a moment ago, not from later."""
        price = await stage.venue.price(stage.symbol)
        assert price.value.is_finite()
        assert price.value > 0
        assert time.monotonic() - 30 < price.at <= time.monotonic()

    @on_stage
    async def test_a_snapshot_is_not_older_than_asked_for(self, stage: Stage) -> None:
        """`at` is never before `newer_than`, and never later than the answer."""
        for _ in range(3):
            asked = time.monotonic()
            snapshot = await stage.venue.positions(asked)
            assert asked <= snapshot.at <= time.monotonic()

    @on_stage
    async def test_a_snapshot_names_what_is_held_and_nothing_else(self, stage: Stage) -> None:
        """A flat market is not in a snapshot or is zero in it; a held one is there under its unified symbol."""
        assert await stage.position() == 0
        await stage.trade(stage.quantity)
        held = await stage.venue.positions(time.monotonic())
        assert held.quantities[stage.symbol] == stage.quantity
        await stage.trade(-stage.quantity, reduce_only=True)
        assert await stage.position() == 0

    @on_stage
    async def test_an_order_moves_the_position_by_what_it_filled(self, stage: Stage) -> None:
        """A market order is filled whole, and the position moves by exactly that."""
        expected = ZERO
        sizes = [stage.quantity, stage.quantity / 2, -stage.quantity, -stage.quantity / 2]
        for signed in sizes:
            report = await stage.trade(signed)
            assert report.status is IntentStatus.DONE
            assert report.filled == abs(signed)
            expected += signed
            assert await stage.position() == expected

    @on_stage
    async def test_only_a_derivative_can_be_short(self, stage: Stage) -> None:
        """A derivative's sale from flat is a short position; a spot market's is refused."""
        if stage.venue.rules(stage.symbol).spot:
            with pytest.raises(OrderRefused):
                await stage.venue.place(stage.intent(-stage.quantity))
            assert await stage.position() == 0
        else:
            await stage.trade(-stage.quantity)
            assert await stage.position() == -stage.quantity
            await stage.trade(stage.quantity / 2, reduce_only=True)
            assert await stage.position() == -stage.quantity / 2

    @on_stage
    async def test_fills_say_whose_they_are_and_what_they_cost(self, stage: Stage) -> None:
        """Each fill carries the order's id, key and side, a price near the market's, a fee and the fee's currency."""
        for signed in (stage.quantity, -stage.quantity):
            intent = stage.intent(signed)
            report = await stage.settled(intent, await stage.venue.place(intent))
            price = await stage.venue.price(stage.symbol)
            assert report.client_id == intent.client_id
            assert report.fills
            for fill in report.fills:
                assert (fill.key, fill.client_id, fill.side) == (stage.key, intent.client_id, intent.side)
                assert fill.trade_id
                assert fill.quantity > 0
                assert abs(fill.price / price.value - 1) < Decimal("0.02")
                assert fill.fee.is_finite()
                assert fill.fee_currency
                assert abs(fill.at - time.time()) < 60

    @on_stage
    async def test_trade_ids_are_unique_within_a_market(self, stage: Stage) -> None:
        """No two executions share a trade id: fills are counted by it."""
        reports = [await stage.trade(signed) for signed in (stage.quantity, -stage.quantity) * 3]
        ids = [fill.trade_id for report in reports for fill in report.fills]
        assert len(ids) == len(set(ids)) >= 6

    @on_stage
    async def test_a_client_id_never_trades_twice(self, stage: Stage) -> None:
        """The same intent sent again returns the order that it became the first time, and nothing is traded."""
        intent = stage.intent(stage.quantity)
        first = await stage.settled(intent, await stage.venue.place(intent))
        for _ in range(3):
            again = await stage.settled(intent, await stage.venue.place(intent))
            assert again.status is first.status
            assert again.filled == first.filled
            assert [fill.trade_id for fill in again.fills] == [fill.trade_id for fill in first.fills]
        assert await stage.position() == stage.quantity

    @on_stage
    async def test_a_client_id_never_trades_twice_at_the_same_time(self, stage: Stage) -> None:
        """Not even when it is sent by several at once."""
        intent = stage.intent(stage.quantity)
        reports = await asyncio.gather(*(stage.venue.place(intent) for _ in range(4)))
        trades = {fill.trade_id for report in reports for fill in (await stage.settled(intent, report)).fills}
        assert await stage.position() == stage.quantity
        found = await stage.venue.find(intent)
        assert found is not None
        assert {fill.trade_id for fill in found.fills} == trades

    @on_stage
    async def test_reduce_only_never_flips(self, stage: Stage) -> None:
        """A reduce-only order for more than is held closes or is refused; the position never changes its sign."""
        await stage.trade(stage.quantity)
        intent = stage.intent(-2 * stage.quantity, reduce_only=True)
        with contextlib.suppress(OrderRefused):
            report = await stage.settled(intent, await stage.venue.place(intent))
            assert report.filled <= stage.quantity
        assert 0 <= await stage.position() <= stage.quantity

    @on_stage
    async def test_reduce_only_reduces(self, stage: Stage) -> None:
        """A reduce-only order for half of what is held leaves the other half."""
        await stage.trade(stage.quantity)
        report = await stage.trade(-stage.quantity / 2, reduce_only=True)
        assert report.filled == stage.quantity / 2
        assert await stage.position() == stage.quantity / 2

    @on_stage
    async def test_reduce_only_is_refused_where_it_would_add(self, stage: Stage) -> None:
        """With nothing held, and in the direction of what is held, reduce-only is refused."""
        for signed in (stage.quantity, -stage.quantity):
            with pytest.raises(OrderRefused):
                await stage.venue.place(stage.intent(signed, reduce_only=True))
        await stage.trade(stage.quantity)
        with pytest.raises(OrderRefused):
            await stage.venue.place(stage.intent(stage.quantity, reduce_only=True))
        assert await stage.position() == stage.quantity

    @on_stage
    async def test_what_does_not_fit_the_rules_is_refused(self, stage: Stage) -> None:
        """Off the step, below a minimum or of no size: OrderRefused, which says what and where, and nothing moves."""
        rules = stage.venue.rules(stage.symbol)
        price = await stage.venue.price(stage.symbol)
        wrong = {
            "off the step": stage.quantity + rules.step / 2,
            "half a step": rules.step / 2,
            "nothing": ZERO,
        }
        if rules.min_quantity > rules.step:
            wrong["below the minimum quantity"] = rules.min_quantity - rules.step
        if abs(rules.notional(rules.step, price.value)) < rules.min_notional:
            wrong["below the minimum notional"] = rules.step
        for name, quantity in wrong.items():
            intent = stage.intent(quantity)
            with pytest.raises(OrderRefused) as caught:
                await stage.venue.place(intent)
            assert caught.value.what, name
            assert stage.symbol in caught.value.where, name
            found = await stage.venue.find(intent)
            assert found is None or found.filled == 0, name
        assert await stage.position() == 0

    @on_stage
    async def test_a_refused_id_may_be_refused_again(self, stage: Stage) -> None:
        """What was refused stays refused under the same id, whatever the account holds meanwhile."""
        intent = stage.intent(-stage.quantity, reduce_only=True)
        for _ in range(2):
            with pytest.raises(OrderRefused):
                await stage.venue.place(intent)
        assert await stage.position() == 0

    @on_stage
    async def test_find_returns_the_report_with_its_fills(self, stage: Stage) -> None:
        """Looking an order up says what placing it said."""
        for signed in (stage.quantity, -stage.quantity):
            intent = stage.intent(signed)
            report = await stage.settled(intent, await stage.venue.place(intent))
            found = await stage.venue.find(intent)
            assert found is not None
            assert (found.client_id, found.status, found.filled) == (report.client_id, report.status, report.filled)
            assert _by_trade(found.fills) == _by_trade(report.fills)

    @on_stage
    async def test_find_returns_none_for_an_unknown_id(self, stage: Stage) -> None:
        """An id that was never sent is not known."""
        assert await stage.venue.find(stage.intent(stage.quantity)) is None

    @on_stage
    async def test_cancelling_a_finished_order_is_harmless(self, stage: Stage) -> None:
        """A cancellation that comes too late, or for an order that never was, changes nothing and raises nothing."""
        intent = stage.intent(stage.quantity)
        report = await stage.settled(intent, await stage.venue.place(intent))
        await stage.venue.cancel(intent)
        await stage.venue.cancel(stage.intent(stage.quantity))
        found = await stage.venue.find(intent)
        assert found is not None
        assert (found.status, found.filled) == (report.status, report.filled)
        assert await stage.position() == stage.quantity

    @on_stage
    async def test_equity_falls_by_what_trading_costs(self, stage: Stage) -> None:
        """Equity is cash plus positions: an order costs its fee and its distance from the price, and no more."""
        rules = stage.venue.rules(stage.symbol)
        for signed in (stage.quantity, -stage.quantity):
            before = await stage.equity()
            report = await stage.trade(signed)
            price = (await stage.venue.price(stage.symbol)).value
            after = await stage.equity()
            assert after < before
            if all(fill.fee_currency == stage.quote for fill in report.fills) and not rules.inverse:
                costs = sum((fill.fee + fill.signed * (fill.price - price) for fill in report.fills), ZERO)
                tolerance = price * stage.quantity * stage.price_noise + Decimal("0.00001")
                assert abs(before - after - costs) <= tolerance, f"{before} to {after}, costs {costs}"

    @on_stage
    async def test_what_a_reply_told_is_not_told_again(self, stage: Stage) -> None:
        """Replies have every fill of an order; events only such as came before the reply, and none twice."""
        told: list[Fill] = []
        listening = asyncio.create_task(_listen(stage.venue, told))
        first = await stage.trade(stage.quantity)
        again = await stage.venue.place(stage.intent(stage.quantity, client_id=first.client_id))
        last = await stage.trade(-stage.quantity)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        replied = _by_trade([*first.fills, *last.fills])
        assert again.filled == first.filled
        assert all(replied[fill.trade_id] == fill for fill in told)
        assert len(_by_trade(told)) == len(told)

    @on_stage
    async def test_a_new_instance_finds_everything_where_it_was(self, stage: Stage) -> None:
        """Closing and opening the account changes neither positions nor orders, and an id still trades only once."""
        intent = stage.intent(stage.quantity)
        report = await stage.settled(intent, await stage.venue.place(intent))
        equity = await stage.equity()
        price = (await stage.venue.price(stage.symbol)).value
        await stage.venue.close()
        again = await stage.reopen()
        try:
            held = (await again.positions(time.monotonic())).quantities.get(stage.symbol, ZERO)
            assert held == stage.quantity
            assert again.resolve(stage.forms[0]) == stage.symbol
            found = await again.find(intent)
            assert found is not None
            assert (found.status, found.filled) == (report.status, report.filled)
            assert _by_trade(found.fills) == _by_trade(report.fills)
            worth = await again.equity()
            assert worth is not None
            assert abs(worth - equity) <= price * held * stage.price_noise
            adopted = await again.place(intent)
            assert adopted.filled == report.filled
            assert (await again.positions(time.monotonic())).quantities[stage.symbol] == stage.quantity
        finally:
            await again.close()

    @on_stage
    async def test_connecting_again_keeps_everything(self, stage: Stage) -> None:
        """`connect` is called again after a failure: it forgets nothing and trades nothing."""
        await stage.trade(stage.quantity)
        await stage.venue.connect()
        assert await stage.position() == stage.quantity
        await stage.trade(-stage.quantity, reduce_only=True)
        assert await stage.position() == 0

    @on_stage
    async def test_it_says_where_its_prices_come_from(self, stage: Stage) -> None:
        """The description is a few words on one line."""
        words = stage.venue.describe()
        assert words.strip()
        assert "\n" not in words
        assert stage.venue.absence_grace >= 0
        assert stage.venue.snapshot_lag >= 0

    @on_stage
    async def test_an_account_that_nobody_touched_is_still_what_it_was(self, stage: Stage) -> None:
        """A look at the account's mode and markets finds nothing, a pause is not asked for, an inspection is fine."""
        await stage.venue.verify()
        assert stage.venue.pause() == 0
        assert stage.venue.position_mode in {"one_way", "hedge", None}
        inspection = await stage.venue.inspect()
        assert inspection.fine
        assert not inspection.problems


def _by_trade(fills: Sequence[Fill]) -> dict[str, Fill]:
    return {fill.trade_id: fill for fill in fills}


async def _listen(venue: Venue, told: list[Fill]) -> None:
    async for event in venue.events():
        if isinstance(event, Filled):
            told.append(event.fill)  # noqa: PERF401 - it is read before it is complete
