"""The files of a simulated workspace, what was written into them, and a model of what has to follow from that."""

from __future__ import annotations

import datetime
import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from watchfiles import Change

from portfoliod.model import ZERO, Key
from portfoliod.workspace import Workspace
from tests.simulation.clock import Clock

MARKETS_OF = {"s0": ("alpha", "BTC"), "s1": ("alpha", "ETH"), "s2": ("alpha", "BTC"), "s3": ("beta", "BTC ETH")}
MARKETS_OF["s4"] = ("beta", "SOL")
"""Of each strategy: its venue and the coins that it trades."""
NAMES = tuple(MARKETS_OF)
SIZES = [Decimal(quarters) / 4 for quarters in range(-6, 7)]
TOLD = 0.85
"""The share of changes that the system tells of at once; a scan finds the others."""
SETTINGS = """
default_venue = "alpha"
mode = "live"
[optimizer]
quiet_ms = 200
max_leverage = 2
[reconciler]
no_trade_band = {band}
[risk]
max_order_notional = {split}
max_orders_per_minute = {rate}
max_gross_leverage = 100
[venues.alpha]
driver = "script"
script = "alpha.py"
[venues.beta]
driver = "script"
script = "beta.py"
"""

Positions = dict[str, Decimal]
"""By coin."""


