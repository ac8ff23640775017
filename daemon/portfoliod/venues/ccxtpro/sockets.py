"""ccxt's websockets, seen from inside: which serve the account, whether they are open, and every message they bring.

ccxt wakes whoever waits for the next message; one that comes while nobody waits wakes nobody. What it calls when
it opens a socket and when a message comes is looked up on the client each time, so it can be stepped in front of.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from portfoliod.bounded import Bounded
from portfoliod.lean_ccxt import ccxt

REMEMBERED = 100
"""URLs of the account: each listen key makes another one."""
_for_the_account: ContextVar[bool] = ContextVar("for_the_account", default=False)


@contextlib.contextmanager
def account_stream() -> Iterator[None]:
    """Let the sockets that are asked for in this block count as the account's."""
    token = _for_the_account.set(True)
    try:
        yield
    finally:
        _for_the_account.reset(token)


class Sockets:
    """The sockets of one ccxt client that serve its account."""

    def __init__(
        self, client: Any, opened: Callable[[], None], closed: Callable[[], None], spoke: Callable[[], None]
    ) -> None:
        self._ccxt = client
        self._opened = opened
        self._closed = closed
        self._spoke = spoke
        self._account_urls: Bounded[str, None] = Bounded(REMEMBERED)
        self._open: set[str] = set()
        for method in ("client", "handle_message", "on_connected", "on_close", "on_error"):
            setattr(client, method, getattr(self, f"_{method}"))

    @property
    def open(self) -> bool:
        """Whether a socket of the account is open."""
        return bool(self._open)

    def forget_listen_key(self) -> None:
        """Let binance's next stream ask for a new key: ccxt dials a dead one again and again."""
        for name, options in list(self._ccxt.options.items()):
            if isinstance(options, dict) and "listenKey" in options:
                self._ccxt.options[name] = {**options, "listenKey": None, "lastAuthenticatedTime": 0}

    def _client(self, url: str) -> Any:
        if _for_the_account.get():
            self._account_urls[url] = None
        return type(self._ccxt).client(self._ccxt, url)

    def _handle_message(self, socket: Any, message: Any) -> None:
        type(self._ccxt).handle_message(self._ccxt, socket, message)
        if socket.url not in self._account_urls:
            return
        if isinstance(message, Mapping) and message.get("e") == "listenKeyExpired":
            self.forget_listen_key()
            socket.on_error(ccxt.NetworkError("the listen key expired"))
        self._spoke()

    def _on_connected(self, socket: Any, message: Any = None) -> None:
        type(self._ccxt).on_connected(self._ccxt, socket, message)
        if socket.url in self._account_urls:
            self._open.add(socket.url)
            self._opened()

    def _on_close(self, socket: Any, error: Any) -> None:
        self._lost(socket)
        type(self._ccxt).on_close(self._ccxt, socket, error)

    def _on_error(self, socket: Any, error: Any) -> None:
        self._lost(socket)
        type(self._ccxt).on_error(self._ccxt, socket, error)

    def _lost(self, socket: Any) -> None:
        if socket.url in self._open:
            self._open.discard(socket.url)
            self._closed()
