"""The daemon from outside: state.json to order, idle processor time, resident memory, start of the commands."""

from __future__ import annotations

import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.harness.daemon import Daemon
from tests.harness.workspace import Files, noisy_returns

STRATEGIES = 5
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "ADAUSDT", "LTCUSDT")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="portfoliod-bench-") as folder:
        root = Path(folder)
        files = Files(root)
        for number, symbol in enumerate(SYMBOLS):
            files.stats(f"bench_{number}", noisy_returns(number))
            files.state(f"bench_{number}", 1.0, symbol)
        files.settings('[optimizer]\nallocator = "equal"\n\n[risk]\nmax_orders_per_minute = 0\n')
        with Daemon(root) as daemon:
            for symbol in SYMBOLS:
                daemon.wait_for("order.filled", symbol=f"{symbol.removesuffix('USDT')}/USDT:USDT")
            process = psutil.Process(daemon.process.pid)
            _idle(process)
            _memory(process)
            _latency(root, files, daemon, changes=400, pause=0.075, when="while changes come")
            _latency(root, files, daemon, changes=6, pause=12.0, when="after seconds of silence")
    _help()


def _latency(root: Path, files: Files, daemon: Daemon, *, changes: int, pause: float, when: str) -> None:
    """Time from the rename that publishes a state to the fill on the paper venue, by the venue's own clock."""
    chance = random.Random(1)  # spreads the changes over the watcher's steps
    account = sqlite3.connect(f"file:{root}/var/paper-paper.db?mode=ro", uri=True)
    took = []
    for change in range(changes):
        seen = account.execute("SELECT max(id) FROM trades").fetchone()[0]
        time.sleep(pause * chance.uniform(0.7, 1.3))
        since = daemon.mark()
        started = time.time()
        files.state("bench_0", 0.5 if change % 2 else 1.5, "BTCUSDT")
        daemon.wait_for("order.filled", since=since)
        (filled,) = account.execute("SELECT min(at) FROM trades WHERE id > ?", (seen,)).fetchone()
        took.append((filled - started) * 1000)
    took.sort()
    p50, p99 = statistics.median(took), took[int(len(took) * 0.99)]
    print(f"state.json replaced -> order at the paper venue, {when}:")
    print(
        f"  p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {took[-1]:.1f} ms of {changes} (asked for: p50 <= 10, p99 <= 30)"
    )


def _idle(process: psutil.Process, seconds: float = 15.0) -> None:
    time.sleep(12)  # until the watcher has noticed that it is quiet
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    print(f"idle: {100 * used / seconds:.2f} % of a processor over {seconds:g} s (asked for: <= 1 %)")


def _memory(process: psutil.Process) -> None:
    resident = process.memory_info().rss / 1e6
    print(f"resident with {STRATEGIES} strategies on paper: {resident:.1f} MB (asked for: <= 90 MB)")


def _help() -> None:
    took = []
    for _ in range(15):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "portfoliod", "--help"], capture_output=True, check=True)
        took.append(time.perf_counter() - started)
    print(f"portfoliod --help: {statistics.median(took) * 1000:.0f} ms (asked for: <= 150 ms)")


if __name__ == "__main__":
    main()
