"""One venue's connection: kept up; its outages, pauses and stops said once, outages then at most hourly."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal

import structlog

from portfoliod.backoff import Backoff
from portfoliod.errors import (
    KeysRefused,
    PortfoliodError,
    SettingsError,
    UnknownSymbol,
    VenueError,
    VenuePaused,
    VenueStopped,
    VenueUnreachable,
)
from portfoliod.model import Problem
from portfoliod.reconciler.guarded import GuardedVenue, driver_failed
from portfoliod.step.availability import Availability, Link, availability
from portfoliod.venues import Reconnected, Venue, VenueEvent

log: structlog.stdlib.BoundLogger = structlog.get_logger()

REMINDER_SECONDS = 3600.0
FIRST_PAUSE = 1.0
"""Between two attempts to connect."""


class Connection:
    """A venue, whether it can be used now, and what was last known of it."""

    def __init__(self, venue: Venue, driver: str, *, read_only: bool = False) -> None:
        self.venue = GuardedVenue(venue)
        self.driver = driver
        self.read_only = read_only
        """Looked at, not traded on."""
        self.required = True
        """Whether a table that does not fit ends the daemon: of a venue that is opened while it runs, it does not."""
        self._link = Link.NEVER
        self.problem: Problem | None = None
        """Why it does not answer, until it does."""
        self.stopped: Problem | None = None
        """Why nothing is sent there, until the venue verifies that the account is what it was."""
        self.doubt: Problem | None = None
        """Why what it says of its equity is not believed, while that is so."""
        self.equity: Decimal | None = None
        """What it said last, believed or not."""
        self.positions_at: float | None = None
        """When its positions were read last, on the monotonic clock."""
        self._reminded = -REMINDER_SECONDS
        self._paused_until = self._pause_said_until = 0.0

    @property
    def linked(self) -> bool:
        """Whether markets are loaded and the streams are believed to be up."""
        return self._link is Link.UP

    @property
    def known(self) -> bool:
        """Whether markets were ever loaded in this process."""
        return self._link is not Link.NEVER

    @property
    def connected(self) -> bool:
        """Whether it answers: streams and reads."""
        return self.linked and self.problem is None

    def availability(self) -> Availability:
        """Return what may be done with it now. A pause is said once."""
        return availability(self._link, stopped=self.stopped, silent=self.problem, pause=self.pause())

    @property
    def problems(self) -> list[Problem]:
        """What a person should know of it now."""
        return [problem for problem in (self.stopped, self.problem, self.doubt) if problem is not None]

    async def load_markets(self) -> None:
        """Get to know its markets and no more, for a command that only looks. Raises what `connect` does."""
        await self.venue.connect()
        if self._link is Link.NEVER:
            self._link = Link.LOST

    async def connect(self) -> None:
        """Connect once.

        Raises:
            VenueUnreachable: it does not answer.
            VenueStopped: the account is still not what it was.
            KeysRefused: it does not accept the keys.
        """
        await self.venue.connect()
        await self.read_equity()
        if self.stopped is not None:
            await self.verify()
        recovered = self.problem is not None
        self._link, self.problem = Link.UP, None
        event = "venue.recovered" if recovered else "venue.connected"
        log.info(event, venue=self.venue.name, driver=self.driver, prices=self.venue.describe())

    async def run(
        self,
        up: Callable[[], None],
        happened: Callable[[str, VenueEvent], Awaitable[None]],
        keys_refused: Callable[[KeysRefused], None],
    ) -> None:
        """Keep the venue connected until cancelled: call `up` after each connection and `happened` for each event."""
        backoff = Backoff(FIRST_PAUSE)
        while True:
            started, least = time.monotonic(), 0.0
            try:
                await self._follow(up, happened)
            except KeysRefused as error:
                self.failed(error)
                keys_refused(error)
                least = backoff.longest
            except (VenueError, UnknownSymbol) as error:
                self.failed(error)
            except SettingsError as error:
                if not self.known and self.required:
                    raise
                self.failed(error)
            self._link = Link.LOST if self.known else Link.NEVER
            await asyncio.sleep(max(backoff.after_failure(time.monotonic() - started), least, self.pause()))

    async def _follow(self, up: Callable[[], None], happened: Callable[[str, VenueEvent], Awaitable[None]]) -> None:
        """Connect where that is due, and pass the venue's events on until its streams break off."""
        if not self.linked:
            await self.connect()
            up()
        async with contextlib.aclosing(self.venue.events()) as events:
            async for event in events:
                try:
                    await happened(self.venue.name, event)
                except Exception as error:
                    # What nobody can make sense of is the driver's mistake, and must not end the other venues.
                    raise driver_failed(self.venue.name, error) from error
                if isinstance(event, Reconnected):
                    up()

    async def verify(self) -> bool:
        """Ask whether the account is what it was, and return whether that ended a stop.

        Raises:
            VenueStopped: it is not.
            VenueUnreachable: it does not answer.
            KeysRefused: it does not accept the keys.
        """
        await self.venue.verify()
        ended = self.stopped is not None
        self.stopped = None
        if ended:
            log.info("venue.recovered", venue=self.venue.name, reason="the account is what it was")
        return ended

    def failed(self, error: PortfoliodError) -> None:
        """Note what an error says of the venue: that it wants to be left alone, is stopped, or does not answer."""
        if isinstance(error, VenuePaused):
            self._paused_until = max(self._paused_until, time.monotonic() + error.seconds)
            self.pause()
        elif isinstance(error, VenueStopped):
            self._stop(error)
        else:
            self._unreachable(error)

    def _stop(self, error: VenueStopped) -> None:
        kept = error.kept or "nothing is sent there; targets are decided on; the other venues are traded"
        first = self.stopped is None
        self.stopped = self._problem(error, kept)
        if first:
            fields = {"error": error.what, "found": error.found, "kept": kept, "mend": error.mend}
            log.error("venue.stopped", venue=self.venue.name, **fields)

    def _unreachable(self, error: PortfoliodError) -> None:
        first = self.problem is None
        self.problem = self._problem(
            error, error.kept or "targets stay as they are; nothing is assumed about positions"
        )
        now = time.monotonic()
        if first or now - self._reminded >= REMINDER_SECONDS:
            self._reminded = now
            log.warning("venue.unreachable", venue=self.venue.name, error=error.what, found=error.found)

    def _problem(self, error: PortfoliodError, kept: str) -> Problem:
        return Problem(error.what, where=f"venue {self.venue.name}", found=error.found, kept=kept, mend=error.mend)

    def answered(self) -> None:
        """Note that the venue answered."""
        if self.problem is not None and self.linked:
            self.problem = None
            log.info("venue.recovered", venue=self.venue.name)

    def pause(self) -> float:
        """Return for how many seconds the venue is to be left alone, 0 where it is not, and say so once."""
        now = time.monotonic()
        left = max(0.0, self.venue.pause(), self._paused_until - now)
        if left > 0:
            if now >= self._pause_said_until:
                log.warning("venue.paused", venue=self.venue.name, seconds=round(left, 1))
            self._pause_said_until = max(self._pause_said_until, now + left)
        return left

    async def read_equity(self) -> Decimal | None:
        """Return the account's equity, and remember it; None where the venue cannot tell it."""
        self.equity = await self.venue.equity()
        return self.equity

    async def fresh_price(self, symbol: str, oldest: float) -> Decimal:
        """Return a market's price.

        Raises:
            VenueUnreachable: there is none, or it is older than `oldest` seconds.
        """
        price = await self.venue.price(symbol)
        age = time.monotonic() - price.at
        if age > oldest:
            raise VenueUnreachable("the price is too old", where=symbol, found=f"{age:.0f} s")
        return price.value


def resolve(connections: Mapping[str, Connection], venue: str, text: str) -> str:
    """Return the unified symbol that a strategy means on a venue (`portfoliod.targets.Resolve`).

    Raises:
        UnknownSymbol: there is no such market or venue.
        VenueUnreachable: the venue's markets are not known yet.
    """
    connection = connections.get(venue)
    if connection is None:
        raise UnknownSymbol(
            "no such venue",
            where="config/portfolio_config.json  $.exchanges",
            found=venue,
            mend=f"route it to one of: {', '.join(sorted(connections))}",
        )
    if not connection.known:
        raise VenueUnreachable("its markets are not known yet", where=f"venue {venue}")
    return connection.venue.resolve(text)
