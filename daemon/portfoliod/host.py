"""What the process needs of its host: systemd's socket, memory that goes back, and the lock of the workspace."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO

from portfoliod.errors import LockHeld

LOCK_TRIES = 10
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGE_PIECE = 1 << 20
"""Bytes of memory that are given back to the system as soon as they are free."""
NOTIFY_SECONDS = 0.05
"""A supervisor that does not read what it is told may not hold the daemon for longer."""


def notify(message: str, *, wait: float = NOTIFY_SECONDS) -> bool:
    """Tell systemd something (sd_notify), and return whether it can know of it; always, where it does not listen.

    Args:
        message: what.
        wait: how many seconds a supervisor that does not keep up may take.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return True
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
        peer.settimeout(wait)
        try:
            peer.sendto(message.encode(), address)
        except OSError:
            return False
    return True


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
