"""A workspace whose venues are emulated exchanges, for the real daemon in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.emulators.__main__ import inline
from tests.harness.daemon import Daemon
from tests.harness.workspace import Files
from tests.venues.exchanges import environment_of

QUICK = "[reconciler]\nresync_seconds = 1\n\n[risk]\nmax_orders_per_minute = 0\n"


def venue_table(exchange: Any, kind: str, others: Mapping[str, object] | None = None, *, venue: str = "main") -> str:
    """Return the table of a venue on an emulator."""
    table = {"driver": "ccxt", "exchange": kind, "options": exchange.options(), **(others or {})}
    lines = [f"{name} = {inline(value)}" for name, value in table.items()]
    return "\n".join([f"[venues.{venue}]", *lines, ""])


def live_daemon(
    files: Files,
    exchange: Any,
    kind: str,
    *arguments: str,
    settings: str = QUICK,
    venue: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> Daemon:
    """Start `run --live` on one exchange, the venue `main`, whose keys are in the environment."""
    files.settings(f'mode = "live"\ndefault_venue = "main"\n{settings}\n{venue_table(exchange, kind, venue)}')
    variables = environment_of(exchange.credentials) | dict(environment or {})
    return Daemon(files.root, "--live", *arguments, environment=variables, verbose=verbose)
