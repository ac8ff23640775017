"""A real daemon on the paper venue, strategies under test, and one strategy that has to go on whatever happens."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from portfoliod.prices.markets import MARKETS
from portfoliod.venues import VenueContext, open_venue
from tests.harness.daemon import PATIENCE, Daemon
from tests.harness.workspace import Files, replace

SETTINGS = """
[optimizer]
apply = "{apply}"
quiet_ms = 50
[risk]
max_orders_per_minute = 0
state_max_age_seconds = {state_max_age}
"""
OTHER = "other"
COIN = "BTC"
OTHER_COIN = "LTC"
COINS = [base for base in MARKETS if base != OTHER_COIN]


def market(base: str) -> str:
    """Return the unified symbol of a coin."""
    return f"{base}/USDT:USDT"


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that no event tells of."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class FileWorld:
    """A workspace with a daemon in it: some strategies under test, and one that has to go on."""

    def __init__(self, root: Path, *, apply: str = "propose", state_max_age: float = 0) -> None:
        self.root = root
        self.files = Files(root)
        self.files.settings(SETTINGS.format(apply=apply, state_max_age=state_max_age))
        self.weights = {OTHER: 0.1}
        self.daemon: Daemon
        self._other_position = 1.0
        self._elsewhere = root / "elsewhere.json"
        self._version = 0

    def folder(self, name: str) -> Path:
        """Return a strategy's folder."""
        return self.root / "strategies" / name

    @property
    def portfolio_file(self) -> Path:
        """The path of portfolio_config.json."""
        return self.root / "config/portfolio_config.json"

    def portfolio(self) -> bytes:
        """Return a portfolio_config.json that differs from all before it in nothing that matters."""
        self._version += 1
        keys = {"account_value": 100_000, "weights": self.weights, "leverage": 1.0, "note": self._version}
        return json.dumps(keys).encode()

    def mend_portfolio(self) -> None:
        """Put a good portfolio_config.json in the place of whatever is there."""
        if self.portfolio_file.is_dir():
            self.portfolio_file.rmdir()
        replace(self.portfolio_file, self.portfolio())

    def start(self, positions: Mapping[str, tuple[float, str]], *, weight: float | None = None) -> Daemon:
        """Start the daemon with strategies at positions in coins, and wait until all are traded."""
        each = 0.8 / max(1, len(positions)) if weight is None else weight
        self.weights |= {name: round(each, 6) for name in positions}
        for name, (position, coin) in positions.items():
            self.files.state(name, position, f"{coin}USDT")
        self.files.state(OTHER, self._other_position, f"{OTHER_COIN}USDT")
        self._elsewhere.write_text(json.dumps({"position": 0, "symbol": "BTCUSDT"}))
        self.folder("linked").mkdir(exist_ok=True)
        (self.folder("linked") / "state.json").symlink_to(self._elsewhere)
        replace(self.portfolio_file, self.portfolio())
        self.daemon = Daemon(self.root)
        for coin in {coin for position, coin in positions.values() if position} | {OTHER_COIN}:
            self.daemon.wait_for("order.filled", symbol=market(coin))
        return self.daemon

    def restart(self) -> Daemon:
        """Start the daemon again in the same workspace."""
        self.daemon = Daemon(self.root)
        return self.daemon

    def held(self) -> dict[str, str]:
        """Return what the account holds on the venue, but for what the other strategy trades."""

        async def look() -> dict[str, str]:
            context = VenueContext("paper", self.root / "var", self.root, read_only=True)
            venue = open_venue(context, {"driver": "paper"})
            await venue.connect()
            quantities = (await venue.positions(time.monotonic())).quantities
            await venue.close()
            return {symbol: str(held) for symbol, held in quantities.items() if symbol != market(OTHER_COIN)}

        return asyncio.run(look())

    def trade_other(self) -> None:
        """Let the other strategy want something else, and wait until that is traded."""
        since = self.daemon.mark()
        self._other_position = 3.0 - self._other_position
        self.files.state(OTHER, self._other_position, f"{OTHER_COIN}USDT")
        self.daemon.wait_for("order.filled", since=since, symbol=market(OTHER_COIN))

    def wait_for_a_scan(self) -> None:
        """Wait until the daemon scanned the whole workspace: only that finds a change behind a linked file."""
        since = self.daemon.mark()
        position = json.loads(self._elsewhere.read_text())["position"]
        self._elsewhere.write_text(json.dumps({"position": position + 1, "symbol": "BTCUSDT"}))
        self.daemon.wait_for("state.accepted", since=since, strategy="linked")

    def problems(self, where: str) -> list[dict[str, str]]:
        """Return what status.json shows of a place."""
        shown: list[dict[str, str]] = self.daemon.status()["problems"]
        return [problem for problem in shown if problem["where"].startswith(where)]

    def wait_until_fine(self, where: str = "") -> None:
        """Wait until status.json shows no problem of a place."""
        until(lambda: not self.problems(where), f"still shown: {where}")

    def wait_until_shown(self, where: str) -> dict[str, str]:
        """Wait until status.json shows a problem of a place, and return it."""
        until(lambda: bool(self.problems(where)), f"never shown: {where}")
        return self.problems(where)[0]


def targets(world: FileWorld) -> dict[str, str]:
    """Return the targets that status.json shows once all is in step, but for the other strategy's."""

    def in_step() -> bool:
        status = world.daemon.status()
        return status["pid"] == world.daemon.process.pid and {row["status"] for row in status["markets"]} == {"in_step"}

    until(in_step, "never in step")
    shown = {row["symbol"]: row["target"] for row in world.daemon.status()["markets"]}
    del shown[market(OTHER_COIN)]
    return shown
