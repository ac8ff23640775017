"""From a driver's name to a venue."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from typing import cast

from portfoliod.errors import SettingsError
from portfoliod.venues.protocol import Venue, VenueContext

Opener = Callable[[VenueContext, Mapping[str, object]], Venue]
"""(context, the venue's table of settings) -> a venue that is not connected yet. Raises SettingsError."""

GROUP = "portfoliod.venues"
BUILT_IN = {
    "ccxt": "portfoliod.venues.ccxtpro:open_ccxt",
    "paper": "portfoliod.venues.paper:open_paper",
    "script": "portfoliod.venues.script:open_script",
}


def open_venue(context: VenueContext, table: Mapping[str, object]) -> Venue:
    """Return the venue that a table of settings describes, not connected yet.

    Raises:
        SettingsError: the table names no known driver, or does not fit the driver.
    """
    driver = str(table.get("driver"))
    if driver in BUILT_IN:
        module, _, function = BUILT_IN[driver].partition(":")
        opener = cast("Opener", getattr(importlib.import_module(module), function))
        return opener(context, table)
    # Reading the entry points of an environment takes tens of milliseconds: only for drivers that are not ours.
    installed = {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}
    if driver not in installed:
        known = ", ".join(sorted({*BUILT_IN, *installed}))
        raise SettingsError(
            "unknown driver",
            where=f"{context.settings_file}  venues.{context.name}.driver",
            found=driver,
            mend=f"write one of: {known}; or install the package that registers it",
        )
    opener = cast("Opener", installed[driver].load())
    return opener(context, table)
