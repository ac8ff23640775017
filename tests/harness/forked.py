"""Daemons and commands that a zygote forks: real processes, really killed, without the time that imports take."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from subprocess import TimeoutExpired
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
LARGEST = 1 << 18
"""Bytes of a message."""
READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "MALLOC_")
"""What begins so is looked at before the first line of Python: no fork can make up for it."""


class Forked:
    """One such process, as `subprocess.Popen` would show it."""

    def __init__(self, pid: int, *arguments: str) -> None:
        self.pid = pid
        self.args = arguments
        self.returncode: int | None = None
        self._ended = threading.Event()

    def end(self, code: int) -> None:
        """Note that it has ended."""
        self.returncode = code
        self._ended.set()

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended: -9 after SIGKILL.

        Raises:
            TimeoutExpired: it has not.
        """
        if not self._ended.wait(timeout):
            raise TimeoutExpired(self.args, timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, if it still runs."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """The process that forks; what it forked does not outlive it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.harness.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
            )
        self._asking = threading.Lock()
        self._started: queue.SimpleQueue[Forked] = queue.SimpleQueue()
        self._forked: dict[int, Forked] = {}
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._control.shutdown(socket.SHUT_WR)
        self._process.wait()
        self._listening.join()
        self._control.close()

    def fork(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        streams: tuple[int, int, int],
        first: tuple[str, str, str] | None = None,
    ) -> Forked:
        """Return `portfoliod ARGUMENTS` in a new process.

        Args:
            arguments: of the command.
            environment: all of it.
            streams: descriptors of its standard input, output and error.
            first: a module, a function in it, and a text that it is called with before the command runs.
        """
        order = {
            "folder": str(Path.cwd()),
            "environment": dict(environment),
            "arguments": list(arguments),
            "first": first,
        }
        message = json.dumps(order).encode()
        assert len(message) < LARGEST
        with self._asking:
            socket.send_fds(self._control, [message], list(streams))
            return self._started.get()

    def _listen(self) -> None:
        while message := self._control.recv(LARGEST):
            told = json.loads(message)
            if "started" in told:
                forked = self._forked[told["started"]] = Forked(told["started"])
                self._started.put(forked)
            else:
                self._forked.pop(told["ended"]).end(told["code"])


@cache
def zygote() -> Zygote:
    """Return the zygote of this process."""
    shared = Zygote()
    atexit.register(shared.close)
    return shared


def can_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a process with this environment is the same forked: nothing differs that only a start reads."""

    def read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in variables.items() if name.startswith(READ_AT_START)}

    return read_at_start(environment) == _AT_START


_AT_START = {name: value for name, value in os.environ.items() if name.startswith(READ_AT_START)}
