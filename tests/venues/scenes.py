"""A scene: one emulated exchange, one venue on it through the real ccxt.pro client, and what both saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from portfoliod.errors import OrderUnknown
from portfoliod.model import ZERO, Fill, Intent, Key, Side
from portfoliod.venues import Filled, OrderReport, PositionMoved, Venue
from portfoliod.venues.protocol import VenueEvent
from tests.emulators.binance import BinanceFutures
from tests.emulators.faults import Request
from tests.emulators.okx import OkxSwap
from tests.venues.exchanges import opened

PATIENCE = 30.0
"""Seconds after which what was not seen counts as never happening."""
T = TypeVar("T", bound=VenueEvent)
Emulator = BinanceFutures | OkxSwap


@dataclass(frozen=True)
class On:
    """One of the emulated exchanges, and its words for things."""

    kind: str
    """ccxt's id."""
    make: Callable[[], Emulator]
    eth: str
    """The exchange's name of ETH/USDT:USDT."""
    unit: Decimal
    """ETH in one unit of its amounts."""
    socket: str
    """Which sockets serve the account."""
    fill_message: str
    """The stream message that tells a fill."""


BINANCE = On("binanceusdm", BinanceFutures, "ETHUSDT", Decimal(1), "user", "ORDER_TRADE_UPDATE")
OKX = On("okx", OkxSwap, "ETH-USDT-SWAP", Decimal("0.1"), "private", "orders")
BOTH = (BINANCE, OKX)
ETH = "ETH/USDT:USDT"
UNHURRIED = {"rateLimit": 1}
"""A budget that no scene uses up, unless it is about that."""


def name_of(on: object) -> str | None:
    """Return how a parameter is named in a test's id."""
    return on.kind if isinstance(on, On) else None


