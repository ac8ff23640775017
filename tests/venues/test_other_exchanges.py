"""What only some exchanges do: ids that come first, modes that no endpoint tells, fees in the coin that was bought."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from portfoliod.errors import OrderRefused, OrderUnknown, PortfoliodError, VenueStopped
from portfoliod.model import Intent, IntentStatus, Key, Side
from portfoliod.venues import Liquidated, Venue
from tests.emulators.binance_spot import BinanceSpot
from tests.emulators.btse import BtseFutures
from tests.emulators.bybit import BybitLinear
from tests.emulators.faults import Fills, Reset
from tests.venues.exchanges import opened

pytestmark = pytest.mark.slow  # an exchange and its client in each test

SWAP, SPOT = "ETH/USDT:USDT", "ETH/USDT"


def intent(symbol: str, signed: str, *, reduce_only: bool = False) -> Intent:
    """Return an order for a signed quantity under a new id."""
    quantity = Decimal(signed)
    side = Side.BUY if quantity > 0 else Side.SELL
    return Intent(
        uuid.uuid4().hex[:28], Key("main", symbol), side, abs(quantity), reduce_only, 1, time.time(), "test"
    )  # fmt: skip


def on(exchange: Any, kind: str, root: Path, act: Callable[[Venue], Awaitable[None]], **table: object) -> None:
    """Play on a connected venue."""

    async def run() -> None:
        async with opened(exchange, kind, root, **table) as venue:
            await act(venue)

    with exchange:
        asyncio.run(run())


def test_bybit_an_order_whose_reply_was_lost_is_found_by_its_own_id(tmp_path: Path) -> None:
    """Bybit looks at the order's id first: a request with an empty one would not find anything."""
    bybit = BybitLinear()

    async def act(venue: Venue) -> None:
        order = intent(SWAP, "0.2")
        bybit.faults.add("place", Reset(processed=True))
        with pytest.raises(OrderUnknown):
            await venue.place(order)
        found = await venue.find(order)
        assert found is not None
        assert (found.status, found.filled) == (IntentStatus.DONE, Decimal("0.2"))
        asked = [request.params for request in bybit.requests if request.kind == "order"]
        assert all("orderId" not in params or params["orderId"] != "None" for params in asked)
        assert any(params.get("orderLinkId") == order.client_id for params in asked)
        assert bybit.count("place") == 1

    on(bybit, "bybit", tmp_path, act)


def test_bybit_the_position_mode_is_read_from_a_flat_position(tmp_path: Path) -> None:
    """There is no endpoint for it; that it changed is noticed, and nothing is sent meanwhile."""
    bybit = BybitLinear(hedged=True)

    async def act(venue: Venue) -> None:
        assert venue.position_mode == "hedge"
        await venue.verify()
        bybit.account.set_hedged(False)
        with pytest.raises(VenueStopped):
            await venue.verify()
        with pytest.raises(OrderRefused):
            await venue.place(intent(SWAP, "0.2"))
        assert bybit.count("place") == 0
        bybit.account.set_hedged(True)
        await venue.verify()

    on(bybit, "bybit", tmp_path, act)


def test_bybit_an_order_that_meets_another_mode_stops_the_venue(tmp_path: Path) -> None:
    """The refusal has a code that means many things; its words tell, and the mode is read at once."""
    bybit = BybitLinear()

    async def act(venue: Venue) -> None:
        bybit.account.set_hedged(True)
        with pytest.raises(PortfoliodError):
            await venue.place(intent(SWAP, "0.2"))
        with pytest.raises(VenueStopped):
            await venue.positions(time.monotonic())
        assert bybit.account.position("ETHUSDT") == 0

    on(bybit, "bybit", tmp_path, act)


def test_bybit_the_largest_order_is_the_largest_market_order(tmp_path: Path) -> None:
    """Bybit's limit for market orders is a fraction of the one that ccxt tells."""

    async def act(venue: Venue) -> None:
        assert venue.rules(SWAP).max_quantity == Decimal(724)

    on(BybitLinear(), "bybit", tmp_path, act)


