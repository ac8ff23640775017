"""Websockets of an emulated exchange: who is connected, what is sent, and how sending fails."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from aiohttp import WSMsgType, web

from tests.emulators.faults import Delay, Faults, Lose, Swap, Twice


class Socket:
    """One connected client. Its methods belong to the server's loop."""

    def __init__(self, kind: str, request: web.Request, faults: Faults, changed: threading.Condition) -> None:
        self.kind = kind
        self.path = request.path
        self.params = dict(request.query)
        self.subscriptions: set[str] = set()
        self.notes: dict[str, str] = {}
        """What the venue remembers of the client: a listen key, a login."""
        self.silent = False
        """Open, but nothing is sent and no ping is answered."""
        self.sent = 0
        self._request = request
        self._faults = faults
        self._changed = changed
        self._response = web.WebSocketResponse(autoping=False, autoclose=True, timeout=0.2)
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._held: str | None = None

    async def open(self) -> None:
        """Shake hands."""
        await self._response.prepare(self._request)

    def send(self, name: str, text: str) -> None:
        """Send a message, unless a fault has other plans with messages of this name."""
        copies, wait, held = 1, 0.0, False
        for action in self._faults.strike_message(self.kind, name):
            copies = 0 if isinstance(action, Lose) else 2 if isinstance(action, Twice) else copies
            held = held or isinstance(action, Swap)
            wait += action.before + action.after if isinstance(action, Delay) else 0.0
        if held:
            self._held = text
            return
        for _ in range(copies):
            if wait:
                asyncio.get_running_loop().call_later(wait, self._outbox.put_nowait, text)
            else:
                self._outbox.put_nowait(text)
        if self._held is not None:
            self._outbox.put_nowait(self._held)
            self._held = None

    def answer(self, text: str) -> None:
        """Send a reply to what the client said; no fault but silence stops it."""
        self._outbox.put_nowait(text)

    def cut(self) -> None:
        """Reset the connection."""
        transport = self._request.transport
        if transport is not None:
            transport.abort()

    async def close(self, code: int = 1000) -> None:
        """Close with a handshake."""
        with contextlib.suppress(ConnectionError):
            await self._response.close(code=code)

    async def write(self) -> None:
        """Write what is queued until the connection ends."""
        with contextlib.suppress(ConnectionError):
            while not self._response.closed:
                text = await self._outbox.get()
                if not self.silent:
                    await self._response.send_str(text)
                    with self._changed:
                        self.sent += 1
                        self._changed.notify_all()

    async def read(self) -> str | None:
        """Return the next text of the client, None at the end; pings are answered on the way."""
        while True:
            message = await self._response.receive()
            if message.type is WSMsgType.TEXT:
                return str(message.data)
            if message.type is WSMsgType.PING:
                if not self.silent:
                    with contextlib.suppress(ConnectionError):
                        await self._response.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                return None

    @property
    def response(self) -> web.WebSocketResponse:
        """What the web application must return."""
        return self._response
