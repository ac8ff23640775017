"""Exchanges through ccxt.pro: one account each.

ccxt is imported when a venue is opened whose settings and credentials can be read, never before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from portfoliod.credentials import find_credentials
from portfoliod.logs import conceal
from portfoliod.settings import read_table
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.protocol import Venue, VenueContext


def open_ccxt(context: VenueContext, table: Mapping[str, object]) -> Venue:
    """Return a venue on an exchange; see `portfoliod.venues.registry.Opener`."""
    where = str(context.settings_file)
    settings = read_table(table, CcxtSettings, where=where, prefix=f"venues.{context.name}.")
    credentials = find_credentials(context.name, context.settings_file.with_name("credentials.toml"), os.environ)

    from portfoliod.venues.ccxtpro.client import require_credentials
    from portfoliod.venues.ccxtpro.venue import CcxtVenue

    require_credentials(settings, credentials, context.name, f"{where}  venues.{context.name}")
    if credentials is not None:
        conceal(credentials.redact)
    return CcxtVenue(context, settings, credentials)
