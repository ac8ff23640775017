"""A workspace as a user would fill it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np


def replace(path: Path, content: str | bytes) -> None:
    """Replace a file atomically, as a careful strategy does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)


class Files:
    """Writes the files of a workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def state(self, strategy: str, position: float, symbol: str = "BTCUSDT", **others: object) -> Path:
        """Publish a state for one market."""
        path = self.root / "strategies" / strategy / "state.json"
        replace(path, json.dumps({"position": position, "symbol": symbol, **others}))
        return path

    def stats(self, strategy: str, returns: Sequence[float], last_day: str | None = None) -> Path:
        """Publish daily returns that end yesterday, or on the given day."""
        last = datetime.fromisoformat(last_day).date() if last_day else datetime.now(UTC).date() - timedelta(days=1)
        days = [str(last - timedelta(days=back)) for back in range(len(returns) - 1, -1, -1)]
        path = self.root / "strategies" / strategy / "stats.json"
        replace(path, json.dumps({"daily_dates": days, "daily_returns": list(returns)}))
        return path

    def portfolio(
        self, weights: Mapping[str, float], leverage: float = 1.0, account_value: float = 10_000, **others: object
    ) -> Path:
        """Write portfolio_config.json by hand."""
        path = self.root / "config" / "portfolio_config.json"
        replace(
            path,
            json.dumps({"account_value": account_value, "weights": dict(weights), "leverage": leverage, **others}),
        )
        return path

    def settings(self, text: str) -> Path:
        """Write portfoliod.toml."""
        path = self.root / "config" / "portfoliod.toml"
        replace(path, text)
        return path


def noisy_returns(seed: int, days: int = 400, drift: float = 0.001, volatility: float = 0.01) -> list[float]:
    """Return daily returns with a drift."""
    return [float(value) for value in np.random.default_rng(seed).normal(drift, volatility, days).round(8)]


def write_in_place(path: Path, content: bytes) -> None:
    """Overwrite a file the careless way: truncate, then write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, content)
    os.close(descriptor)
