"""The settings of a workspace, whole or not at all."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from portfoliod.errors import SettingsError
from portfoliod.settings.decoding import nearest, read_table
from portfoliod.settings.limits import check_limits
from portfoliod.settings.source import KEPT, read_toml
from portfoliod.settings.tables import Settings

ALLOCATORS = ("slope_std", "min_variance", "equal", "inverse_vol", "hrp")
ALLOCATOR_GROUP = "portfoliod.allocators"
"""The entry points of packages that register another one."""
VENUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def load_settings(path: Path) -> Settings:
    """Return the settings of a file, or the defaults where it does not exist.

    Raises:
        SettingsError: with every problem of the file.
    """
    settings = read_table(read_toml(path), Settings, where=str(path))
    venues = {name: venue_table(settings.venues, name) for name in ("paper", *settings.venues)}
    for name, venue in venues.items():
        if "driver" not in venue:
            mend = 'add a line such as: driver = "paper"'
            raise SettingsError(f"[venues.{name}] names no driver", where=str(path), kept=KEPT, mend=mend)
    _check_names(settings, str(path))
    check_limits(settings.optimizer, str(path))
    if settings.default_venue not in venues:
        raise SettingsError(
            "default_venue is not one of the venues",
            where=f"{path}  default_venue",
            found=settings.default_venue,
            kept=KEPT,
            mend=f"name one of: {', '.join(sorted(venues))}",
        )
    return msgspec.structs.replace(settings, venues=venues)


def venue_table(venues: Mapping[str, Mapping[str, object]], name: str) -> Mapping[str, object]:
    """Return a venue's table, empty where there is none; the paper venue is there without a line."""
    return {**({"driver": "paper"} if name == "paper" else {}), **venues.get(name, {})}


def _check_names(settings: Settings, where: str) -> None:
    """Refuse names that only somebody who uses them would find wrong."""
    for name in settings.venues:
        if VENUE_NAME.fullmatch(name) is None:
            mend = "letters, digits, dashes and underscores"
            place = f"{where}  venues"
            raise SettingsError("not a venue's name", where=place, found=repr(name), kept=KEPT, mend=mend)
    allocator = settings.optimizer.allocator
    if unknown := unknown_allocator(allocator):
        what, mend = unknown
        raise SettingsError(what, where=f"{where}  optimizer.allocator", found=allocator, kept=KEPT, mend=mend)


def unknown_allocator(name: str) -> tuple[str, str] | None:
    """Return what is wrong with an allocator's name, and how to mend it; None where there is one of that name."""
    if name in ALLOCATORS:
        return None
    known = dict.fromkeys(
        (*ALLOCATORS, *(entry.name for entry in importlib.metadata.entry_points(group=ALLOCATOR_GROUP)))
    )
    if name in known:
        return None
    return f"unknown allocator{nearest(name, known)}", f"write one of: {', '.join(sorted(known))}"
