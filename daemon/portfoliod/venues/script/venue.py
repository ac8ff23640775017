"""The venue of a user's own broker."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from portfoliod.credentials import Credentials
from portfoliod.errors import SettingsError, UnknownSymbol, VenueUnreachable
from portfoliod.logs import conceal
from portfoliod.model import ZERO, Intent, MarketRules
from portfoliod.settings import Positive, read_table
from portfoliod.venues.protocol import (
    Inspection,
    OrderReport,
    PositionMode,
    Positions,
    Price,
    Venue,
    VenueContext,
    VenueEvent,
    refused,
    silence,
)
from portfoliod.venues.script.broker import Broker
from portfoliod.venues.script.lane import CallFailed, Lane
from portfoliod.venues.script.loading import Functions, load_script
from portfoliod.venues.script.markets import DEFAULT_STEP, Markets
from portfoliod.venues.script.names import market_name, resolve
from portfoliod.venues.script.orders import CONFIRM_SECONDS, Account, Orders

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LOST = {
    "get_price": "targets cannot be sized here: nothing is opened or added to, positions are only closed",
    "get_rules": f"orders go out in steps of {DEFAULT_STEP:f} and of any size: the broker must round by itself",
    "get_order": "what became of an order is read off the position alone, and a doubtful one blocks its market longer",
    "get_equity": 'the equity is not known: capital = "equity" and max_drawdown do not work here',
}
"""What is lost without each function that a script need not have."""
SECRET_NAME = re.compile(r"(?i)secret|token|passw|passphrase|credential")
"""Of an environment variable whose value no log, journal or status may show."""
KEY_NAME = re.compile(r"(?i)key|pass")
"""Likewise, unless the value is an ordinary word: to hide it would garble what is said, and keys are longer."""
HARMLESS_WORD = re.compile(
    r"(?i)(?<![a-z])(monkeys?|donkeys?|turkey|hockey|jockeys?|keyboards?|keymaps?|tokenizers?"
    r"|compass|bypass|passive|passthrough)(?![a-z])"
)
"""A word that only reads like one; the rest of the name counts."""
PLACE_NAME = re.compile(r"(?i)_(file|path|dir|directory|folder)$")
ORDINARY_WORD = re.compile(r"[A-Z]?[a-z]{,7}|[A-Z]{,7}")


class ScriptSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table of a venue with driver = "script"."""

    script: str
    """A Python file; a relative path starts at the workspace's root."""
    driver: str = "script"
    timeout_seconds: Positive = 10.0
    """Of one call."""
    quote: str = "USDT"
    market_type: Literal["swap", "future", "spot"] = "swap"
    """spot: nothing can be held short."""


def open_script(context: VenueContext, table: Mapping[str, object]) -> Venue:
    """Return a script's venue; see `portfoliod.venues.registry.Opener`."""
    where = str(context.settings_file)
    settings = read_table(table, ScriptSettings, where=where, prefix=f"venues.{context.name}.")
    path = context.var.parent / settings.script
    if not path.is_file():
        raise SettingsError(
            "there is no such script",
            where=f"{where}  venues.{context.name}.script",
            found=str(path),
            mend="name a file, seen from the workspace's root; config/my_broker.example.py is one to start from",
        )
    for name, value in os.environ.items():
        if _is_secret(name, value):
            conceal(Credentials(f"${name}", secret=value).redact)
    return ScriptVenue(context, settings, path)


def _is_secret(name: str, value: str) -> bool:
    if PLACE_NAME.search(name):
        return False
    name = HARMLESS_WORD.sub("", name)
    key = KEY_NAME.search(name) is not None and ORDINARY_WORD.fullmatch(value) is None
    return key or SECRET_NAME.search(name) is not None


