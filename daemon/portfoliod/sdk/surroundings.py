"""What a strategy takes from the workspace that it lies in: the prices of the venue that it is traded on."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

from portfoliod.errors import FileRejected, UsageError
from portfoliod.sdk.sources import Source, open_source

_PAPER: dict[str, Any] = {"driver": "paper"}


def workspace_source(path: Path) -> Source:
    """Return the source of the same prices that the strategy is traded at.

    The venue is the one that `exchanges` in portfolio_config.json routes the strategy to, else `default_venue` in
    portfoliod.toml, else the paper venue. What the settings hold besides is the daemon's to judge.

    Args:
        path: the strategy.py.

    Raises:
        UsageError: the venue's prices cannot be had; simulated ones would be a guess, and money may be at stake.
        FileRejected: a file of the workspace cannot be read.
    """
    root = Path(os.environ.get("PORTFOLIOD_ROOT") or path.parent.parent.parent).absolute()
    settings = _read(root / "config" / "portfoliod.toml", tomllib.loads)
    portfolio = _read(root / "config" / "portfolio_config.json", json.loads)
    routes = portfolio.get("exchanges") or {}
    name = routes.get(path.parent.name, settings.get("default_venue", "paper"))
    venue = (settings.get("venues") or {}).get(name, {})
    if name == "paper":
        venue = _PAPER | venue
    match venue:
        case {"driver": "paper"}:
            prices = venue.get("prices", "simulated")
            return open_source(f"simulated:{venue.get('seed', 1)}" if prices == "simulated" else str(prices), root)
        case {"driver": "ccxt", "exchange": str(exchange)}:
            return open_source(f"ccxt:{exchange}", root)
    raise UsageError(
        f"the candles of venue {name} are not known",
        where=str(root / "config" / "portfoliod.toml"),
        mend="say where they come from: --source candles:DIR or --source ccxt:EXCHANGE",
    )


def _read(path: Path, parse: Any) -> dict[str, Any]:
    try:
        content = parse(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise FileRejected(
            f"{path.name} cannot be read", where=str(path), found=str(error), mend="mend it, or name a --source"
        ) from error
    return content if isinstance(content, dict) else {}
