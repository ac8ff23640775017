"""The main job: real strategies on real candles, weighed, and traded on a replay.

On the way a folder is dropped in, one is removed, a file is corrupted and mended, and the daemon is killed and started
again. Beside it stands what a plain calculation says must come out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from portfoliod.demo.lapse import TimeLapse, publish_history, record
from portfoliod.prices.candles import Candles, Floats, Integers, find_candles, read_candles
from portfoliod.prices.markets import MARKETS
from portfoliod.prices.simulated import SimulatedPrices
from portfoliod.sdk import load
from portfoliod.venues.paper.account import Account
from portfoliod.venues.paper.feed import ReplayFeed
from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files

ROOT = Path(__file__).parents[2]
RECORDED = ROOT.parent / "shared" / "data"
SYMBOLS = ("ADAUSDT", "BNBUSDT", "BTCUSDT", "ETHUSDT", "LTCUSDT")
HOUR, DAY = 3600, 86400
FEE_BPS, SPREAD_AND_SLIPPAGE_BPS = 5.0, 2.0
LATEST = 24 * HOUR
"""On the replay's clock: later than this after a change a decision or a fill is another one's."""
Moments: TypeAlias = Mapping[str, Floats]
COST = (FEE_BPS + SPREAD_AND_SLIPPAGE_BPS) / 10_000
NEWCOMER, LEAVER, VICTIM = "bnb_steady_trend", "eth_breakout", "majors_momentum"


@dataclass
class Bar:
    """What was in force while one candle lasted."""

    opened: int
    wants: dict[str, Mapping[str, float]]
    config: dict[str, Any]


@dataclass
class MainJob:
    """What came of it."""

    equity: float
    predicted: float
    orders: int
    duplicates: int
    config: dict[str, Any]
    unexplained: dict[str, tuple[Decimal, Decimal]]
    bars: list[Bar] = field(repr=False)
    events: list[dict[str, Any]] = field(repr=False)

    def first(self, event: str) -> dict[str, Any]:
        """Return the first log event of a name."""
        return next(found for found in self.events if found["event"] == event)


def recorded_candles() -> Mapping[str, Candles]:
    """Return real hourly candles where they are at hand, else simulated ones of the same length."""
    if RECORDED.is_dir():
        found = find_candles(RECORDED, HOUR)
        if set(SYMBOLS) <= found.keys():
            return {symbol: read_candles(found[symbol]) for symbol in SYMBOLS}
    prices = SimulatedPrices(1)
    end = 1_638_748_800
    return {
        symbol: prices.candles(symbol.removesuffix("USDT"), "USDT", HOUR, end - 491 * DAY, end) for symbol in SYMBOLS
    }


def run_main_job(root: Path, *, days: int, bars_a_second: float, accidents: bool = True) -> MainJob:
    """Trade the last `days` of the candles in a workspace, with the accidents or in peace."""
    candles = recorded_candles()
    start = (int(candles["BTCUSDT"].time[-1]) + HOUR) // DAY * DAY - days * DAY
    names = [path.parent.name for path in sorted((ROOT / "strategies").glob("*/strategy.py"))]
    for name in names:
        folder = root / ("waiting" if name == NEWCOMER else "strategies") / name
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "strategies" / name / "strategy.py", folder)
        publish_history(load(folder / "strategy.py"), candles, start, FEE_BPS + SPREAD_AND_SLIPPAGE_BPS)
    record(candles, start - HOUR, root / "recorded")
    Files(root).settings(
        f'[venues.paper]\nprices = "candles:recorded"\nspeed = {HOUR * bars_a_second}\n'
        "[reconciler]\nresync_seconds = 2\n[risk]\nmax_orders_per_minute = 0\n"
    )
    return _Run(root, candles, names, days * 24, bars_a_second, accidents=accidents).run()


class _Run:
    def __init__(
        self,
        root: Path,
        candles: Mapping[str, Candles],
        names: list[str],
        count: int,
        bars_a_second: float,
        *,
        accidents: bool,
    ) -> None:
        self.root = root
        self.candles = candles
        self.count = count
        self.speed = bars_a_second
        self.names = names
        self.accidents = accidents
        self.bars: list[Bar] = []
        self.events: list[dict[str, Any]] = []
        self.daemon: Daemon

    def run(self) -> MainJob:
        self.daemon = Daemon(self.root)
        try:
            self.daemon.wait_for("config.accepted")
            feed = self._feed()
            present = [load(self.root / "strategies" / name / "strategy.py") for name in self.names if name != NEWCOMER]
            lapse = TimeLapse(present, self.candles, feed)
            acts = self._acts(lapse) if self.accidents else []
            while (index := self._wait_for_bar(feed)) <= self.count:
                share = index / self.count
                while acts and share >= acts[0][0]:
                    acts.pop(0)[1]()
                lapse.publish(time.time(), silent=(VICTIM,) if self.accidents and 0.4 <= share < 0.5 else ())
                self._note(lapse, feed)
            equity = self._equity_after_resync()
            if self.daemon.terminate() != 0:
                raise AssertionError("the daemon did not stop in order")
        finally:
            self.daemon.kill()
            self.events += self.daemon.events
        return self._result(equity)

    def _acts(self, lapse: TimeLapse) -> list[tuple[float, Callable[[], object]]]:
        """Return the accidents, each with the share of the run after which it happens."""
        victim = self.root / "strategies" / VICTIM / "state.json"

        def drop_in() -> None:
            (self.root / "waiting" / NEWCOMER).rename(self.root / "strategies" / NEWCOMER)
            lapse.add(load(self.root / "strategies" / NEWCOMER / "strategy.py"))

        def remove() -> None:
            lapse.remove(LEAVER)
            shutil.rmtree(self.root / "strategies" / LEAVER)

        def kill() -> None:
            self.daemon.kill()
            self.events += self.daemon.events
            self.daemon = Daemon(self.root)

        return [
            (0.2, drop_in),
            (0.4, lambda: victim.write_text('{"positions": {"BTCUSDT": 0.25, "ETHU')),
            (0.5, lambda: lapse.publish_again(VICTIM)),
            (0.6, remove),
            (0.75, kill),
        ]

    def _feed(self) -> ReplayFeed:
        account = Account("paper", self.root / "var/paper-paper.db", Decimal(0), 0.0, read_only=True)
        feed = ReplayFeed(self.root / "recorded", "USDT", HOUR * self.speed, account.opened_at)
        account.close()
        return feed

    def _wait_for_bar(self, feed: ReplayFeed) -> int:
        """Wait until the replay enters the next candle, and return its number."""
        done = self.bars[-1].opened if self.bars else 0
        while feed.recorded(time.time()) // HOUR * HOUR <= done:
            time.sleep(0.05 / self.speed)
        first = feed.recorded(0.0)
        return int((feed.recorded(time.time()) - first) // HOUR)

    def _note(self, lapse: TimeLapse, feed: ReplayFeed) -> None:
        """Note what is in force in this bar; while the daemon is down that is what was."""
        opened = int(feed.recorded(time.time()) // HOUR * HOUR)
        if self.bars and not self.daemon.named("venue.connected"):
            self.bars.append(Bar(opened, self.bars[-1].wants, self.bars[-1].config))
            return
        config = json.loads((self.root / "config/portfolio_config.json").read_bytes())
        self.bars.append(Bar(opened, dict(lapse.published), config))

    def _equity_after_resync(self) -> float:
        """Return the equity that the daemon itself read after the last bar."""
        asked = time.time()
        with contextlib.closing(sqlite3.connect(self.root / "var/journal.db")) as journal:
            while True:
                row = journal.execute("SELECT equity FROM equity WHERE at > ?", (asked,)).fetchone()
                if row is not None:
                    return float(row[0])
                time.sleep(0.1)

    def _moments(self, table: str) -> Moments:
        """Return when the journal's rows were written, on the replay's clock, by symbol as the candles name it."""
        feed = self._feed()
        found: dict[str, list[float]] = {symbol: [] for symbol in SYMBOLS}
        with contextlib.closing(sqlite3.connect(self.root / "var/journal.db")) as journal:
            for symbol, at in journal.execute(f"SELECT symbol, at FROM {table} ORDER BY at"):
                found[symbol.split(":")[0].replace("/", "")].append(feed.recorded(at))
        return {symbol: np.array(moments) for symbol, moments in found.items()}

    def _result(self, equity: float) -> MainJob:
        account = Account("paper", self.root / "var/paper-paper.db", Decimal(0), 0.0, read_only=True)
        held = account.positions()
        orders = account.count_orders()
        account.close()
        journal = sqlite3.connect(self.root / "var/journal.db")
        intents = journal.execute("SELECT count(*) FROM intents WHERE status = 'done'").fetchone()[0]
        expected = {
            symbol: Decimal(quantity) for symbol, quantity in journal.execute("SELECT symbol, expected FROM books")
        }
        differing = {
            symbol: (quantity, held.get(symbol, Decimal(0)))
            for symbol, quantity in expected.items()
            if quantity != held.get(symbol, Decimal(0))
        }
        return MainJob(
            equity=equity,
            predicted=predict(self.bars, self.candles, self._moments("decisions"), self._moments("fills")),
            orders=orders,
            duplicates=orders - intents,
            config=self.bars[-1].config,
            unexplained=differing,
            bars=self.bars,
            events=self.events,
        )


def predict(bars: list[Bar], candles: Mapping[str, Candles], decided: Moments, filled: Moments) -> float:
    """Return the final equity by a plain vectorised calculation.

    How much is traded follows from the published positions and the weights in force at each bar: a market is sized at
    the open of the bar when its notional changes, rounded to whole steps, and traded at a constant cost. When, the
    daemon's record says: on a busy machine it may come a bar late, and that is no mistake in what it computes.
    """
    times = np.array([bar.opened for bar in bars])
    every = np.arange(len(bars))
    equity = 10_000.0
    for symbol in SYMBOLS:
        market = candles[symbol]
        index = np.searchsorted(market.time, times, side="right") - 1
        opens = np.append(market.open[index], market.close[-1])
        notional = np.array(
            [
                bar.config["account_value"]
                * bar.config["leverage"]
                * sum(
                    bar.config["weights"].get(name, 0.0) * wants.get(symbol, 0.0) for name, wants in bar.wants.items()
                )
                for bar in bars
            ]
        )
        step = float(MARKETS[symbol.removesuffix("USDT")].step)
        wanted = np.flatnonzero(np.diff(notional, prepend=0.0))
        sized = _bars_of(_first_since(decided[symbol], times[wanted]), times, at_least=wanted)
        traded = _bars_of(_first_since(filled[symbol], times[sized]), times, at_least=sized)
        quantity = np.zeros(len(bars))
        for want, size, trade in zip(wanted, sized, traded, strict=True):
            quantity[every >= trade] = round(notional[want] / opens[size] / step) * step
        turnover = np.abs(np.diff(quantity, prepend=0.0)) * opens[:-1]
        equity += float(quantity @ np.diff(opens) - COST * turnover.sum())
    return equity


def _first_since(moments: Floats, since: Integers) -> Floats:
    """Return the first moment at or after each of these; that itself where there is none, or none for a while."""
    found = np.append(moments, np.inf)[np.searchsorted(moments, since)]
    return np.where(found < since + LATEST, found, since)


def _bars_of(moments: Floats, times: Integers, at_least: Integers) -> Integers:
    return np.maximum(np.searchsorted(times, moments, side="right") - 1, at_least)


def main() -> None:
    """Run the job and print what matters."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--bars-a-second", type=float, default=20.0)
    parser.add_argument("--in-peace", action="store_true", help="without the accidents")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portfoliod-main-job-") as folder:
        root = Path(folder)
        job = run_main_job(root, days=options.days, bars_a_second=options.bars_a_second, accidents=not options.in_peace)
        config = job.config
        for name, weight in sorted(config["weights"].items(), key=lambda item: -item[1]):
            print(f"  {name:<22} {weight:.4f}")
        print(f"leverage {config['leverage']}, volatility {config['ann_volatility_pct']} %")
        print(f"score {config['score']}, optimality gap {config['optimality_gap']}")
        print(f"{len(job.bars)} bars, {job.orders} orders, {job.duplicates} duplicates")
        print(f"positions that fills do not explain: {job.unexplained or 'none'}")
        print(
            f"equity {job.equity:.2f}, predicted {job.predicted:.2f}: {100 * (job.equity / job.predicted - 1):+.3f} %"
        )
        if not options.in_peace:
            print(f"corrupt file: {job.first('state.rejected')}\nremoved folder: {job.first('strategy.removed')}")
        print(run_command(root, "status").stdout)


if __name__ == "__main__":
    main()
