"""A venue that answers as a test tells it to, and the trading tasks around it without a process."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from portfoliod.errors import UnknownSymbol
from portfoliod.intake import Intake
from portfoliod.journal import Journal
from portfoliod.model import ZERO, Fill, Intent, IntentStatus, Key, MarketRules
from portfoliod.reconciler import Reconciler
from portfoliod.reconciler.connection import Connection
from portfoliod.reconciler.decider import Decider
from portfoliod.reconciler.desk import Desk
from portfoliod.reconciler.worker import Worker
from portfoliod.settings import Settings, load_settings
from portfoliod.switches import HaltSwitch
from portfoliod.venues import Inspection, OrderReport, PositionMode, Positions, Price, VenueEvent
from portfoliod.workspace import Workspace
from tests.harness.daemon import PATIENCE
from tests.harness.workspace import Files

BTC, ETH = Key("main", "BTC/USDT:USDT"), Key("main", "ETH/USDT:USDT")
PRICES = {"BTC": Decimal(50_000), "ETH": Decimal(2_500), "BNB": Decimal(500)}

Answer = Callable[[Intent], OrderReport]
"""What a venue makes of an order; it may raise instead."""


class ScriptedVenue:
    """An account that fills every order at once, unless told otherwise."""

    patience = 20.0
    absence_grace = 0.0
    snapshot_lag = 0.0
    finds_orders = True
    position_mode: PositionMode = "one_way"

    def __init__(self, name: str = "main") -> None:
        self.name = name
        self.held: dict[str, Decimal] = {}
        self.value = Decimal(10_000)
        """The equity."""
        self.placed: list[Intent] = []
        self.answers: deque[Answer] = deque()
        """To the next orders; those after them are filled."""
        self.found: deque[OrderReport | None] = deque()
        """What the next look-ups find; those after them find nothing."""
        self.trouble: dict[tuple[str, str], Exception] = {}
        """What a method raises for a symbol, or for the symbol "" where it takes none."""
        self.waits: dict[str, asyncio.Event] = {}
        """What a method waits for before it answers."""
        self.shown: deque[Mapping[str, Decimal]] = deque()
        """What the next snapshots show; those after them show what is held."""
        self.news: asyncio.Queue[VenueEvent] = asyncio.Queue()
        """What the streams say."""
        self.cancelled: list[Intent] = []
        self.verified = 0
        self.price_is_asked: Callable[[], None] = lambda: None
        self.equity_reads = 0
        self.paused = 0.0
        self.asked_newer_than: list[float] = []

    async def connect(self) -> None:
        """Connect."""
        await self._obstruct("connect")

    async def close(self) -> None:
        """Close."""
        await self._obstruct("close")

    def describe(self) -> str:
        """Say what this is."""
        return "scripted"

    def resolve(self, text: str) -> str:
        """Return the market of a name such as BTCUSDT."""
        base = text.removesuffix("USDT")
        if base not in PRICES:
            raise UnknownSymbol("no such market", found=text)
        return f"{base}/USDT:USDT"

    def rules(self, _symbol: str) -> MarketRules:
        """Return thousandths for every market."""
        return MarketRules(step=Decimal("0.001"))

    async def price(self, symbol: str) -> Price:
        """Return the price of a market."""
        await self._obstruct("price", symbol)
        self.price_is_asked()
        return Price(PRICES[symbol.partition("/")[0]], time.monotonic())

    async def positions(self, newer_than: float) -> Positions:
        """Return what is held now."""
        await self._obstruct("positions")
        self.asked_newer_than.append(newer_than)
        return Positions(time.monotonic(), dict(self.shown.popleft() if self.shown else self.held))

    def streamed_position(self, _symbol: str) -> Decimal | None:
        """Return None: there is no stream of positions."""
        return None

    async def equity(self) -> Decimal:
        """Return the equity."""
        await self._obstruct("equity")
        self.equity_reads += 1
        return self.value

    async def place(self, intent: Intent) -> OrderReport:
        """Answer as told, or fill the order."""
        self.placed.append(intent)
        await self._obstruct("place", intent.key.symbol)
        return (self.answers.popleft() if self.answers else self.filled)(intent)

    async def cancel(self, intent: Intent) -> None:
        """Note the wish, and let the order be."""
        await self._obstruct("cancel", intent.key.symbol)
        self.cancelled.append(intent)

    def pause(self) -> float:
        """Return how long the venue wants to be left alone."""
        return self.paused

    async def verify(self) -> None:
        """Look whether the account is what it was."""
        self.verified += 1
        await self._obstruct("verify")

    async def inspect(self) -> Inspection:
        """Find nothing."""
        return Inspection()

    async def find(self, intent: Intent) -> OrderReport | None:
        """Return the next of what is to be found."""
        await self._obstruct("find", intent.key.symbol)
        return self.found.popleft() if self.found else None

    async def events(self) -> AsyncIterator[VenueEvent]:
        """Yield the news."""
        while True:
            await self._obstruct("events")
            yield await self.news.get()

    def filled(self, intent: Intent) -> OrderReport:
        """Fill an order in one trade and report it whole."""
        symbol = intent.key.symbol
        self.held[symbol] = self.held.get(symbol, ZERO) + intent.signed
        return OrderReport(intent.client_id, IntentStatus.DONE, intent.quantity, (fill_of(intent),))

    def filled_without_trades(self, intent: Intent) -> OrderReport:
        """Fill an order whose trades are not known yet."""
        return msgspec.structs.replace(self.filled(intent), fills=())

    async def _obstruct(self, method: str, symbol: str = "") -> None:
        if method in self.waits:
            await self.waits[method].wait()
        if (method, symbol) in self.trouble:
            raise self.trouble[method, symbol]


def fill_of(intent: Intent, part: str = "1", trade: str = "") -> Fill:
    """Return a fill of a part of an order."""
    quantity = intent.quantity * Decimal(part)
    price = PRICES[intent.key.symbol.partition("/")[0]]
    return Fill(
        intent.key, trade or intent.client_id, intent.client_id, intent.side, quantity, price, ZERO, "USDT", intent.at
    )


def unfilled(status: IntentStatus) -> Answer:
    """Return the answer that an order came to nothing, or to nothing yet."""
    return lambda intent: OrderReport(intent.client_id, status, ZERO)


async def until(seen: Callable[[], object]) -> None:
    """Let the tasks go on until something is seen; fail if it never is."""
    async with asyncio.timeout(PATIENCE):
        while not seen():  # noqa: ASYNC110 - what is seen is no task's to announce
            await asyncio.sleep(0.005)


class Trading:
    """The tasks that trade, in one workspace, each ready to be asked for one step."""

    def __init__(self, files: Files, workspace: Workspace, settings: Settings, journal: Journal, desk: Desk) -> None:
        self.files = files
        self.workspace = workspace
        self.settings = settings
        self.journal = journal
        self.desk = desk
        self.reconciler = Reconciler(desk)

    @property
    def venue(self) -> ScriptedVenue:
        """The venue of the default route."""
        return self.venue_of("main")

    def venue_of(self, name: str) -> ScriptedVenue:
        """Return a venue by its name."""
        venue = self.desk.connections[name].venue.inner
        assert isinstance(venue, ScriptedVenue)
        return venue

    def want(self, **positions: float) -> None:
        """Publish positions in BTCUSDT."""
        for strategy, position in positions.items():
            self.files.state(strategy, position)
        self.desk.intake.read_all()

    def halted(self) -> str:
        """Return why the daemon is halted, or an empty string."""
        halt = self.desk.halt.now()
        return "" if halt is None else halt.reason

    async def decided(self, key: Key = BTC) -> Worker:
        """Connect, decide, and return the worker of a key that has looked at nothing."""
        for connection in self.desk.connections.values():
            await connection.connect()
        await Decider(self.desk).decide(key.venue)
        return self.reconciler.worker(key)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let the reconciler run by itself."""
        task = asyncio.create_task(self.reconciler.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the journal."""
        with contextlib.closing(sqlite3.connect(self.workspace.journal_file)) as connection:
            return connection.execute(sql).fetchall()


def trade(
    files: Files,
    scenario: Callable[[Trading], Awaitable[None]],
    *venues: ScriptedVenue,
    weights: Mapping[str, float] | None = None,
    settings: str = "",
    exchanges: Mapping[str, str] | None = None,
    read_only: bool = False,
    drivers: Mapping[str, str] | None = None,
) -> None:
    """Run a scenario with the workspace and its venues open."""

    async def run() -> None:
        workspace = Workspace(files.root)
        workspace.create()
        files.settings(f'default_venue = "main"\n{settings}\n[venues.main]\ndriver = "scripted"\n')
        files.portfolio(weights or {"trend": 1.0}, exchanges=dict(exchanges or {}))
        async with asyncio.timeout(60), Journal(workspace.journal_file) as journal:
            loaded = load_settings(workspace.settings_file)
            intake = Intake(workspace, journal, loaded.risk.max_position)
            intake.read_all()
            connections = {
                venue.name: Connection(venue, (drivers or {}).get(venue.name, "scripted"), read_only=read_only)
                for venue in venues or (ScriptedVenue(),)
            }
            await scenario(
                Trading(
                    files, workspace, loaded, journal, Desk(loaded, intake, journal, connections, HaltSwitch(workspace))
                )
            )

    asyncio.run(run())
