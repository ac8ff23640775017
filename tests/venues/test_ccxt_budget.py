"""Budgets and pauses through ccxt: who goes first, and that an exchange that asks for it is left alone."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path

import pytest

from portfoliod.errors import OrderRefused, VenuePaused, VenueUnreachable
from portfoliod.venues.ccxtpro.budget import Budget, Urgency, urgent
from tests.emulators.faults import Answer, Delay, too_many_requests
from tests.venues.scenes import BINANCE, BOTH, On, Scene, name_of, play

pytestmark = pytest.mark.slow  # an exchange and its client in each test

on_both = pytest.mark.parametrize("on", BOTH, ids=name_of)
SLOW = {"rateLimit": 200}
"""Five requests of cost 1 a second."""


@on_both
def test_a_429_pauses_the_venue_for_as_long_as_it_says(tmp_path: Path, on: On) -> None:
    """Nothing is asked meanwhile, by nobody: reads, orders, cancellations. Then everything works again."""

    async def scenario(scene: Scene) -> None:
        held = scene.intent("0.2")
        await scene.settled(held, await scene.venue.place(held))
        scene.exchange.faults.add("positions", too_many_requests(1))
        with pytest.raises(VenuePaused) as caught:
            await scene.position()
        assert 0 < caught.value.seconds <= 1
        assert 0 < scene.venue.pause() <= 1
        asked = sum(scene.exchange.counts().values())
        for read in (scene.position, scene.venue.equity, scene.venue.verify, scene.venue.connect):
            with pytest.raises(VenuePaused):
                await read()
        for act in (scene.venue.place, scene.venue.find, scene.venue.cancel):
            with pytest.raises((VenuePaused, OrderRefused)):
                await act(scene.intent("0.2") if act == scene.venue.place else held)
        assert sum(scene.exchange.counts().values()) == asked
        await asyncio.sleep(scene.venue.pause())
        assert scene.venue.pause() == 0
        assert await scene.position() == Decimal("0.2")
        assert (await scene.order("0.2")).filled == Decimal("0.2")

    play(on, tmp_path, scenario)


@pytest.mark.parametrize("ask", ["place", "cancel", "order", "balance", "ticker", "mode"])
def test_a_429_on_any_request_counts(tmp_path: Path, ask: str) -> None:
    """Of whatever kind the request was that met it."""

    async def scenario(scene: Scene) -> None:
        held = scene.intent("0.2")
        if ask in {"cancel", "order"}:
            await scene.settled(held, await scene.venue.place(held))
        scene.exchange.faults.add(ask, too_many_requests(7))
        asks = {
            "place": lambda: scene.venue.place(scene.intent("0.2")),
            "cancel": lambda: scene.venue.cancel(held),
            "order": lambda: scene.venue.find(held),
            "balance": scene.venue.equity,
            "ticker": lambda: scene.venue.price(scene.symbol),
            "mode": scene.venue.verify,
        }
        with pytest.raises((VenuePaused, VenueUnreachable, OrderRefused)):
            await asks[ask]()
        assert 6 < scene.venue.pause() <= 7

    play(BINANCE, tmp_path, scenario)


@pytest.mark.parametrize("form", ["until", "header", "neither"])
def test_a_ban_pauses_until_it_ends(tmp_path: Path, form: str) -> None:
    """418: the end stands in the text or in the header; without either it is a minute."""

    async def scenario(scene: Scene) -> None:
        until = f" until {int((time.time() + 300) * 1000)}" if form == "until" else ""
        body = f'{{"code":-1003,"msg":"Way too many requests; IP banned{until}."}}'
        headers = {"Retry-After": "200"} if form == "header" else {}
        scene.exchange.faults.add("balance", Answer(status=418, body=body, headers=headers))
        with pytest.raises(VenuePaused):
            await scene.venue.equity()
        expected = {"until": 300, "header": 200, "neither": 60}[form]
        assert expected - 5 < scene.venue.pause() <= expected
        with pytest.raises(OrderRefused, match="not sent"):
            await scene.venue.place(scene.intent("0.2"))
        assert scene.exchange.count("place") == 0

    play(BINANCE, tmp_path, scenario)


def test_a_ban_outlasts_the_pause_before_it(tmp_path: Path) -> None:
    """A 418 that answers a request sent before a 429's pause began makes the pause longer."""

    async def scenario(scene: Scene) -> None:
        body = f'{{"code":-1003,"msg":"IP banned until {int((time.time() + 300) * 1000)}."}}'
        # Both are on their way before either is answered.
        scene.exchange.faults.add("balance", Delay(before=0.3))
        scene.exchange.faults.add("balance", too_many_requests(1))
        scene.exchange.faults.add("positions", Delay(before=0.6))
        scene.exchange.faults.add("positions", Answer(status=418, body=body))
        await asyncio.gather(scene.venue.equity(), scene.position(), return_exceptions=True)
        assert scene.venue.pause() > 200

    play(BINANCE, tmp_path, scenario)