class SimulatedFiles:
    """A workspace's files as strategies and people write them."""

    def __init__(self, workspace: Workspace, clock: Clock, chance: random.Random) -> None:
        self.workspace = workspace
        self.clock = clock
        self.chance = chance
        self.tell: Callable[[Change, Path], None] = lambda _change, _path: None
        """What follows the folders, while a daemon runs."""
        self.wanted: dict[str, list[Positions]] = {name: [{}] for name in NAMES}
        """What each strategy may be taken to want, last word last: more than one while the last may be unread."""
        self.unread: set[str] = set()
        """Strategies whose last word a daemon may never have seen: their file is corrupt or gone."""
        self.retired: set[str] = set()
        workspace.create()
        self.settings(band=0.05, split=0, rate=0)
        self.portfolio({name: Decimal("0.2") for name in NAMES}, Decimal(1))
        for name in NAMES:
            self.state(name, chance)

    def settings(self, *, band: float, split: int, rate: int) -> None:
        """Write portfoliod.toml."""
        self.workspace.settings_file.write_text(SETTINGS.format(band=band, split=split, rate=rate))

    def state(self, name: str, chance: random.Random) -> None:
        """Publish a state."""
        _, coins = MARKETS_OF[name]
        positions = {coin: chance.choice(SIZES) for coin in coins.split()}
        path = self.workspace.state_file(name)
        self._restore_folder(name)
        self._write(path, _state(positions, self.clock.wall()))
        self._want(name, positions)

    def state_in_pieces(self, name: str, chance: random.Random) -> None:
        """Publish a state as one does who does not know about renaming."""
        _, coins = MARKETS_OF[name]
        positions = {coin: chance.choice(SIZES) for coin in coins.split()}
        path = self.workspace.state_file(name)
        if not path.parent.exists():
            return
        content = _state(positions, self.clock.wall())
        cut = chance.randrange(len(content))
        self._write(path, content[:cut])

        def finish() -> None:
            if path.parent.exists() and path.exists():
                self._write(path, content)
                self._want(name, positions)

        self.unread.add(name)
        self.clock.after(chance.uniform(0.001, 0.8), finish)

    def corrupt_state(self, name: str, chance: random.Random) -> None:
        """Write something that fits nothing."""
        path = self.workspace.state_file(name)
        if path.parent.exists():
            bad = chance.choice([b"", b"{", b'{"position": NaN}', b'{"position": "1"}', b"\xff\xfe", b"[1, 2]", b"{}"])
            self._write(path, bad)
            self.unread.add(name)

    def corrupt_portfolio(self, chance: random.Random) -> None:
        """Write something that fits nothing."""
        bad = chance.choice([b"", b'{"weights": {', b'{"weights": 3}', b'{"leverage": -1, "weights": {}}'])
        self._write(self.workspace.portfolio_file, bad)

    def portfolio(self, weights: Mapping[str, Decimal], leverage: Decimal) -> None:
        """Write portfolio_config.json."""
        document = {
            "account_value": 100_000,
            "weights": {name: float(weight) for name, weight in weights.items()},
            "leverage": float(leverage),
            "exchanges": {name: venue for name, (venue, _) in MARKETS_OF.items() if venue != "alpha"},
        }
        self._write(self.workspace.portfolio_file, json.dumps(document).encode())

    def weights_by_hand(self, chance: random.Random) -> None:
        """Let a person edit the weights."""
        shares = [chance.randrange(0, 5) for _ in NAMES]
        total = max(1, sum(shares))
        weights = {name: Decimal(share * 100 // total) / 100 for name, share in zip(NAMES, shares, strict=True)}
        self.portfolio(weights, Decimal(chance.choice(["0.5", "1", "1.5"])))

    def stats(self, name: str, chance: random.Random) -> None:
        """Publish daily returns of the last weeks."""
        folder = self.workspace.strategies / name
        if not folder.exists():
            return
        today = int(self.clock.wall() // 86_400)
        days = [today - back for back in range(60, 0, -1)]
        returns = {_date(day): round(chance.gauss(0.002, 0.01), 6) for day in days}
        self._write(self.workspace.stats_file(name), json.dumps({"daily_returns": returns}).encode())

    def remove_folder(self, name: str) -> None:
        """Remove a strategy's folder."""
        folder = self.workspace.strategies / name
        if folder.exists():
            self._discard(folder)
            self._told(Change.deleted, folder)
            self.unread.add(name)

    def put_back_folder(self, name: str, chance: random.Random) -> None:
        """Put another folder of that name there, with a state."""
        folder = self.workspace.strategies / name
        new = self.workspace.root / f"new-{name}"
        new.mkdir()
        if folder.exists():
            self._discard(folder)
            self._told(Change.deleted, folder)
        new.rename(folder)
        self._told(Change.added, folder)
        self.retired.discard(name)
        self.state(name, chance)

    def retire(self, name: str) -> None:
        """Note that a person retired a strategy."""
        self.retired.add(name)
        self.wanted[name] = [{}]
        self.unread.discard(name)

    def wake(self) -> None:
        """Note that a command touched var/wake."""
        self._told(Change.modified, self.workspace.wake_file)

    def mend(self, chance: random.Random) -> None:
        """Put everything right that is corrupt; folders that are gone stay gone."""
        for name in NAMES:
            folder = self.workspace.strategies / name
            if folder.exists() and name in self.unread:
                self.state(name, chance)
        try:
            json.loads(self.workspace.portfolio_file.read_bytes())["leverage"]
        except (ValueError, KeyError):
            self.weights_by_hand(chance)
            return
        if not self._portfolio_fits():
            self.weights_by_hand(chance)

    def exposures(self) -> dict[Key, list[Decimal]]:
        """Return what each key's exposure has to be once everything is read: one of these."""
        document = json.loads(self.workspace.portfolio_file.read_bytes(), parse_float=Decimal, parse_int=Decimal)
        exposures: dict[Key, list[Decimal]] = {}
        for name, (venue, coins) in MARKETS_OF.items():
            weight = document["weights"].get(name, ZERO) * document["leverage"]
            for coin in coins.split():
                key = Key(venue, f"{coin}/USDT:USDT")
                parts = {weight * positions.get(coin, ZERO) for positions in self.wanted[name]}
                sums = {before + part for before in exposures.get(key, [ZERO]) for part in parts}
                exposures[key] = sorted(sums)
        return exposures

    def settled(self) -> None:
        """Note that a daemon had the time to read everything."""
        for name in NAMES:
            if name not in self.unread:
                del self.wanted[name][:-1]

    def _portfolio_fits(self) -> bool:
        document: dict[str, Any] = json.loads(self.workspace.portfolio_file.read_bytes())
        return isinstance(document["weights"], dict) and document["leverage"] >= 0

    def _want(self, name: str, positions: Positions) -> None:
        if name not in self.retired:
            self.wanted[name].append(positions)
            self.unread.discard(name)

    def _restore_folder(self, name: str) -> None:
        folder = self.workspace.strategies / name
        if not folder.exists():
            folder.mkdir()
            self.retired.discard(name)
            self._told(Change.added, folder)

    def _discard(self, folder: Path) -> None:
        """Remove a folder, its inode later: a new folder that had the same one would be the same to the daemon."""
        trash = self.workspace.root / f"trash-{self.clock.now}"
        folder.rename(trash)
        self.clock.after(60.0, lambda: shutil.rmtree(trash))

    def _write(self, path: Path, content: bytes) -> None:
        new = path.with_name(f".{path.name}.new")
        new.write_bytes(content)
        moment = int(self.clock.wall() * 1e9)
        os.utime(new, ns=(moment, moment))
        new.replace(path)
        self._told(Change.modified, path)

    def _told(self, change: Change, path: Path) -> None:
        if self.chance.random() < TOLD:
            self.clock.after(self.chance.uniform(0.003, 0.05), lambda: self.tell(change, path))


def _state(positions: Positions, at: float) -> bytes:
    named = {f"{coin}USDT": float(size) for coin, size in positions.items()}
    return json.dumps({"positions": named, "updated_at": at}).encode()


def _date(day: int) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()
