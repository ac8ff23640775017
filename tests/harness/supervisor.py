"""The socket that a service of Type=notify reports to, as systemd holds it."""

from __future__ import annotations

import secrets
import select
import socket
import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.harness.daemon import PATIENCE
from tests.tasks.evidence import until

WATCHDOG_SECONDS = 0.3
"""What systemd's WatchdogSec would be."""


class Systemd:
    """The socket that a service of Type=notify reports to."""

    def __init__(self, kind: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        name = f"portfoliod-{secrets.token_hex(8)}"
        self._address = f"@{name}" if kind == "abstract" else f"{self._folder.name}/{name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(PATIENCE)
        self._socket.bind(self._address.replace("@", "\0"))
        self.statuses: list[str] = []
        """What was told of how it is."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._folder.cleanup()

    @property
    def environment(self) -> dict[str, str]:
        """What systemd gives a service."""
        return {"NOTIFY_SOCKET": self._address, "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}

    def until_full(self) -> None:
        """Wait until no message fits in any more, without reading any."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.connect(self._address.replace("@", "\0"))
            until(lambda: not select.select([], [other], [], 0)[1])

    def hear(self) -> str:
        """Return the next message that is not about how it is; fail if none comes."""
        while (message := self._socket.recv(4096).decode()).startswith("STATUS="):
            self.statuses.append(message)
        return message

    def heard(self) -> list[str]:
        """Return the messages that have come since."""
        messages = []
        while select.select([self._socket], [], [], 0)[0]:
            messages.append(self._socket.recv(4096).decode())
        self.statuses += [message for message in messages if message.startswith("STATUS=")]
        return [message for message in messages if not message.startswith("STATUS=")]

    def let_ping(self, times: int) -> None:
        """Wait for signs of life; nothing else may come between."""
        assert [self.hear() for _ in range(times)] == ["WATCHDOG=1"] * times

    def let_ping_until(self, happened: Callable[[], object]) -> None:
        """Wait until something has happened, among signs of life."""

        def look() -> object:
            self.let_ping(1)
            return happened()

        until(look)
