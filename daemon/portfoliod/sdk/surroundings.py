"""What a strategy takes from the workspace that it lies in: the prices of the venue that it is traded on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from portfoliod.errors import SettingsError, UsageError
from portfoliod.jsontext import decode
from portfoliod.sdk.sources import Source, open_source
from portfoliod.settings import parse_toml, read_table, venue_table
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.paper.venue import PaperSettings
from portfoliod.workspace import Workspace, read_settled


class _Choice(msgspec.Struct):
    default_venue: str = "paper"
    venues: Mapping[str, Mapping[str, object]] = {}


class _Routes(msgspec.Struct):
    exchanges: Mapping[str, str] = {}


def workspace_source(path: Path) -> Source:
    """Return the source of the same prices that the strategy is traded at.

    The venue is the one that `exchanges` in portfolio_config.json routes the strategy to, else `default_venue` in
    portfoliod.toml. Its table has to fit, whole: it says which market a symbol means. What else the two files hold is
    the daemon's to judge, which keeps what it had: a mistake in [risk] makes no strategy fall silent. Nor do they have
    to be this user's own: the daemon's user writes them, a strategy has another.

    Args:
        path: the strategy.py.

    Raises:
        UsageError: the venue's prices cannot be had; simulated ones would be a guess, and money may be at stake.
        SettingsError: portfoliod.toml is no TOML, or the venue's table does not fit.
        FileRejected: a file of the workspace cannot be read.
    """
    workspace = Workspace(Path(os.environ.get("PORTFOLIOD_ROOT") or path.absolute().parent.parent.parent))
    file, where = workspace.settings_file, str(workspace.settings_file)
    try:
        choice = msgspec.convert(parse_toml(_read(file), file), _Choice)
    except msgspec.ValidationError as error:
        raise SettingsError(
            "portfoliod.toml does not fit", where=where, found=str(error), mend="mend it: portfoliod check"
        ) from error
    shown = str(workspace.portfolio_file)
    raw = _read(workspace.portfolio_file) or b"{}"
    name = decode(raw, _Routes, shown, '{"exchanges": {"NAME": "VENUE"}}').exchanges.get(
        path.parent.name, choice.default_venue
    )
    table = venue_table(choice.venues, name)
    if table.get("driver") == "ccxt":
        from portfoliod.sdk.exchange import open_venue_candles

        return open_venue_candles(name, read_table(table, CcxtSettings, where=where, prefix=f"venues.{name}."), where)
    if table.get("driver") == "paper":
        paper = read_table(table, PaperSettings, where=where, prefix=f"venues.{name}.")
        if public := paper.public():
            from portfoliod.sdk.exchange import open_venue_candles

            return open_venue_candles(name, public, where, linear=True)
        return open_source(f"simulated:{paper.seed}" if paper.prices == "simulated" else paper.prices, workspace.root)
    raise UsageError(
        f"the candles of venue {name} are not known",
        where=where,
        mend="say where they come from: --source candles:DIR or --source ccxt:EXCHANGE",
    )


def _read(path: Path) -> bytes:
    """Return a file's content, b"" where there is none."""
    try:
        return read_settled(path, str(path))[0]
    except FileNotFoundError:
        return b""
