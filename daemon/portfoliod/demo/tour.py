"""`portfoliod demo`: a replay of simulated hours with the sample strategies, and the accidents that a daemon meets."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import click

from portfoliod.demo.lapse import TimeLapse, publish_history, record
from portfoliod.errors import PortfoliodError
from portfoliod.prices.candles import Candles
from portfoliod.prices.simulated import SimulatedPrices
from portfoliod.sdk import Strategy, load
from portfoliod.venues.paper.account import Account
from portfoliod.venues.paper.feed import ReplayFeed

SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "ADAUSDT", "LTCUSDT")
NEWCOMER = "btc_trend_24h_short"
VICTIM = "majors_momentum"
HOUR, DAY = 3600, 86400
HOURS_A_SECOND = 6
HISTORY_DAYS = 480
COST_BPS = 7.0

SETTINGS = f"""\
[venues.paper]
prices = "candles:recorded"
speed = {HOURS_A_SECOND * HOUR}

[reconciler]
resync_seconds = 5
"""


def run_demo(seconds: int) -> int:
    """Run the tour in a temporary workspace and return the exit code of the daemon."""
    with tempfile.TemporaryDirectory(prefix="portfoliod-demo-") as folder:
        return _Tour(Path(folder), seconds).run()


def samples() -> Path:
    """Return the folder of the sample strategies: in a checkout, else in the installed package.

    Raises:
        PortfoliodError: there is none.
    """
    package = Path(__file__).parents[1]
    for folder in (package.parents[1] / "strategies", package / "samples"):
        if folder.is_dir():
            return folder
    raise PortfoliodError("the sample strategies are not installed", where=str(package), mend="run it in a checkout")


class _Tour:
    def __init__(self, root: Path, seconds: int) -> None:
        self._root = root
        self._seconds = seconds
        end = int(time.time()) // HOUR * HOUR
        self._start = (end - (seconds + 10) * HOURS_A_SECOND * HOUR) // DAY * DAY
        simulated = SimulatedPrices(1)
        self._candles: Mapping[str, Candles] = {
            symbol: simulated.candles(symbol.removesuffix("USDT"), "USDT", HOUR, self._start - HISTORY_DAYS * DAY, end)
            for symbol in SYMBOLS
        }
        self._daemon: subprocess.Popen[bytes]

    def run(self) -> int:
        names = sorted(path.parent.name for path in samples().glob("*/strategy.py"))
        self._say(
            f"a workspace in {self._root}: {len(names) - 1} strategies, a year of returns each, and no weights yet"
        )
        strategies = [self._install(name) for name in names if name != NEWCOMER]
        record(self._candles, self._start - HOUR, self._root / "recorded")
        (self._root / "config").mkdir()
        (self._root / "config/portfoliod.toml").write_text(SETTINGS)
        self._start_daemon()
        try:
            lapse = TimeLapse(strategies, self._candles, self._wait_for_replay())
            self._trade(lapse)
            self._command("status")
            self._say("flatten: halt, and close every position; then SIGTERM")
            self._command("flatten", "--yes")
        finally:
            self._daemon.send_signal(signal.SIGTERM)
            code = self._daemon.wait()
        self._summary()
        return code

    def _install(self, name: str) -> Strategy:
        """Copy a sample into the workspace as a user would, whole, and let it publish its returns."""
        building = self._root / f".{name}"
        building.mkdir()
        shutil.copy(samples() / name / "strategy.py", building)
        target = self._root / "strategies" / name
        target.parent.mkdir(exist_ok=True)
        building.rename(target)
        strategy = load(target / "strategy.py")
        publish_history(strategy, self._candles, self._start, COST_BPS)
        return strategy

    def _trade(self, lapse: TimeLapse) -> None:
        """Let the replay run, with an accident at each of a few moments."""
        state = self._root / "strategies" / VICTIM / "state.json"
        acts = iter(
            (
                (
                    0.25,
                    "a new folder is dropped in: it is weighed with the others at once",
                    lambda: lapse.add(self._install(NEWCOMER)),
                ),
                (
                    0.45,
                    f"{VICTIM} writes half a file: its last position stays",
                    lambda: state.write_text('{"position": 1.0, "sym'),
                ),
                (0.6, "and is mended", lambda: lapse.publish_again(VICTIM)),
                (0.7, "kill -9, and a new start: nothing is sent twice, nothing is lost", self._restart),
                (2.0, "", lambda: None),
            )
        )
        started = time.monotonic()
        due, title, act = next(acts)
        while (elapsed := time.monotonic() - started) < self._seconds:
            if elapsed >= due * self._seconds:
                self._say(title)
                act()
                due, title, act = next(acts)
            broken = 0.45 <= elapsed / self._seconds < 0.6
            lapse.publish(time.time(), silent=(VICTIM,) if broken else ())
            time.sleep(1 / HOURS_A_SECOND / 2)

    def _start_daemon(self) -> None:
        self._daemon = subprocess.Popen([sys.executable, "-m", "portfoliod", "--root", str(self._root), "run"])

    def _restart(self) -> None:
        self._daemon.kill()
        self._daemon.wait()
        self._start_daemon()

    def _wait_for_replay(self) -> ReplayFeed:
        """Return the venue's own clock, once the daemon has opened the account."""
        path = self._root / "var/paper-paper.db"
        while self._daemon.poll() is None:
            if path.exists():
                with contextlib.suppress(PortfoliodError), contextlib.closing(_look_at(path)) as account:
                    return ReplayFeed(self._root / "recorded", "USDT", HOURS_A_SECOND * HOUR, account.opened_at)
            time.sleep(0.05)
        raise PortfoliodError("the daemon did not start", where=str(self._root))

    def _summary(self) -> None:
        with contextlib.closing(_look_at(self._root / "var/paper-paper.db")) as account:
            cash, orders = account.cash, account.count_orders()
        hours = self._seconds * HOURS_A_SECOND
        self._say(f"{hours} hours in {self._seconds} seconds: {orders} orders, 10,000.00 became {cash:,.2f}")

    def _command(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "portfoliod", "--root", str(self._root), *arguments],
            check=False,
            env={**os.environ, "COLUMNS": os.environ.get("COLUMNS", "120")},
        )

    def _say(self, text: str) -> None:
        click.secho(f"\n== {text}", bold=True)


def _look_at(path: Path) -> Account:
    return Account("paper", path, Decimal(0), 0.0, read_only=True)
