"""What `check` asks of one venue, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec

from portfoliod.credentials import Credentials
from portfoliod.errors import KeysRefused, PortfoliodError, VenueUnreachable
from portfoliod.model import Problem
from portfoliod.reconciler.connection import Connection


class Account:
    """A venue as `check` sees it. A failure of it is a finding, never an exception."""

    def __init__(self, connection: Connection, credentials: Credentials | None) -> None:
        self.connection = connection
        self.name = connection.venue.name
        self.equity: Decimal | None = None
        self.fine: list[str] = []
        self.problems: list[tuple[Problem, int]] = []
        """Each with its exit code."""
        self._credentials = credentials

    async def look(self, *, online: bool, seconds: float) -> None:
        """Connect, and online ask what the account has to say of itself, for so many seconds at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._look(online=online)
        except TimeoutError:
            self._note(VenueUnreachable("the venue did not answer in time", found=f"nothing within {seconds:g} s"))

    async def _look(self, *, online: bool) -> None:
        venue = self.connection.venue
        with self._noted():
            await self.connection.load_markets()
            self._say(f"connected, {venue.describe()}" if online else venue.describe())
        if not online or not self.connection.known:
            return
        with self._noted():
            inspection = await venue.inspect()
            for line in inspection.fine:
                self._say(line)
            for problem in inspection.problems:
                self._add(problem, exit_code=1)
        with self._noted():
            self.equity = await venue.equity()
            self._say("equity not known" if self.equity is None else f"equity {self.equity:,.2f}")

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Turn what a venue raises into a finding."""
        try:
            yield
        except PortfoliodError as error:
            self._note(error)

    def _note(self, error: PortfoliodError) -> None:
        mend = error.mend
        if not mend and isinstance(error, KeysRefused):
            source = "" if self._credentials is None else f" in {self._credentials.source}"
            mend = f"create a key for this account that may trade, and put it{source}, then: portfoliod check --online"
        elif not mend and isinstance(error, VenueUnreachable):
            mend = f"mend the network or [venues.{self.name}], or wait; then: portfoliod check --online"
        problem = Problem(error.what, where=error.where, found=error.found, kept=error.kept, mend=mend)
        self._add(problem, error.exit_code)

    def _add(self, problem: Problem, exit_code: int) -> None:
        placed = msgspec.structs.replace(problem, where=problem.where or f"venue {self.name}")
        self.problems.append((rewritten(placed, self._redact), exit_code))

    def _say(self, line: str) -> None:
        self.fine.append(self._redact(f"venue {self.name}: {line}"))

    def _redact(self, text: str) -> str:
        return text if self._credentials is None else self._credentials.redact(text)


def rewritten(problem: Problem, change: Callable[[str], str]) -> Problem:
    """Return a problem with each of its texts changed."""
    return Problem(
        change(problem.what),
        where=change(problem.where),
        found=change(problem.found),
        kept=change(problem.kept),
        mend=change(problem.mend),
    )
