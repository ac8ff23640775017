"""The real daemon in a real process: its log as events that a test can wait for.

Whatever it prints, and every file that it leaves, is searched for secrets when it ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tests.harness.forked import Forked, can_fork, zygote
from tests.harness.leaks import assert_untold, title, written

PATIENCE = 30.0
"""Seconds within which anything must have happened, on a busy machine; a test that waits for it never sleeps longer."""


class Starts:
    """How processes are started."""

    fork = False
    """From a zygote, where that makes no difference: it saves the imports. `conftest` lets tests do so."""


class Daemon:
    """`portfoliod run` in a process of its own; leaving the context kills it if it still runs."""

    def __init__(
        self, root: Path, *arguments: str, environment: Mapping[str, str] | None = None, verbose: bool = False
    ) -> None:
        self.root = root
        self.events: list[dict[str, Any]] = []
        self.other_output: list[str] = []
        self._heard = threading.Condition()
        self._ended = False
        self._lines: list[str] = []
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `wait`
        log, written_to = os.pipe()
        try:
            self.process = _start(
                [*_workspace(root, verbose=verbose), "run", "--log-format", "json", *arguments],
                {**os.environ, **(environment or {})},
                self._printed,
                written_to,
            )
        finally:
            os.close(written_to)
        self._log = os.fdopen(log)
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def wait_for(self, event: str, *, since: int = 0, **fields: object) -> dict[str, Any]:
        """Return the first log event, from number `since` on, of this name with these fields; fail if none comes."""
        deadline = time.monotonic() + PATIENCE
        with self._heard:
            while True:
                for found in self.events[since:]:
                    if found["event"] == event and all(found.get(name) == value for name, value in fields.items()):
                        return found
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    said = "\n".join([*map(str, self.events[-25:]), *self.other_output[-40:]])
                    raise AssertionError(f"no {event} with {fields}; the last of the log:\n{said}")
                self._heard.wait(left)

    def mark(self) -> int:
        """Return a number for `since`: only what is logged from now on."""
        return len(self.events)

    def named(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return all log events of this name with these fields so far."""
        return [
            found
            for found in list(self.events)
            if found["event"] == event and all(found.get(name) == value for name, value in fields.items())
        ]

    def take(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the events and the other lines since the last take, and forget them: for what runs for hours."""
        with self._heard:
            events, others = list(self.events), list(self.other_output)
            lines = "".join(self._lines)
            for taken in (self.events, self.other_output, self._lines):
                taken.clear()
        assert_untold([("standard error", lines.encode())])
        return events, others

    def status(self) -> dict[str, Any]:
        """Return status.json."""
        status: dict[str, Any] = json.loads((self.root / "var/status.json").read_bytes())
        return status

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        assert_untold(title(self.process.pid))
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process.poll() is None:
            shown = list(title(self.process.pid))
            self.process.kill()
            assert_untold(shown)
        self.wait()

    def wait(self) -> int:
        """Wait for the process's end and return its exit code.

        Raises:
            SecretTold: it printed a secret, or left one in a file.
        """
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if not self._printed.closed:
            with self._printed as printed:
                printed.seek(0)
                assert_untold([("standard output", printed.read()), ("standard error", "".join(self._lines).encode())])
            assert_untold(written(self.root))
        return code

    def _listen(self) -> None:
        with self._log as lines:
            for line in lines:
                with self._heard:
                    self._lines.append(line)
                    try:
                        self.events.append(json.loads(line))
                    except ValueError:
                        self.other_output.append(line.rstrip())
                    self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()


def program(root: Path, *, verbose: bool = False) -> list[str]:
    """Return what every command in a workspace begins with."""
    return [sys.executable, "-m", "portfoliod", *_workspace(root, verbose=verbose)]


def _workspace(root: Path, *, verbose: bool) -> list[str]:
    return ["--root", str(root), *(["-v"] if verbose else [])]


def _start(
    arguments: list[str], environment: dict[str, str], out: IO[bytes], log: int
) -> Forked | subprocess.Popen[bytes]:
    """Return `portfoliod ARGUMENTS`, with nothing to read, in a new process."""
    if Starts.fork and can_fork(environment):
        with Path(os.devnull).open() as nothing:
            return zygote().fork(arguments, environment, (nothing.fileno(), out.fileno(), log))
    command = [sys.executable, "-m", "portfoliod", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, env=environment)


def run_command(
    root: Path, *arguments: str, environment: Mapping[str, str] | None = None, verbose: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a `portfoliod` command to its end.

    Raises:
        SecretTold: it printed a secret, or left one in a file.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        command = [*_workspace(root, verbose=verbose), *arguments]
        process = _start(command, {**os.environ, **(environment or {})}, out, log.fileno())
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(PATIENCE)
            raise
        told = [_all_of(stream) for stream in (out, log)]
    assert_untold([("standard output", told[0]), ("standard error", told[1]), *written(root)])
    return subprocess.CompletedProcess(command, code, told[0].decode(), told[1].decode())


def _all_of(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    return stream.read()
