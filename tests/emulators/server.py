"""A web server on loopback, in a thread of its own, that an emulated exchange is built on.

A venue derives from `Exchange`: it lists routes, checks signatures, renders errors, and turns account events into
stream messages. This module receives requests, lets the faults strike, keeps the log, and holds the sockets.
"""

from __future__ import annotations

import abc
import asyncio
import collections
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import ClassVar, Self, TypeVar

from aiohttp import web

from tests.emulators.account import Account
from tests.emulators.account_records import Event, Order
from tests.emulators.account_view import View
from tests.emulators.faults import (
    Answer,
    BusinessError,
    Delay,
    Faults,
    Fills,
    Hang,
    Late,
    Request,
    Reset,
    Truncate,
    Wire,
)
from tests.emulators.server_fills import fill
from tests.emulators.server_streams import Socket
from tests.emulators.server_thread import LoopThread
from tests.emulators.server_wire import Refusal, Reply, Route, cut, parse, render, truncate

__all__ = ["Exchange", "Refusal", "Reply", "Route"]

T = TypeVar("T")


class Exchange(abc.ABC):
    """An emulated exchange. Use it as a context manager; everything public may be called from the test's thread."""

    name: ClassVar[str]

    def __init__(self, account: Account, *, port: int = 0) -> None:
        self.account = account
        self.faults = Faults()
        self.requests: list[Request] = []
        self.sockets: list[Socket] = []
        self.rate_limit: int | None = None
        """Requests per minute; beyond it 429, beyond twice as many 418."""
        self.default_fills = Fills()
        self.delay = 0.0
        """Seconds before every answer."""
        self._port = port
        self._thread = LoopThread(f"{self.name} emulator")
        self._routes: dict[tuple[str, str], Route] = {}
        account.listeners.append(self.on_event)

    # What a venue defines.

    @abc.abstractmethod
    def routes(self) -> Iterable[Route]:
        """Return every REST endpoint."""

    @abc.abstractmethod
    def authenticate(self, request: Request) -> None:
        """Raise Refusal unless key, signature and timestamp are right."""

    @abc.abstractmethod
    def refuse(self, refusal: Refusal) -> Reply:
        """Return an error in the venue's form."""

    @abc.abstractmethod
    def too_many(self, *, banned: bool) -> Answer:
        """Return the answer to a client that exceeds the rate limit."""

    @abc.abstractmethod
    def socket_kind(self, path: str) -> str | None:
        """Return the kind of websocket behind a path, None if there is none."""

    @abc.abstractmethod
    def on_open(self, socket: Socket) -> None:
        """Greet a client that has just connected. Runs in the server's loop."""

    @abc.abstractmethod
    def on_text(self, socket: Socket, text: str) -> None:
        """Handle what a client said. Runs in the server's loop."""

    @abc.abstractmethod
    def on_event(self, event: Event) -> None:
        """Publish what changed. Runs with the account's lock held, in any thread."""

    @abc.abstractmethod
    def on_second(self) -> None:
        """Publish what comes every second. Runs in the server's loop with the account's lock held."""

    @abc.abstractmethod
    def options(self) -> dict[str, object]:
        """Return the ccxt constructor options that point a client here, credentials apart."""

    @property
    @abc.abstractmethod
    def credentials(self) -> dict[str, str]:
        """The ccxt constructor options that sign requests."""

    # Life.

    def __enter__(self) -> Self:
        self._routes = {(route.method, route.path): route for route in self.routes()}
        self._thread.run(self._main)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """The base of all REST paths."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """The base of all websocket paths."""
        return f"ws://127.0.0.1:{self._port}"

    # What a test asks and commands.

    def count(self, kind: str) -> int:
        """Return how many requests of a kind came in."""
        with self.account.changed:
            return sum(request.kind == kind for request in self.requests)

    def counts(self) -> dict[str, int]:
        """Return how many requests came in, by kind."""
        with self.account.changed:
            return dict(collections.Counter(request.kind for request in self.requests))

    def wait_for(self, condition: Callable[[], T], timeout: float = 30.0) -> T:
        """Return what `condition` says once it is true; it is asked whenever anything happens at the exchange.

        Raises TimeoutError.
        """
        with self.account.changed:
            result = self.account.changed.wait_for(condition, timeout)
            if not result:
                raise TimeoutError(f"not within {timeout} s; requests so far: {self.counts()}")
            return result

    async def until(self, condition: Callable[[], T], timeout: float = 30.0) -> T:  # noqa: ASYNC109 - a deadline is the point
        """Do as `wait_for` without blocking the caller's loop."""
        return await asyncio.to_thread(self.wait_for, condition, timeout)

    def close_sockets(self, kind: str = "*", *, code: int | None = None) -> None:
        """Cut all sockets of a kind, with a code in an orderly way; `sockets` has lost them when this returns."""
        with self.account.changed:
            closing = [socket for socket in self.sockets if kind in ("*", socket.kind)]
            self.sockets = [socket for socket in self.sockets if socket not in closing]
        for socket in closing:
            self._thread.call(self._close, socket, code)

    def silence(self, kind: str = "*") -> None:
        """Let the sockets that are open now hear nothing any more, not even pongs; new ones work."""
        with self.account.changed:
            for socket in self.sockets:
                socket.silent = socket.silent or kind in ("*", socket.kind)

    def publish(self, kind: str, name: str, text: str, wanted: Callable[[Socket], bool]) -> None:
        """Send a message to all sockets of a kind that want it, in the order of the calls."""
        self._thread.call(self._deliver, kind, name, text, wanted)

    def execute(self, order: Order, request: Request) -> Order:
        """Fill a marketable order as faults and defaults say, and return it as the acknowledgement shows it."""
        fills = next((action for action in request.actions if isinstance(action, Fills)), self.default_fills)
        if self.account.reaches(order):
            later = fill(self.account, order, fills)
            if later is not None:
                self._thread.start(later)
        return self.account.order(order.id) or order

    def view(self, request: Request) -> View:
        """Return the account as this request sees it."""
        return View(self.account, request.actions)

    # Requests.

    async def _receive(self, raw: web.Request) -> web.StreamResponse:
        request = await parse(raw)
        route = self._routes.get((request.method, request.path))
        kind = self.socket_kind(raw.path) if raw.headers.get("Upgrade", "").lower() == "websocket" else None
        request.kind = "socket" if kind else route.kind if route else "unknown"
        with self.account.changed:
            self.requests.append(request)
            self.account.changed.notify_all()
        limited = self._limited()
        request.actions = [limited] if limited else self.faults.strike(request)
        wait = next((action for action in request.actions if isinstance(action, Delay)), Delay())
        await asyncio.sleep(wait.before + self.delay)
        wire = next((action for action in request.actions if isinstance(action, Wire)), None)
        if kind and wire is None:
            return await self._serve_socket(kind, raw)
        response = await self._respond(raw, request, route, wire, wait.after)
        with self.account.changed:
            request.status = response.status if response is not None else 0
            self.account.changed.notify_all()
        return response if response is not None else cut(raw)

    async def _respond(
        self, raw: web.Request, request: Request, route: Route | None, wire: Wire | None, after: float
    ) -> web.StreamResponse | None:
        """Return the response; None if the connection is to be cut."""
        while isinstance(wire, Late):
            self._thread.start(self._process_later(wire.seconds, request, route))
            wire = wire.answer
        if wire is None or isinstance(wire, Truncate) or wire.processed:
            reply = self._process(request, route)
        else:
            reply = Reply("")
        await asyncio.sleep(after)
        match wire:
            case Hang():
                await self._thread.stopped()
                return None
            case Reset():
                return None
            case Truncate():
                return await truncate(raw, reply)
            case Answer(status=status, body=body, headers=headers, content_type=content_type):
                return web.Response(status=status, text=body, headers=headers, content_type=content_type)
            case BusinessError(code=code, message=message, status=status):
                return render(self.refuse(Refusal(code, message, status)))
            case _:
                return render(reply)

    def _process(self, request: Request, route: Route | None) -> Reply:
        with self.account.changed:
            try:
                if route is None:
                    raise Refusal(-5000, f"Path {request.path}, Method {request.method} is invalid", 404)  # noqa: TRY301
                if route.signed:
                    self.authenticate(request)
                return route.handler(request)
            except Refusal as refusal:
                return self.refuse(refusal)

    def _limited(self) -> Answer | None:
        if self.rate_limit is None:
            return None
        horizon = time.monotonic() - 60
        recent = sum(request.at > horizon for request in self.requests)
        return self.too_many(banned=recent > 2 * self.rate_limit) if recent > self.rate_limit else None

    async def _process_later(self, seconds: float, request: Request, route: Route | None) -> None:
        await asyncio.sleep(seconds)
        self._process(request, route)

    # Sockets.

    async def _serve_socket(self, kind: str, raw: web.Request) -> web.StreamResponse:
        socket = Socket(kind, raw, self.faults, self.account.changed)
        await socket.open()
        writer = asyncio.create_task(socket.write())
        with self.account.changed:
            self.sockets = [*self.sockets, socket]
            self.on_open(socket)
            self.account.changed.notify_all()
        try:
            while (text := await socket.read()) is not None:
                with self.account.changed:
                    self.on_text(socket, text)
                    self.account.changed.notify_all()
        finally:
            writer.cancel()
            with self.account.changed:
                self.sockets = [other for other in self.sockets if other is not socket]
                self.account.changed.notify_all()
        return socket.response

    def _deliver(self, kind: str, name: str, text: str, wanted: Callable[[Socket], bool]) -> None:
        for socket in self.sockets:
            if socket.kind == kind and wanted(socket):
                socket.send(name, text)

    def _close(self, socket: Socket, code: int | None) -> None:
        if code is None:
            socket.cut()
        else:
            self._thread.start(socket.close(code))

    # Life in the loop.

    async def _main(self) -> None:
        async with self._listening():
            self._thread.ready()
            while not await self._thread.stopped(1.0):
                with self.account.changed:
                    self.on_second()
                    self.account.changed.notify_all()
            self.close_sockets()

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._receive)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()
