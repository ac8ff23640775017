"""Small brokers in a file each, and what opens venues on them."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from portfoliod.model import Intent, Key, Side
from portfoliod.venues import Venue, VenueContext, open_venue

SYMBOL = "BTCUSDT"
PATIENCE = 30.0

LEAST = """
    import json, pathlib
    from decimal import Decimal

    FILE = pathlib.Path(__file__).with_name("held.json")

    def get_positions():
        return json.loads(FILE.read_text()) if FILE.exists() else {}

    def place_order(symbol, quantity, reduce_only, client_order_id):
        held = Decimal(str(get_positions().get(symbol, 0)))
        reduces = held * quantity < 0 and abs(quantity) <= abs(held)
        if quantity == 0 or quantity % Decimal("0.001") or (reduce_only and not reduces):
            return {"status": "refused", "reason": "it does not fit"}
        FILE.write_text(json.dumps({symbol: float(held + quantity)}))
"""
"""Two functions, floats, and no word on what became of an order."""

PRICED = """
    def get_price(symbol):
        return 60000.0
"""

MEMORY = """
    import threading
    from decimal import Decimal

    held, placed, ready = {}, [], threading.Event()

    def get_positions():
        return held

    def place_order(symbol, quantity, reduce_only, client_order_id):
        placed.append((symbol, quantity, reduce_only, client_order_id))
        held[symbol] = held.get(symbol, 0) + quantity
"""


class Scripts:
    """Opens script venues in one workspace; closes them all at the end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: list[Venue] = []

    def write(self, *parts: str) -> Path:
        """Write config/my_broker.py."""
        path = self.root / "config" / "my_broker.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(map(textwrap.dedent, parts)))
        return path

    def new(self, *, read_only: bool = False, ledger: bool = False, **table: object) -> Venue:
        """Return a venue that is not connected."""
        context = VenueContext("mine", self.root / "var", self.root / "config/portfoliod.toml", read_only, ledger)
        venue = open_venue(context, {"driver": "script", "script": "config/my_broker.py", **table})
        self._open.append(venue)
        return venue

    async def open(self, *parts: str, read_only: bool = False, ledger: bool = False, **table: object) -> Venue:
        """Return a connected venue, of a new script if parts of one are given."""
        if parts:
            self.write(*parts)
        venue = self.new(read_only=read_only, ledger=ledger, **table)
        await venue.connect()
        return venue

    @property
    def module(self) -> Any:
        """The script as it runs."""
        return sys.modules["portfoliod_script_mine"]

    async def close(self) -> None:
        """Let every hanging call go, and close what was opened."""
        ready = getattr(sys.modules.get("portfoliod_script_mine"), "ready", None)
        if isinstance(ready, threading.Event):
            ready.set()
        for venue in self._open:
            await venue.close()
        sys.modules.pop("portfoliod_script_mine", None)


def on_script(root: Path, scenario: Callable[[Scripts], Awaitable[None]]) -> None:
    """Run a scenario with scripts in a workspace."""

    async def run() -> None:
        scripts = Scripts(root)
        try:
            async with asyncio.timeout(2 * PATIENCE):
                await scenario(scripts)
        finally:
            await scripts.close()

    asyncio.run(run())


def order(quantity: str, *, reduce_only: bool = False, client_id: str = "one", symbol: str = SYMBOL) -> Intent:
    """Return a market order for a signed quantity."""
    signed = Decimal(quantity)
    side = Side.BUY if signed > 0 else Side.SELL
    return Intent(client_id, Key("mine", symbol), side, abs(signed), reduce_only, 1, time.time(), "test")


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something that another thread does is done."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.005)


def hangs(venue: Venue) -> bool:
    """Return whether a call of a venue was given up and has not returned."""
    return bool(getattr(venue, "_lane").hangs)  # noqa: B009 - what is private is not part of the protocol
