"""Entries of systemd's journal with fields.

The protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL, one datagram an entry. Nobody waits for journald: what it does
not take is counted, and the count is told as soon as it takes entries again.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "portfoliod"
PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
"""As syslog numbers them."""
SEND_BUFFER = 8 * 1024 * 1024
LONGEST_NAME = 64
NOT_IN_A_NAME = re.compile(r"[^A-Z0-9_]")
RENAMED = {"strategies": "STRATEGY"}
SEALED = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def line(event: Mapping[str, Any]) -> str:
    """Return an event as the line that a person reads, without level and time."""
    told = (f"{name}={_shown(value)}" for name, value in event.items() if name not in {"event", "level", "exception"})
    text = " ".join([str(event["event"]), *told])
    return f"{text}\n{event['exception']}" if "exception" in event else text


def priority(event: Mapping[str, Any]) -> int:
    """Return the number of an event's level."""
    return PRIORITY.get(str(event.get("level")), PRIORITY["info"])


def entry(event: Mapping[str, Any]) -> bytes:
    """Return an event as a datagram for journald: the line, its priority, and each field by a name in capitals."""
    return b"".join(_field(name, value) for name, value in _fields(event))


def exchange_id(symbol: str) -> str:
    """Return a unified symbol as exchanges tend to write it: `BTCUSDT` for `BTC/USDT:USDT`."""
    pair, _, settlement = symbol.partition(":")
    _, _, expiry = settlement.partition("-")
    return pair.replace("/", "") + (f"_{expiry}" if expiry else "")


def _fields(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "MESSAGE", line(event)
    yield "PRIORITY", str(priority(event))
    yield "SYSLOG_IDENTIFIER", IDENTIFIER
    for name, value in event.items():
        if name == "level":
            continue
        field = _named(name)
        for text in _values(name, value):
            yield field, text


@lru_cache(512)
def _named(name: str) -> str:
    """Return what journald may call a field."""
    field = NOT_IN_A_NAME.sub("_", name.upper()).lstrip("_0123456789")[:LONGEST_NAME]
    return RENAMED.get(name) or field or "FIELD"


def _values(name: str, value: object) -> list[str]:
    """Return what a field holds; one that holds several is there several times, and each is found."""
    if name == "symbol":
        return list(dict.fromkeys([str(value), exchange_id(str(value))]))
    if name == "cycle":
        return str(value).split()
    return [str(part) for part in value] if isinstance(value, tuple) else [str(value)]


def _field(name: str, value: str) -> bytes:
    content = value.encode(errors="surrogateescape")
    if b"\n" not in content:
        return b"%s=%s\n" % (name.encode(), content)
    return b"%s\n%s%s\n" % (name.encode(), len(content).to_bytes(8, "little"), content)


def _shown(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return repr(text) if " " in text else text


class Journald:
    """The socket of journald, as structlog's logger: each level's method takes an entry."""

    def __init__(self, address: str = SOCKET) -> None:
        self.lost = 0
        """Entries that journald did not take, and that nobody was told of yet."""
        self.lost_in_all = 0
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def send(self, datagram: bytes) -> None:
        """Pass an entry on, or count it as lost."""
        self.say_what_was_lost()
        if not self._sent(datagram):
            self.lost += 1
            self.lost_in_all += 1

    debug = info = warning = error = critical = exception = msg = send

    def say_what_was_lost(self) -> None:
        """Tell how many entries were lost, if any were and journald takes entries again."""
        if self.lost and self._sent(entry({"event": "log.lost", "level": "warning", "entries": self.lost})):
            self.lost = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _sent(self, datagram: bytes) -> bool:
        try:
            self._socket.sendto(datagram, self._address)
        except OSError as error:
            return error.errno in {errno.EMSGSIZE, errno.ENOBUFS} and self._sent_as_file(datagram)
        return True

    def _sent_as_file(self, datagram: bytes) -> bool:
        """Pass on what does not fit into a datagram, as a sealed file in memory."""
        with contextlib.suppress(OSError):
            file = os.memfd_create("portfoliod-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                os.write(file, datagram)
                fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALED)
                passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))
                self._socket.sendmsg([], [passed], 0, self._address)
            finally:
                os.close(file)
            return True
        return False
