"""What the next process knows of the one before it, beyond its orders."""

from __future__ import annotations

from decimal import Decimal

from portfoliod.model import Standing
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ScriptedVenue, Trading, trade


def test_the_small_rest_of_a_split_order_is_sent_after_a_restart(files: Files) -> None:
    """It is smaller than the no-trade band, and still no adjustment of its own."""
    venue = ScriptedVenue()
    settings = "[risk]\nmax_order_notional = 9600\n"

    async def first(trading: Trading) -> None:
        trading.want(trend=1.0)
        await (await trading.decided()).look()
        assert venue.held == {BTC.symbol: Decimal("0.192")}

    async def second(trading: Trading) -> None:
        worker = await trading.decided()
        await worker.look()
        assert venue.held == {BTC.symbol: Decimal("0.2")}
        assert (await worker.look()).standing is Standing.IN_STEP

    trade(files, first, venue, settings=settings)
    trade(files, second, venue, settings=settings)


def test_an_adjustment_inside_the_band_is_left_alone_after_a_restart_too(files: Files) -> None:
    """That an older decision of the market was split says nothing about this one."""
    venue = ScriptedVenue()
    settings = "[risk]\nmax_order_notional = 9600\n"

    async def first(trading: Trading) -> None:
        trading.want(trend=1.0)
        worker = await trading.decided()
        for _ in range(3):
            await worker.look()
        trading.want(trend=1.02)
        await trading.decided()

    async def second(trading: Trading) -> None:
        worker = await trading.decided()
        assert (await worker.look()).standing is Standing.IN_STEP
        assert venue.held == {BTC.symbol: Decimal("0.2")}

    trade(files, first, venue, settings=settings)
    trade(files, second, venue, settings=settings)


def test_max_orders_per_minute_counts_those_of_the_process_before(files: Files) -> None:
    """A restart loop must not send a burst of orders each time."""
    venue = ScriptedVenue()
    settings = "[risk]\nmax_orders_per_minute = 2\n"

    async def first(trading: Trading) -> None:
        for position in (0.5, 1.0):
            trading.want(trend=position)
            await (await trading.decided()).look()

    async def second(trading: Trading) -> None:
        trading.want(trend=1.5)
        worker = await trading.decided()
        look = await worker.look()
        assert (look.standing, worker.refused_by) == (Standing.REFUSED, "max_orders_per_minute")
        trading.want(trend=0.5)
        await (await trading.decided()).look()
        assert venue.held == {BTC.symbol: Decimal("0.1")}, "reductions go out"

    trade(files, first, venue, settings=settings)
    trade(files, second, venue, settings=settings)
    assert len(venue.placed) == 3