class ScriptVenue:
    """An account behind the functions of one file. What the file does not say is read off the positions."""

    snapshot_lag = 5.0
    position_mode: PositionMode | None = None

    def __init__(self, context: VenueContext, settings: ScriptSettings, path: Path) -> None:
        self.name = context.name
        self.absence_grace = settings.timeout_seconds
        self.patience = 3 * settings.timeout_seconds + CONFIRM_SECONDS
        self.finds_orders = False
        self._context = context
        self._settings = settings
        self._path = path
        self._spot = settings.market_type == "spot"
        self._lane = Lane(f"script {self.name}", settings.timeout_seconds)
        self._functions: Functions | None = None
        self._broker: Broker
        self._orders: Orders
        self._markets = Markets(self.name, self._read_rules)
        self._prices: dict[str, Decimal] = {}
        self._reading = asyncio.Lock()
        self._snapshot = Positions(float("-inf"), {})
        self._opened = self._said = False

    async def connect(self) -> None:
        """Run the file, the first time, and prove that it tells positions."""
        functions = await self._load()
        if not self._opened:
            self._open(functions)
        if not self._context.read_only:
            self._say()
        await self.positions(time.monotonic())

    async def close(self) -> None:
        """Let the thread end."""
        self._markets.close()
        self._lane.close()

    def describe(self) -> str:
        """Return the file, and what it cannot do."""
        lost = self._lost()
        return f"{self._settings.script}, without {', '.join(lost)}" if lost else self._settings.script

    def resolve(self, text: str) -> str:
        """Return the name under which the script knows a market; see `market_name`."""
        symbol = resolve(text, self._settings.quote, spot=self._spot, venue=self.name)
        if self._has("get_rules"):
            self._markets.named(symbol)
        return symbol

    def rules(self, symbol: str) -> MarketRules:
        """Return what get_rules said, or the finest steps and no minimums where there is none.

        Raises:
            UnknownSymbol: get_rules has not answered yet, or could not.
        """
        return self._markets.rules(symbol) if self._has("get_rules") else MarketRules(DEFAULT_STEP, spot=self._spot)

    async def price(self, symbol: str) -> Price:
        """Return the price now, and see to it that the market's rules are known."""
        await self._markets.settle()
        at = time.monotonic()
        self._prices[symbol] = await self._broker.price(symbol)
        return Price(self._prices[symbol], at)

    async def positions(self, newer_than: float) -> Positions:
        """Return a snapshot; those who ask at the same time share one."""
        await self._markets.settle()
        async with self._reading:
            if self._snapshot.at < newer_than:
                at = time.monotonic()
                self._snapshot = Positions(at, self._named(await self._broker.positions()))
            return self._snapshot

    def streamed_position(self, symbol: str) -> Decimal | None:  # noqa: ARG002 - of no market
        """Return None: a script has no stream."""
        return None

    async def equity(self) -> Decimal | None:
        """Return what get_equity says, None where there is none."""
        return await self._broker.equity() if self._has("get_equity") else None

    async def place(self, intent: Intent) -> OrderReport:
        """Send an order through place_order, once."""
        if self._context.read_only:
            raise refused(intent, "this is only a look", "a read-only venue")
        return await self._orders.place(intent)

    async def cancel(self, intent: Intent) -> None:
        """Do nothing: a script is asked for market orders and has no cancellation."""

    async def find(self, intent: Intent) -> OrderReport | None:
        """Return what get_order says, or what this process knows."""
        return await self._orders.find(intent)

    def pause(self) -> float:
        """Return 0: a script waits by itself."""
        return 0.0

    async def verify(self) -> None:
        """Read the markets' rules again, now and then."""
        await self._markets.refresh()

    async def inspect(self) -> Inspection:
        """Return what the script can do, and what it says of the account."""
        held = await self.positions(time.monotonic())
        fine = [f"{self._settings.script} defines {', '.join(self._defined())}", f"{len(held.quantities)} positions"]
        if self._has("get_equity"):
            fine.append(f"equity {await self._broker.equity():.2f} {self._settings.quote}")
        return Inspection(fine=[*fine, *(f"without {name}: {lost}" for name, lost in self._lost().items())])

    def events(self) -> AsyncIterator[VenueEvent]:
        """Yield nothing: a script has no streams."""
        self._say()
        return silence()

    async def _load(self) -> Functions:
        """Run the file in the thread, once: a call that was given up may bring it about all the same."""

        def load() -> None:
            self._functions = self._functions or load_script(self._path, self.name)

        if self._functions is None:
            try:
                await self._lane.call("the script itself", load)
            except CallFailed as error:
                if isinstance(error.cause, SettingsError):
                    raise error.cause from None
                raise VenueUnreachable(str(error), where=f"venue {self.name}  {self._path}") from error
        assert self._functions is not None  # noqa: S101 - load() returned
        return self._functions

    def _open(self, functions: Functions) -> None:
        self._broker = Broker(self.name, self._path, functions, self._lane)
        account = Account(
            held=self._held,
            price=self._last_price,
            quote=self._settings.quote,
            ledger=self._context.ledger,
            grace=self.absence_grace,
        )
        self._orders = Orders(self._broker, self._lane, account)
        self.finds_orders = functions.get_order is not None
        self._opened = True

    def _say(self) -> None:
        """Say once what the script can do, and what is lost without the rest; commands that only look do not."""
        if self._said:
            return
        self._said = True
        script = self._settings.script
        log.info("venue.script_loaded", venue=self.name, script=script, functions=", ".join(self._defined()))
        for name, lost in self._lost().items():
            log.warning("venue.script_lacks", venue=self.name, script=script, function=name, lost=lost)

    def _defined(self) -> list[str]:
        return [] if self._functions is None else self._functions.present()

    def _has(self, name: str) -> bool:
        return name in self._defined()

    def _lost(self) -> dict[str, str]:
        return {name: lost for name, lost in LOST.items() if self._functions is not None and not self._has(name)}

    def _named(self, positions: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """Return positions by the markets' names.

        Raises:
            VenueUnreachable: two of them go by one name, or one by none.
        """
        named: dict[str, Decimal] = {}
        spelled: dict[str, str] = {}
        for symbol, quantity in positions.items():
            name = market_name(symbol, self._settings.quote, spot=self._spot)
            if quantity == 0:
                continue
            if name is None or name in named:
                raise VenueUnreachable(
                    "get_positions cannot be understood",
                    where=f"venue {self.name}  {self._path}",
                    found=f"{symbol!r} and {spelled[name]!r} are both {name}" if name else f"the symbol {symbol!r}",
                    mend="return each market once, under the symbol that the other functions are called with",
                )
            named[name], spelled[name] = quantity, symbol
        return named

    async def _read_rules(self, symbol: str) -> MarketRules:
        return await self._broker.rules(symbol, spot=self._spot)

    async def _held(self, symbol: str) -> Decimal:
        return self._named(await self._broker.positions(urgent=True)).get(symbol, ZERO)

    async def _last_price(self, symbol: str) -> Decimal:
        """Return the price that an order was sized by; after a restart the one of now, 0 where nobody knows it."""
        if symbol not in self._prices:
            try:
                await self.price(symbol)
            except (VenueUnreachable, UnknownSymbol):
                return ZERO
        return self._prices[symbol]