@dataclass
class Scene:
    """What a scenario works with."""

    on: On
    exchange: Emulator
    venue: Venue
    symbol: str = ETH
    heard: list[VenueEvent] = field(default_factory=list)
    """Every event of the venue since `listen`."""
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    def intent(
        self,
        signed: Decimal | str,
        *,
        reduce_only: bool = False,
        client_id: str = "",
        symbol: str = "",
        at: float | None = None,
    ) -> Intent:
        """Return an order for a signed quantity, under a client id of its own unless one is given."""
        quantity = Decimal(signed)
        return Intent(
            client_id=client_id or uuid.uuid4().hex[:28],
            key=Key(self.venue.name, symbol or self.symbol),
            side=Side.BUY if quantity > 0 else Side.SELL,
            quantity=abs(quantity),
            reduce_only=reduce_only,
            decision=1,
            at=time.time() if at is None else at,
            reason="scene",
        )

    async def order(self, signed: Decimal | str, *, reduce_only: bool = False, symbol: str = "") -> OrderReport:
        """Send an order and return what it came to, once it is final and its fills are known."""
        intent = self.intent(signed, reduce_only=reduce_only, symbol=symbol)
        return await self.settled(intent, await self.venue.place(intent))

    async def settled(self, intent: Intent, report: OrderReport | None = None) -> OrderReport:
        """Return what an order came to, asking for it until it is final."""
        deadline = time.monotonic() + PATIENCE
        while report is None or not report.status.terminal or filled_by(report.fills) != report.filled:
            assert time.monotonic() < deadline, f"never final: {report}"
            await asyncio.sleep(0.02)
            report = await self.venue.find(intent)
        return report

    async def unknown(self, intent: Intent) -> OrderUnknown:
        """Send an order of which the venue must say that it does not know what became of it."""
        try:
            report = await self.venue.place(intent)
        except OrderUnknown as error:
            return error
        raise AssertionError(f"it claims to know: {report}")

    async def position(self, symbol: str = "") -> Decimal:
        """Return what the venue says is held now."""
        snapshot = await self.venue.positions(time.monotonic())
        return snapshot.quantities.get(symbol or self.symbol, ZERO)

    @property
    def truth(self) -> Decimal:
        """What is held of ETH according to the exchange."""
        return self.exchange.account.position(self.on.eth) * self.on.unit

    def manual(self, signed: Decimal | str, *, leg: str = "net") -> None:
        """Trade ETH behind the venue's back."""
        quantity = Decimal(signed)
        side = "buy" if quantity > 0 else "sell"
        self.exchange.account.trade(self.on.eth, side, abs(quantity) / self.on.unit, leg=leg)  # type: ignore[arg-type]

    def sent(self) -> Request:
        """Return the last order request that reached the exchange."""
        return [request for request in self.exchange.requests if request.kind == "place"][-1]

    def sent_fields(self) -> dict[str, str]:
        """Return the fields of the last order that reached the exchange, as text."""
        request = self.sent()
        if not request.body.startswith("["):
            return request.params
        rows: list[dict[str, object]] = json.loads(request.body)
        assert len(rows) == 1
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in rows[0].items()}

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Follow the venue's events; they are in `heard`. The account's streams are open when the block begins."""
        task = asyncio.create_task(self._listen())
        try:
            await self.exchange.until(self.subscribed)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def subscribed(self) -> bool:
        """Return whether the exchange has a socket that would hear of fills and of positions."""
        if isinstance(self.exchange, BinanceFutures):
            key = self.exchange.settings.listen_key
            return any(
                key is not None and socket.notes.get("listenKey") == key and not socket.silent
                for socket in self.exchange.sockets
            )
        said = [
            f"{name} {request}"
            for socket in self.exchange.sockets
            if socket.kind == "private" and not socket.silent
            for name, request in [*socket.notes.items(), *((each, "") for each in socket.subscriptions)]
        ]
        return any("orders" in each for each in said) and any("positions" in each for each in said)

    async def hears(self, kind: type[T], where: Callable[[T], bool] = lambda _: True, *, since: int = 0) -> T:
        """Return the first event of a kind, from the one numbered `since`; wait for it."""
        async with asyncio.timeout(PATIENCE), self._came:
            while True:
                for event in self.heard[since:]:
                    if isinstance(event, kind) and where(event):
                        return event
                await self._came.wait()

    async def caught_up(self) -> None:
        """Return once the stream told all that happened until now: its messages are in order."""
        since = len(self.heard)
        self.exchange.account.trade(self.on.eth.replace("ETH", "BTC"), "buy", Decimal(1))
        await self.hears(PositionMoved, lambda event: event.symbol == "BTC/USDT:USDT", since=since)

    def fills(self) -> list[Fill]:
        """Return the fills that were told, none of them twice."""
        told = [event.fill for event in self.heard if isinstance(event, Filled)]
        assert len({fill.trade_id for fill in told}) == len(told), told
        return told

    async def _listen(self) -> None:
        async for event in self.venue.events():
            async with self._came:
                self.heard.append(event)
                self._came.notify_all()


def filled_by(fills: object) -> Decimal:
    """Return the sum of fills."""
    assert isinstance(fills, (list, tuple))
    return sum((fill.quantity for fill in fills), ZERO)


async def equity_of(scene: Scene) -> Decimal:
    """Return the account's equity, which an exchange always tells."""
    equity = await scene.venue.equity()
    assert equity is not None
    return equity


def play(
    on: On,
    root: Path,
    scenario: Callable[[Scene], Awaitable[None]],
    *,
    hedged: bool = False,
    options: Mapping[str, object] | None = None,
    **table: object,
) -> None:
    """Run a scenario with a connected venue; `table` goes into its settings, `options` over the emulator's."""

    async def run() -> None:
        with on.make() as exchange:
            exchange.account.set_hedged(hedged)
            settings = {"options": merged(exchange.options(), {**UNHURRIED, **(options or {})}), **table}
            async with opened(exchange, on.kind, root, **settings) as venue:
                await scenario(Scene(on, exchange, venue, venue.resolve(ETH)))

    asyncio.run(run())


def merged(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return two tables merged deeply, the second over the first."""
    both = dict(below)
    for name, value in above.items():
        under = both.get(name)
        both[name] = merged(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return both