def test_bybit_a_liquidation_is_told(tmp_path: Path) -> None:
    """It comes as an execution of its own type."""
    bybit = BybitLinear()

    async def act(venue: Venue) -> None:
        events = venue.events()
        first = asyncio.ensure_future(anext(events))
        await bybit.until(lambda: any({"order", "execution"} <= one.subscriptions for one in bybit.sockets))
        await venue.place(intent(SWAP, "0.2"))
        bybit.account.force_close("ETHUSDT")
        async with asyncio.timeout(10):
            told = [await first]
            while not isinstance(told[-1], Liquidated):
                told.append(await anext(events))
        assert told[-1].symbol == SWAP
        assert "liquidation" in told[-1].what

    on(bybit, "bybit", tmp_path, act)


def test_spot_a_purchase_yields_what_is_left_after_its_fee(tmp_path: Path) -> None:
    """The fill says what was traded and which coin paid; the position is the balance, and all of it can be sold."""
    spot = BinanceSpot()

    async def act(venue: Venue) -> None:
        bought = await venue.place(intent(SPOT, "0.2"))
        assert bought.filled == Decimal("0.2")
        assert {(fill.fee, fill.fee_currency) for fill in bought.fills} == {(Decimal("0.0002"), "ETH")}
        assert all(abs(fill.at - time.time()) < 60 for fill in bought.fills)
        held = (await venue.positions(time.monotonic())).quantities
        assert held[SPOT] == Decimal("0.1998")
        sold = await venue.place(intent(SPOT, "-0.1998", reduce_only=True))
        assert {fill.fee_currency for fill in sold.fills} == {"USDT"}
        assert SPOT not in (await venue.positions(time.monotonic())).quantities

    on(spot, "binance", tmp_path, act, market_type="spot")


def test_spot_the_equity_counts_every_coin_at_its_price(tmp_path: Path) -> None:
    """Dollars, and what the coins are worth."""

    async def act(venue: Venue) -> None:
        assert await venue.equity() == Decimal(100_000) + 20 * Decimal(500)

    on(BinanceSpot(), "binance", tmp_path, act, market_type="spot")


def test_without_look_ups_the_trades_tell_what_became_of_an_order(tmp_path: Path) -> None:
    """A lost reply is resolved by the trades that carry the order's own id; no trades prove nothing."""
    btse = BtseFutures()

    async def act(venue: Venue) -> None:
        assert not venue.finds_orders
        order, never = intent(SWAP, "0.2"), intent(SWAP, "0.2")
        for each, processed in ((order, True), (never, False)):
            btse.faults.add("place", Reset(processed=processed))
            with pytest.raises(OrderUnknown):
                await venue.place(each)
        found = await venue.find(order)
        assert found is not None
        assert (found.status, found.filled) == (IntentStatus.DONE, Decimal("0.2"))
        assert len({fill.trade_id for fill in found.fills}) == 1
        assert await venue.find(never) is None
        assert btse.account.position("ETH-PERP") == 2000

    on(btse, "btse", tmp_path, act)


def test_without_look_ups_a_part_is_not_taken_for_the_end(tmp_path: Path) -> None:
    """While an order that filled in part is fresh, its other trades may still be listed."""
    btse = BtseFutures()

    async def act(venue: Venue) -> None:
        order = intent(SWAP, "0.2")
        btse.faults.add("place", Fills(share=Decimal("0.5")))
        btse.faults.add("place", Reset(processed=True))
        with pytest.raises(OrderUnknown):
            await venue.place(order)
        found = await venue.find(order)
        assert found is not None
        assert (found.status, found.filled) == (IntentStatus.WORKING, Decimal("0.1"))

    on(btse, "btse", tmp_path, act)


def test_spot_what_is_held_of_a_suspended_market_is_held(tmp_path: Path) -> None:
    """Missing is not flat: a coin whose market does not trade now is no less in the balance."""
    spot = BinanceSpot()

    async def act(venue: Venue) -> None:
        await venue.place(intent(SPOT, "0.2"))
        market = spot.account.markets["ETHUSDT"]
        spot.account.replace_market(msgspec.structs.replace(market, active=False))
        await venue.connect()
        assert (await venue.positions(time.monotonic())).quantity(SPOT) == Decimal("0.1998")
        assert await venue.equity() is not None

    on(spot, "binance", tmp_path, act, market_type="spot")
