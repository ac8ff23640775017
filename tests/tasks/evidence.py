"""What can be seen from outside of the daemon: the paper account, the journal, and how to wait for either."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from portfoliod.venues.paper.account import Account
from tests.harness.daemon import PATIENCE
from tests.harness.workspace import Files

Seen = TypeVar("Seen")

BTC, ETH, BNB, LTC = (f"{base}/USDT:USDT" for base in ("BTC", "ETH", "BNB", "LTC"))
FLAT_PRICES = {"BTC": 50_000, "ETH": 2_500, "BNB": 500, "LTC": 100, "SOL": 200, "ADA": 0.5}
QUICK = "[reconciler]\nresync_seconds = 0.2\n"


def until(look: Callable[[], Seen], fits: Callable[[Seen], bool] = bool) -> Seen:
    """Look until what is seen fits and return it; fail with what was seen last."""
    deadline = time.monotonic() + PATIENCE
    while not fits(seen := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {seen!r} after {PATIENCE:g} s")
        time.sleep(0.01)
    return seen


def flat_market(files: Files, venue: str = "paper", others: str = "") -> str:
    """Record markets whose prices stand still and return the table of a paper venue that replays them."""
    folder = files.root / "recorded"
    folder.mkdir(exist_ok=True)
    start = 1_700_000_000 // 3600 * 3600
    for base, price in FLAT_PRICES.items():
        rows = [f"{start + hour * 3600},{price},{price},{price},{price},1" for hour in range(48)]
        (folder / f"{base}USDT-1h.csv").write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")
    return f'[venues.{venue}]\ndriver = "paper"\nprices = "candles:recorded"\n{others}\n'


def query(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query; none where the file or its tables do not exist yet."""
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


def journal(root: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query on the journal."""
    return query(root / "var/journal.db", sql, *values)


def positions(root: Path, venue: str = "paper") -> dict[str, Decimal]:
    """Return the positions of a paper account."""
    rows = query(root / f"var/paper-{venue}.db", "SELECT symbol, quantity FROM positions")
    return {symbol: Decimal(quantity) for symbol, quantity in rows}


def until_positions(root: Path, venue: str = "paper", **wanted: str) -> None:
    """Wait until an account holds exactly these quantities, by base currency."""
    expected = {f"{base}/USDT:USDT": Decimal(quantity) for base, quantity in wanted.items()}
    until(lambda: positions(root, venue), lambda held: held == expected)


def trades(root: Path, venue: str = "paper") -> list[tuple[str, str, Decimal]]:
    """Return symbol, side and quantity of all trades of a paper account, in their order."""
    rows = query(root / f"var/paper-{venue}.db", "SELECT symbol, side, quantity FROM trades ORDER BY id")
    return [(symbol, side, Decimal(quantity)) for symbol, side, quantity in rows]


def hold(root: Path, symbol: str, quantity: str, venue: str = "paper") -> None:
    """Set a position of a paper account behind the daemon's back."""
    path = root / f"var/paper-{venue}.db"
    path.parent.mkdir(exist_ok=True)
    Account(venue, path, Decimal(10_000), time.time(), read_only=False).close()
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection, connection:
        if Decimal(quantity) == 0:
            connection.execute("DELETE FROM positions WHERE symbol = ?", (symbol,))
        else:
            connection.execute("INSERT OR REPLACE INTO positions VALUES (?, ?)", (symbol, quantity))


def let_resync(root: Path, times: int = 3) -> None:
    """Wait until the daemon has looked at everything a few times more."""
    since = time.time()
    until(lambda: len(journal(root, "SELECT at FROM equity WHERE at > ? GROUP BY round(at, 1)", since)) >= times)


def intents(root: Path) -> list[tuple[str, str, Decimal, bool, str]]:
    """Return symbol, side, quantity, whether it only reduces, and status of all intents, in their order."""
    rows = journal(root, "SELECT symbol, side, quantity, reduce_only, status FROM intents ORDER BY number")
    return [(symbol, side, Decimal(quantity), bool(only), status) for symbol, side, quantity, only, status in rows]


def config(root: Path) -> dict[str, Any]:
    """Return portfolio_config.json."""
    content: dict[str, Any] = json.loads((root / "config/portfolio_config.json").read_bytes())
    return content


def market(root: Path, symbol: str, venue: str = "paper") -> dict[str, Any]:
    """Return a market's row of status.json, with empty values where there is none yet."""
    with contextlib.suppress(FileNotFoundError):
        for row in json.loads((root / "var/status.json").read_bytes())["markets"]:
            if (row["venue"], row["symbol"]) == (venue, symbol):
                found: dict[str, Any] = row
                return found
    return {"target": "", "position": "", "price": "", "status": "", "reason": ""}