@pytest.mark.parametrize("value", ["Wed, 21 Oct 2026 07:28:00 GMT", "-5", "nan", "1e400"])
def test_a_retry_after_that_is_no_number_is_a_pause_all_the_same(tmp_path: Path, value: str) -> None:
    """The pause is positive and finite, whatever the header says."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.faults.add("balance", Answer(status=429, body="{}", headers={"Retry-After": value}))
        with pytest.raises(VenuePaused):
            await scene.venue.equity()
        assert 0 < scene.venue.pause() <= 3600

    play(BINANCE, tmp_path, scenario)


@on_both
def test_the_emulated_limit_is_never_hammered(tmp_path: Path, on: On) -> None:
    """Once the exchange says 429, no request follows until the pause ends."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.rate_limit = sum(scene.exchange.counts().values()) + 3
        for _ in range(30):
            await asyncio.gather(scene.position(), scene.venue.equity(), return_exceptions=True)
        assert sum(scene.exchange.counts().values()) <= scene.exchange.rate_limit + 2
        assert scene.venue.pause() > 0

    play(on, tmp_path, scenario)


@on_both
def test_an_order_does_not_stand_behind_reads(tmp_path: Path, on: On) -> None:
    """Reads that used their share up wait; an order passes them, and a reduction passes more orders than that."""

    async def scenario(scene: Scene) -> None:
        scene.manual("5")
        reads = [asyncio.create_task(scene.venue.equity()) for _ in range(60)]
        await scene.exchange.until(lambda: scene.exchange.count("balance") > 1)
        await scene.venue.place(scene.intent("0.1"))
        waiting = sum(not read.done() for read in reads)
        assert waiting > 0, "reads still wait when the order is through"
        orders = [asyncio.create_task(scene.venue.place(scene.intent("0.1"))) for _ in range(30)]
        await asyncio.sleep(0)
        await scene.venue.place(scene.intent("-0.1", reduce_only=True))
        assert sum(not order.done() for order in orders) > 0, "orders still wait when the reduction is through"
        for task in (*reads, *orders):
            task.cancel()
        await asyncio.gather(*reads, *orders, return_exceptions=True)

    play(on, tmp_path, scenario, options=SLOW)


def test_shares_of_the_budget() -> None:
    """Reads stop at their share, orders at theirs, reductions use all of it; what is over waits for the leak."""

    async def scenario() -> None:
        budget = Budget(rate=0.001, capacity=100)

        async def takes(urgency: Urgency, cost: float) -> bool:
            with urgent(urgency):
                try:
                    await asyncio.wait_for(budget.take(cost), 0.001)
                except TimeoutError:
                    return False
                return True

        assert await takes(Urgency.READ, 60)
        assert not await takes(Urgency.READ, 1)
        assert await takes(Urgency.ORDER, 25)
        assert not await takes(Urgency.ORDER, 1)
        assert await takes(Urgency.REDUCTION, 15)
        assert not await takes(Urgency.REDUCTION, 1)

    asyncio.run(scenario())


def test_a_request_that_costs_more_than_there_is_passes_an_empty_budget() -> None:
    """It would wait for ever otherwise."""

    async def scenario() -> None:
        budget = Budget(rate=1000.0, capacity=1)
        async with asyncio.timeout(5):
            await budget.take(50)
            await budget.take(50)

    asyncio.run(scenario())
