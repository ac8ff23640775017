"""A driver that is late, raises what nobody knows or answers nonsense is no more than a venue that does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal

import pytest

from portfoliod.errors import OrderUnknown, UnknownSymbol, VenuePaused, VenueUnreachable
from portfoliod.model import Intent, MarketRules, Side
from portfoliod.reconciler.guarded import GuardedVenue
from portfoliod.venues import PositionMoved, Positions, Price, VenueEvent
from tests.tasks.scripted_venue import BTC, ScriptedVenue

INTENT = Intent("1", BTC, Side.BUY, Decimal(1), False, 1, 0.0, "open")
READS: dict[str, Callable[[GuardedVenue], Awaitable[object]]] = {
    "connect": GuardedVenue.connect,
    "price": lambda venue: venue.price(BTC.symbol),
    "positions": lambda venue: venue.positions(0.0),
    "equity": GuardedVenue.equity,
    "cancel": lambda venue: venue.cancel(INTENT),
    "find": lambda venue: venue.find(INTENT),
    "verify": GuardedVenue.verify,
}


def by_market(method: str) -> str:
    return BTC.symbol if method in {"price", "cancel", "find", "place"} else ""


@pytest.fixture
def driver() -> ScriptedVenue:
    """A driver behind a short limit."""
    venue = ScriptedVenue()
    venue.patience = 0.1
    return venue


@pytest.mark.parametrize("method", READS)
def test_a_read_that_takes_too_long_is_no_answer(driver: ScriptedVenue, method: str) -> None:
    """Whatever it waits for, the daemon goes on."""
    driver.waits[method] = asyncio.Event()
    with pytest.raises(VenueUnreachable, match=r"no answer within 0\.[13] s"):
        asyncio.run(_asked(READS[method], driver))


@pytest.mark.parametrize("method", READS)
def test_an_error_of_the_drivers_own_is_no_answer(driver: ScriptedVenue, method: str) -> None:
    """Its type means nothing to the daemon."""
    driver.trouble[method, by_market(method)] = KeyError("last")
    with pytest.raises(VenueUnreachable, match="the driver failed") as raised:
        asyncio.run(_asked(READS[method], driver))
    assert "last" in raised.value.found


def test_errors_that_the_daemon_knows_pass_as_they_are(driver: ScriptedVenue) -> None:
    """Their type says what to do next."""
    driver.trouble["equity", ""] = VenuePaused("slow down", seconds=3.0)
    with pytest.raises(VenuePaused, match="slow down"):
        asyncio.run(_asked(GuardedVenue.equity, driver))
    with pytest.raises(UnknownSymbol):
        GuardedVenue(driver).resolve("NOSUCHUSDT")


def test_an_order_without_an_answer_in_time_is_unknown(driver: ScriptedVenue) -> None:
    """It may have arrived."""
    driver.waits["place"] = asyncio.Event()
    with pytest.raises(OrderUnknown, match=r"no answer within 0\.[13] s"):
        asyncio.run(_asked(lambda venue: venue.place(INTENT), driver))


@pytest.mark.parametrize("error", [RuntimeError("no id"), VenueUnreachable("reset"), VenuePaused("429", seconds=1.0)])
def test_an_order_that_ends_in_anything_but_a_proof_is_unknown(driver: ScriptedVenue, error: Exception) -> None:
    """Only OrderRefused proves that the venue did not take it."""
    driver.trouble["place", BTC.symbol] = error
    with pytest.raises(OrderUnknown):
        asyncio.run(_asked(lambda venue: venue.place(INTENT), driver))


def test_closing_fails_for_nobody_and_ends_in_time(driver: ScriptedVenue) -> None:
    """Every venue is closed, also one that was never connected."""
    driver.trouble["close", ""] = AttributeError("_account")
    asyncio.run(GuardedVenue(driver).close())
    driver.waits["close"] = asyncio.Event()
    asyncio.run(GuardedVenue(driver).close())


def test_streams_pass_what_they_say_and_break_off_as_unreachable() -> None:
    """Whatever broke them."""

    class Breaking(ScriptedVenue):
        async def events(self) -> AsyncIterator[VenueEvent]:
            yield await self.news.get()
            raise ConnectionResetError("gone")

    async def follow() -> None:
        breaking = Breaking()
        breaking.news.put_nowait(PositionMoved(BTC.symbol))
        events = aiter(GuardedVenue(breaking).events())
        assert await anext(events) == PositionMoved(BTC.symbol)
        with pytest.raises(VenueUnreachable) as raised:
            await anext(events)
        assert "gone" in raised.value.found

    asyncio.run(follow())


class Nonsense(ScriptedVenue):
    """Answers in time, with what cannot be."""

    async def price(self, symbol: str) -> Price:
        """Return a price that is none."""
        return Price(Decimal("NaN") if symbol == BTC.symbol else Decimal(0), time.monotonic())

    async def positions(self, newer_than: float) -> Positions:
        """Return a snapshot of before, or one with a hole."""
        return Positions(time.monotonic() if newer_than == 0 else newer_than - 5, {BTC.symbol: Decimal("NaN")})

    async def equity(self) -> Decimal:
        """Return too much."""
        return Decimal("Infinity")

    def rules(self, symbol: str) -> MarketRules:
        """Fail."""
        raise LookupError(symbol)

    def pause(self) -> float:
        """Fail."""
        raise LookupError

    def describe(self) -> str:
        """Fail."""
        raise LookupError("no words")


def test_answers_that_cannot_be_are_no_answers() -> None:
    """No price of 0, no snapshot from before, no position that is not a number."""
    questions: list[Callable[[GuardedVenue], Awaitable[object]]] = [
        lambda venue: venue.price(BTC.symbol),
        lambda venue: venue.price("ETH/USDT:USDT"),
        lambda venue: venue.positions(0.0),
        lambda venue: venue.positions(time.monotonic()),
        GuardedVenue.equity,
    ]
    for question in questions:
        with pytest.raises(VenueUnreachable):
            asyncio.run(_asked(question, Nonsense()))
    with pytest.raises(VenueUnreachable, match="the driver failed"):
        GuardedVenue(Nonsense()).rules(BTC.symbol)


def test_what_is_asked_between_two_orders_never_raises() -> None:
    """A venue that cannot say whether it wants a pause gets none."""
    assert GuardedVenue(Nonsense()).pause() == 0
    assert "no words" in GuardedVenue(Nonsense()).describe()


async def _asked(question: Callable[[GuardedVenue], Awaitable[object]], driver: ScriptedVenue) -> object:
    return await question(GuardedVenue(driver))
