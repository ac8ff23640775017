"""The tables of what the daemon tells to others than the log. Read at the start; a change needs a restart."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Level = Literal["info", "warning", "error"]

PORT = r"([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

Daily = Annotated[str, msgspec.Meta(pattern=r"^$|^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class NotifyTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of `[notify] urls` that has a level of its own."""

    url: str
    level: Level | None = None


class NotifySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[notify]: messages to people, as apprise sends them. A url holds a secret, and is shown nowhere."""

    urls: tuple[str | NotifyTarget, ...] = ()
    level: Level = "warning"
    """Of those that have none of their own. info: fills too. warning: what may ask for a person. error: what does."""
    every_seconds: Annotated[float, msgspec.Meta(ge=1)] = 30.0
    """What happens within so many seconds is one message; there is no other one sooner."""
    daily: Daily = ""
    """HH:MM, UTC: when a summary is sent; empty: never."""


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[metrics]: figures for Prometheus."""

    listen: Annotated[str, msgspec.Meta(pattern=rf"^$|^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):{PORT}$")] = ""
    """HOST:PORT; empty: nobody listens."""
