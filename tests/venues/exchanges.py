"""Venues on the emulated exchanges, opened as the daemon opens them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from portfoliod.venues import Venue, VenueContext, open_venue

VARIABLES = {"apiKey": "API_KEY", "secret": "SECRET", "password": "PASSWORD"}


def environment_of(credentials: Mapping[str, str], venue: str = "main") -> dict[str, str]:
    """Return the variables that give a venue its credentials."""
    return {f"PORTFOLIOD_{venue.upper()}_{VARIABLES[name]}": value for name, value in credentials.items()}


@contextlib.contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def open_on(
    exchange: Any, kind: str, root: Path, *, read_only: bool = False, ledger: bool = False, **table: object
) -> Venue:
    """Return a venue `main` on an emulator, not connected yet."""
    context = VenueContext("main", root / "var", root / "config/portfoliod.toml", read_only, ledger)
    with variables(environment_of(exchange.credentials)):
        return open_venue(context, {"driver": "ccxt", "exchange": kind, "options": exchange.options(), **table})


@contextlib.asynccontextmanager
async def opened(exchange: Any, kind: str, root: Path, **table: object) -> AsyncIterator[Venue]:
    """Yield a connected venue, closed at the end."""
    venue = open_on(exchange, kind, root, **table)  # type: ignore[arg-type]
    try:
        await venue.connect()
        yield venue
    finally:
        await venue.close()
