"""What the process needs of its host: the log, systemd's socket, and the lock of the workspace."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import resource
import socket
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping
from pathlib import Path
from typing import IO, Any, Literal, TextIO, cast

import structlog

from portfoliod.errors import LockHeld

LogFormat = Literal["auto", "console", "journal", "json"]

LOCK_TRIES = 10
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGE_PIECE = 1 << 20
"""Bytes of memory that are given back to the system as soon as they are free."""
NOTIFY_SECONDS = 0.05
"""A supervisor that does not read what it is told may not hold the daemon for longer."""
USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
"""Of a proxy, with its password."""
PRIORITY = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}


def start_log(log_format: LogFormat, *, verbose: bool) -> None:
    """Send events to standard error in one of the formats; `auto` looks at where standard error leads."""
    if log_format == "auto":
        log_format = "journal" if _is_journal() else "console"
    # A traceback as text, without local variables: those of a request hold the keys that signed it.
    processors: list[structlog.typing.Processor] = [_drop_empty, structlog.processors.format_exc_info, _conceal]
    if log_format == "json":
        processors += [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ]
    elif log_format == "journal":
        processors += [structlog.processors.add_log_level, _journal_line]
    else:
        colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        processors += [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=True),
            structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=20, sort_keys=False),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger("debug" if verbose else "info"),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
        cache_logger_on_first_use=False,
    )


def conceal(redact: Callable[[str], str]) -> None:
    """Let a function take secrets out of what this process says from now on, and let it leave no memory behind.

    That is every event but the plain ones of level info, which hold nothing that came from outside; and whatever
    else is printed: what a library prints, warnings, the traceback of an error that ends the process.
    """
    _redactions.append(redact)
    sys.stdout, sys.stderr = _concealing(sys.stdout), _concealing(sys.stderr)
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


_redactions: list[Callable[[str], str]] = []


def redacted(text: str) -> str:
    """Return a text without what is concealed."""
    text = USER_IN_URL.sub("***@", text)
    for redact in _redactions:
        text = redact(text)
    return text


def _conceal(_logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if method == "info" and "exception" not in event:
        return event
    return {name: redacted(value) if isinstance(value, str) else value for name, value in event.items()}


class _Concealing:
    """A stream that takes secrets out of what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redacted(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _concealing(stream: TextIO) -> TextIO:
    return stream if isinstance(stream, _Concealing) else cast("TextIO", _Concealing(stream))


class _Unfailing:
    """A stream that loses what cannot be written: a full disk or a reader that left must not stop an order."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _is_journal() -> bool:
    """Return whether standard error is the journal's socket, as systemd promises in $JOURNAL_STREAM."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def _drop_empty(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if value not in {None, ""}}


def _journal_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    level = event.pop("level")
    name = event.pop("event")
    fields = " ".join(f"{key}={value!r}" if " " in str(value) else f"{key}={value}" for key, value in event.items())
    return f"<{PRIORITY.get(level, 6)}>{name} {fields}".rstrip()


def notify(message: str) -> None:
    """Tell systemd something (sd_notify); nothing happens where it does not listen, or does not keep up."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
        peer.settimeout(NOTIFY_SECONDS)
        try:
            peer.sendto(message.encode(), address)
        except OSError:
            return


def give_memory_back() -> None:
    """Let large pieces of memory go back to the system at once, where the C library can be told so (glibc).

    Its own thresholds rise with the largest piece that was ever freed: after an optimization of many strategies the
    process would keep what only that needed.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_PIECE)
        library.mallopt(M_TRIM_THRESHOLD, LARGE_PIECE)


def watchdog_seconds() -> float | None:
    """Return how often systemd wants a sign of life at the latest, None where it does not ask this process."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdigit() and int(text) > 0 else None


class WorkspaceLock:
    """One daemon a workspace. The lock is the kernel's: it ends with the process, whatever ends that."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockHeld: another process has it; the error says which.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a+")
        try:
            _lock_patiently(file)
        except OSError as error:
            file.close()
            raise LockHeld(
                "another process works in this workspace",
                where=str(self._path),
                found=f"process {holder(self._path)}",
                kept="it goes on undisturbed",
                mend="stop it first, or use another --root",
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock_patiently(file: IO[str]) -> None:
    """Lock a file, and outwait those who only look whether it is locked (`holder`)."""
    for _ in range(LOCK_TRIES - 1):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.01)
        else:
            return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def holder(path: Path) -> int | None:
    """Return the process that holds a workspace's lock, None where nobody does."""
    try:
        with path.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                text = file.read().strip()
                return int(text) if text.isdigit() else 0
    except FileNotFoundError:
        pass
    return None
