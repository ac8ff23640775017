"""Daemons that a zygote forks: real processes, really killed, without the seconds that imports take."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.leaks import assert_untold, written


class Zygote:
    """The process that forks."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crashes.zygote"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process as process:
            process.communicate()

    def ask(self, order: Mapping[str, object]) -> int:
        """Send one line and return the number that answers it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


class ForkedDaemon:
    """`portfoliod run`, forked, with a plane of crash points."""

    def __init__(
        self, zygote: Zygote, root: Path, log: Path, plane: Path, environment: Mapping[str, str], *arguments: str
    ) -> None:
        self.root = root
        self.code: int | None = None
        self._zygote = zygote
        self._log = log
        self._from = log.stat().st_size if log.exists() else 0
        self.pid = zygote.ask(
            {
                "start": {
                    "root": str(root),
                    "log": str(log),
                    "plane": str(plane),
                    "environment": dict(environment),
                    "arguments": list(arguments),
                }
            }
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log so far; a line that the death cut short is left out."""
        found = []
        with self._log.open() as lines:
            lines.seek(self._from)
            for line in lines:
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return found

    def named(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return all log events of this name with these fields so far."""
        return [
            found
            for found in self.events
            if found["event"] == event and all(found.get(name) == value for name, value in fields.items())
        ]

    @property
    def process(self) -> Self:
        """Itself, for who asks a `Daemon` so."""
        return self

    def poll(self) -> int | None:
        """Return the exit code, None while nobody waited for the end."""
        return self.code

    def alive(self) -> bool:
        """Return whether the process has not ended yet."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def status(self) -> dict[str, Any]:
        """Return status.json."""
        status: dict[str, Any] = json.loads((self.root / "var/status.json").read_bytes())
        return status

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def terminate(self) -> int:
        """SIGTERM, and return the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return the exit code once it has ended: -9 after SIGKILL."""
        if self.code is None:
            self.code = self._zygote.ask({"wait": self.pid})
            assert_untold([("the log", self._log.read_bytes()), *written(self.root)])
        return self.code
