"""How long the daemon takes to start on a journal of years: `python -m benchmarks.journal` makes one and starts it.

Making ten million rows takes a few minutes and 3 GB of disk.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.harness.daemon import Daemon
from tests.harness.workspace import Files

ROWS = 10_000_000
SHARES = {"decisions": 0.2, "intents": 0.3, "fills": 0.4, "equity": 0.1}
"""Of the rows, by table."""
COLUMNS = {
    "decisions": "number, at, venue, symbol, exposure, account_value, notional, price, quantity, contributions",
    "intents": "number, client_id, at, venue, symbol, side, quantity, reduce_only, decision, reason, status, outcome",
    "fills": "venue, symbol, trade_id, client_id, side, quantity, price, fee, fee_currency, at",
    "equity": "venue, at, equity",
}
STARTS = 5
SYMBOL = "BTC/USDT:USDT"
A_MINUTE = 60.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.journal", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="portfoliod-bench-") as folder:
        files = Files(Path(folder))
        files.portfolio({"trend": 1.0})
        files.state("trend", 1.0)
        _traded(files)
        journal = files.root / "var/journal.db"
        _grow(journal, rows)
        took = sorted(_start(files) for _ in range(STARTS))
        print(f"journal of {rows:,} rows, {journal.stat().st_size / 1e9:.1f} GB:")
        median = statistics.median(took)
        print(f"  process start -> daemon.started: median {median:.2f} s of {STARTS} (asked for: <= 2 s)")
        print(f"  without them: {_without(files, journal):.2f} s")


def _traded(files: Files) -> None:
    with Daemon(files.root) as daemon:
        daemon.wait_for("order.filled")
        daemon.terminate()


def _start(files: Files) -> float:
    began = time.monotonic()
    with Daemon(files.root) as daemon:
        daemon.wait_for("daemon.started")
        took = time.monotonic() - began
        daemon.terminate()
    return took


def _without(files: Files, journal: Path) -> float:
    for path in journal.parent.glob(f"{journal.name}*"):
        path.unlink()
    (journal.parent / "paper-paper.db").unlink()
    _traded(files)
    return statistics.median(_start(files) for _ in range(STARTS))


def _grow(journal: Path, rows: int) -> None:
    """Put a history of closed orders before what is there."""
    connection = sqlite3.connect(journal, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    counts = {table: int(rows * share) for table, share in SHARES.items()}
    now = time.time()
    connection.execute("BEGIN")
    for table, past in {
        "decisions": _decisions(counts["decisions"], now),
        "intents": _intents(counts["intents"], now),
        "fills": _fills(counts["fills"], now),
        "equity": (("paper", now - A_MINUTE * (n + 1), "10000") for n in range(counts["equity"])),
    }.items():
        if table in {"decisions", "intents"}:  # the newest have the highest numbers
            connection.execute(f"UPDATE {table} SET number = number + {counts[table]}")
        columns = COLUMNS[table]
        places = ", ".join("?" * (columns.count(",") + 1))
        connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", past)
    connection.execute(f"UPDATE targets SET decision = decision + {counts['decisions']}")
    newer = f"number > {counts['intents']}"
    connection.execute(f"UPDATE intents SET decision = decision + {counts['decisions']} WHERE {newer}")
    connection.execute("COMMIT")
    connection.close()


def _decisions(count: int, now: float) -> Iterator[tuple[object, ...]]:
    for n in range(1, count + 1):
        at = now - A_MINUTE * (count - n + 1)
        yield n, at, "paper", SYMBOL, "1", "10000", "10000", "60000", "0.16", '[["trend","1","1"]]'


def _intents(count: int, now: float) -> Iterator[tuple[object, ...]]:
    for n in range(1, count + 1):
        at, side = now - A_MINUTE * (count - n + 1), "buy" if n % 2 else "sell"
        yield n, f"{n:028x}", at, "paper", SYMBOL, side, "0.1", 0, 1 + n // 2, "adjust", "done", "closed"


def _fills(count: int, now: float) -> Iterator[tuple[object, ...]]:
    for n in range(1, count + 1):
        at, side = now - A_MINUTE * (count - n + 1), "buy" if n % 2 else "sell"
        yield "paper", SYMBOL, f"old-{n}", f"{n:028x}", side, "0.1", "60000", "3", "USDT", at


if __name__ == "__main__":
    main()
