"""Venues of somebody else's, as an installed package brings them: paper accounts that `check --online` looks at."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import structlog

from portfoliod.credentials import Credentials, find_credentials
from portfoliod.errors import KeysRefused, VenueUnreachable
from portfoliod.model import Problem
from portfoliod.settings import read_table
from portfoliod.venues.paper import PaperVenue
from portfoliod.venues.paper.venue import PaperSettings
from portfoliod.venues.protocol import Inspection, VenueContext

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Inspected(PaperVenue):
    """An account that says something of itself, and repeats its secret where it should not."""

    def __init__(self, context: VenueContext, settings: PaperSettings) -> None:
        super().__init__(context, settings)
        config_file = context.settings_file.with_name("credentials.toml")
        self.keys = find_credentials(context.name, config_file, os.environ) or Credentials("nowhere", secret="nothing")

    async def connect(self) -> None:
        """Connect, and log more than is good."""
        log.error("venue.chatted", secret=self.keys.secret)
        await super().connect()

    async def inspect(self) -> Inspection:
        """Return one finding of each kind."""
        return Inspection(
            fine=["clock 3 ms ahead", "position mode one_way", f"asked GET /account?signature={self.keys.secret}"],
            problems=[Problem("the key can withdraw", found=f"key {self.keys.api_key}", mend="take that right away")],
        )


class Quiet(PaperVenue):
    """An account of which there is nothing to complain."""


class Refusing(Inspected):
    """Does not accept the keys."""

    async def connect(self) -> None:
        """Refuse, and quote the request."""
        raise KeysRefused("the keys are not accepted", found=f"GET /account?signature={self.keys.secret}")


class Unreachable(PaperVenue):
    """Does not answer."""

    async def connect(self) -> None:
        """Time out."""
        raise VenueUnreachable("no answer", where=f"venue {self.name}")


class Hanging(PaperVenue):
    """Never comes to an end."""

    async def connect(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


class Broken(Inspected):
    """Was written in a hurry."""

    async def connect(self) -> None:
        """Fail in a way that nobody thought of."""
        raise RuntimeError(f"no route for {self.keys.secret}")


class Reserved(Quiet):
    """Does not tell what the account is worth."""

    async def inspect(self) -> Inspection:
        """Return something."""
        return Inspection(fine=["the keys work"])

    async def equity(self) -> Decimal:
        """Refuse the right to read it."""
        raise KeysRefused("this key may not read the balance")


KINDS: Mapping[str, type[PaperVenue]] = {
    kind.__name__.lower(): kind for kind in (Inspected, Quiet, Refusing, Unreachable, Hanging, Broken, Reserved)
}


def __getattr__(name: str) -> Callable[[VenueContext, Mapping[str, object]], PaperVenue]:
    """Return the opener `open_KIND`, for the entry point of each kind."""
    kind = KINDS.get(name.removeprefix("open_"))
    if kind is None:
        raise AttributeError(name)

    def opened(context: VenueContext, table: Mapping[str, object]) -> PaperVenue:
        where = str(context.settings_file)
        return kind(context, read_table(table, PaperSettings, where=where, prefix=f"venues.{context.name}."))

    return opened


def install(folder: Path) -> str:
    """Write what an installation leaves in site-packages and return a PYTHONPATH on which it is found."""
    metadata = folder / "inspected_venues-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: inspected-venues\nVersion: 1.0\n")
    entries = "".join(f"{name} = {__name__}:open_{name}\n" for name in KINDS)
    (metadata / "entry_points.txt").write_text(f"[portfoliod.venues]\n{entries}")
    return f"{folder}:{Path(__file__).parents[2]}"
