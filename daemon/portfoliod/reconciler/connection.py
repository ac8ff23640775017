"""One venue's connection: kept up, its outages said once and then at most hourly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal

import structlog

from portfoliod.errors import KeysRefused, PortfoliodError, UnknownSymbol, VenueError, VenueUnreachable
from portfoliod.model import Problem
from portfoliod.venues import Reconnected, Venue, VenueEvent

log: structlog.stdlib.BoundLogger = structlog.get_logger()

REMINDER_SECONDS = 3600.0
LONGEST_PAUSE = 60.0


class Connection:
    """A venue, whether it can be used now, and what was last known of it."""

    def __init__(self, venue: Venue, driver: str) -> None:
        self.venue = venue
        self.driver = driver
        self.connected = False
        """Whether markets are known and the venue is believed to answer."""
        self.known = False
        """Whether markets were ever loaded in this process."""
        self.problem: Problem | None = None
        self.equity: Decimal | None = None
        self._reminded = -REMINDER_SECONDS

    async def connect(self) -> None:
        """Connect once.

        Raises:
            VenueUnreachable: it does not answer.
            KeysRefused: it does not accept the keys.
        """
        await self.venue.connect()
        await self.read_equity()
        recovered = self.problem is not None
        self.connected = self.known = True
        self.problem = None
        event = "venue.recovered" if recovered else "venue.connected"
        log.info(event, venue=self.venue.name, driver=self.driver, prices=self.venue.describe())

    async def run(
        self,
        up: Callable[[], None],
        happened: Callable[[str, VenueEvent], Awaitable[None]],
        keys_refused: Callable[[KeysRefused], None],
    ) -> None:
        """Keep the venue connected until cancelled: call `up` after each connection and `happened` for each event."""
        pause = 1.0
        while True:
            started = time.monotonic()
            try:
                if not self.connected:
                    await self.connect()
                    up()
                async for event in self.venue.events():
                    await happened(self.venue.name, event)
                    if isinstance(event, Reconnected):
                        up()
            except KeysRefused as error:
                self.failed(error)
                keys_refused(error)
                pause = LONGEST_PAUSE
            except VenueUnreachable as error:
                self.failed(error)
            except PortfoliodError:
                raise
            except Exception as error:  # noqa: BLE001 - a driver's mistake must not end the other venues
                self.failed(driver_failed(self.venue.name, error))
            if time.monotonic() - started > LONGEST_PAUSE:
                pause = 1.0
            self.connected = False
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def failed(self, error: VenueError) -> None:
        """Note that the venue did not answer, and say so the first time and then at most hourly."""
        first = self.problem is None
        self.problem = Problem(
            what=error.what,
            where=f"venue {self.venue.name}",
            found=error.found,
            kept=error.kept or "targets stay as they are; nothing is assumed about positions",
            mend=error.mend,
        )
        now = time.monotonic()
        if first or now - self._reminded >= REMINDER_SECONDS:
            self._reminded = now
            log.warning("venue.unreachable", venue=self.venue.name, error=error.what, found=error.found)

    def answered(self) -> None:
        """Note that the venue answered."""
        if self.problem is not None and self.connected:
            self.problem = None
            log.info("venue.recovered", venue=self.venue.name)

    async def read_equity(self) -> Decimal:
        """Return the account's equity, and remember it."""
        try:
            equity = await self.venue.equity()
        except PortfoliodError:
            raise
        except Exception as error:
            raise driver_failed(self.venue.name, error) from error
        if not equity.is_finite():
            raise VenueUnreachable("the equity is not a number", where=f"venue {self.venue.name}", found=str(equity))
        self.equity = equity
        return equity


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
    try:
        return connection.venue.resolve(text)
    except PortfoliodError:
        raise
    except Exception as error:
        raise driver_failed(venue, error) from error


def driver_failed(venue: str, error: Exception) -> VenueUnreachable:
    """Return what a driver's mistake is to the daemon: no answer, and a traceback in the log."""
    log.error("venue.failed", venue=venue, exc_info=error)
    return VenueUnreachable("the driver failed", where=f"venue {venue}", found=repr(error))
