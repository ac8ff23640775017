"""A venue's events are closed when the connection breaks off, whoever broke it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from portfoliod.errors import KeysRefused, VenueUnreachable
from portfoliod.reconciler.connection import Connection
from portfoliod.step.availability import State
from portfoliod.venues import PositionMoved, VenueEvent
from tests.tasks.scripted_venue import ScriptedVenue


class Preparing(ScriptedVenue):
    """A venue that does something in the background for as long as its events are followed."""

    def __init__(self) -> None:
        super().__init__()
        self.preparing = 0

    async def events(self) -> AsyncIterator[VenueEvent]:
        """Yield the news."""
        self.preparing += 1
        try:
            async for event in super().events():
                yield event
        finally:
            self.preparing -= 1


async def fail(_venue: str, event: VenueEvent) -> None:
    """Make nothing of an event."""
    raise RuntimeError(f"what is {event}?")


def test_what_goes_with_the_events_ends_with_them() -> None:
    """An event that nobody can make sense of breaks the connection off: nothing of it goes on beside the next one."""

    async def scenario() -> None:
        venue = Preparing()
        venue.news.put_nowait(PositionMoved("BTC/USDT:USDT"))
        connection = Connection(venue, "scripted")
        with pytest.raises(VenueUnreachable) as caught:
            await connection._follow(lambda: None, fail)
        assert venue.preparing == 0, caught

    asyncio.run(scenario())


def test_a_connection_is_in_one_state_at_a_time() -> None:
    """Never reached, up, and not up any more once its streams broke off; refused keys are tried again after long."""

    async def scenario() -> None:
        venue, came = Preparing(), asyncio.Event()
        connection = Connection(venue, "scripted")
        refused: list[KeysRefused] = []
        assert connection.availability().state is State.NEVER_REACHED
        assert not connection.known
        following = asyncio.create_task(connection.run(came.set, fail, refused.append))
        async with asyncio.timeout(30):
            await came.wait()
            assert connection.availability().state is State.UP
            assert connection.connected
            venue.trouble["connect", ""] = KeysRefused("no")
            venue.news.put_nowait(PositionMoved("BTC/USDT:USDT"))
            while not refused:  # noqa: ASYNC110 - the connection announces it to a function
                await asyncio.sleep(0.005)
        assert connection.availability().state is State.UNREACHABLE
        assert (connection.known, connection.linked, connection.connected) == (True, False, False)
        assert [problem.what for problem in connection.problems] == ["no"]
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        assert venue.preparing == 0

    asyncio.run(scenario())
