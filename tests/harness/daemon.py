"""The real daemon in a real process: its log as events that a test can wait for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE = 30.0
"""Seconds within which anything must have happened, on a busy machine; a test that waits for it never sleeps longer."""


class Daemon:
    """`portfoliod run` in a subprocess; leaving the context kills it if it still runs."""

    def __init__(self, root: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.events: list[dict[str, Any]] = []
        self.other_output: list[str] = []
        self._heard = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "portfoliod", "--root", str(root), "run", "--log-format", "json", *arguments],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            text=True,
        )
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

    def status(self) -> dict[str, Any]:
        """Return status.json."""
        status: dict[str, Any] = json.loads((self.root / "var/status.json").read_bytes())
        return status

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()

    def wait(self) -> int:
        """Wait for the process's end and return its exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with self._heard:
                    try:
                        self.events.append(json.loads(line))
                    except ValueError:
                        self.other_output.append(line.rstrip())
                    self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()


def run_command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a `portfoliod` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "portfoliod", "--root", str(root), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        check=False,
    )
