"""The daemon on emulated exchanges: state.json to the order's arrival there, one at a time and in a burst."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from tests.emulators.binance import BinanceFutures
from tests.emulators.okx import OkxSwap
from tests.emulators.server import Exchange
from tests.harness.daemon import Daemon
from tests.harness.exchange import live_daemon
from tests.harness.workspace import Files

CHANGES = 100
COINS = [f"C{letter}" for letter in "ABCDEFGHIJKLMNOPQRST"]
BURST = 20
UNLIMITED = "[risk]\nmax_orders_per_minute = 0\n"


def main() -> None:
    """Measure and print."""
    for exchange, kind, model in (
        (BinanceFutures(), "binanceusdm", "ETHUSDT"),
        (OkxSwap(), "okx", "ETH-USDT-SWAP"),
    ):
        _list_more(exchange, model)
        with exchange, tempfile.TemporaryDirectory(prefix="portfoliod-bench-") as folder:
            files = Files(Path(folder))
            files.portfolio({f"bench_{number}": 1 / BURST for number in range(BURST)}, account_value=100_000)
            for number in range(BURST):
                files.state(f"bench_{number}", 1.0, f"{COINS[number]}/USDT:USDT")
            with live_daemon(files, exchange, kind, settings=UNLIMITED) as daemon:
                for coin in COINS:
                    daemon.wait_for("order.filled", symbol=f"{coin}/USDT:USDT")
                _one_at_a_time(files, exchange, kind)
                _burst(files, exchange, daemon, kind)


def _list_more(exchange: Exchange, model: str) -> None:
    """List a market for each coin, like the model."""
    account = exchange.account
    for coin in COINS:
        name = model.replace("ETH", coin)
        account.markets[name] = msgspec.structs.replace(account.markets[model], id=name, base=coin)
        account.prices[name] = account.prices[model]


def _one_at_a_time(files: Files, exchange: Exchange, kind: str) -> None:
    """Time from the rename that publishes a state to the order's arrival at the exchange, by one monotonic clock."""
    chance = random.Random(1)  # spreads the changes over the watcher's steps
    took = []
    for change in range(CHANGES):
        time.sleep(0.15 * chance.uniform(0.7, 1.3))
        placed = exchange.count("place")
        started = time.monotonic()
        files.state("bench_1", 0.0 if change % 2 == 0 else 1.0, f"{COINS[1]}/USDT:USDT")
        _wait_for_orders(exchange, placed + 1)
        took.append((_arrivals(exchange)[placed] - started) * 1000)
    took.sort()
    print(f"{kind}: state.json replaced -> order at the exchange, {CHANGES} changes:")
    p50, p95 = statistics.median(took), took[int(CHANGES * 0.95)]
    print(f"  p50 {p50:.1f} ms, p95 {p95:.1f} ms, worst {took[-1]:.1f} ms (asked for: p50 <= 20)")


def _burst(files: Files, exchange: Exchange, daemon: Daemon, kind: str) -> None:
    """Time from a change of all weights to the arrival of the last order."""
    time.sleep(12)  # the budget fills up
    placed, since = exchange.count("place"), daemon.mark()
    started = time.monotonic()
    files.portfolio({f"bench_{number}": 0.5 / BURST for number in range(BURST)}, account_value=100_000)
    _wait_for_orders(exchange, placed + BURST)
    took = (_arrivals(exchange)[placed + BURST - 1] - started) * 1000
    daemon.wait_for("order.filled", since=since)
    print(f"{kind}: {BURST} orders in a burst: the last one after {took:.0f} ms (asked for: 500 ms)")


def _wait_for_orders(exchange: Exchange, count: int) -> None:
    exchange.wait_for(lambda: exchange.count("place") >= count)


def _arrivals(exchange: Exchange) -> list[float]:
    return [request.at for request in exchange.requests if request.kind == "place"]


if __name__ == "__main__":
    main()
