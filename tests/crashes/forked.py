"""Daemons that a zygote forks: real processes, really killed, without the seconds that imports take."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.harness.forked import Zygote
from tests.harness.leaks import assert_untold, written


class ForkedDaemon:
    """`portfoliod run`, forked, with a plane of crash points."""

    def __init__(
        self, zygote: Zygote, root: Path, log: Path, plane: Path, environment: Mapping[str, str], *arguments: str
    ) -> None:
        self.root = root
        self.code: int | None = None
        self._log = log
        self._from = log.stat().st_size if log.exists() else 0
        command = ["--root", str(root), "run", "--log-format", "json", *arguments]
        with Path(os.devnull).open("r+") as nothing, log.open("a") as lines:
            streams = (nothing.fileno(), nothing.fileno(), lines.fileno())
            first = ("tests.crashes.plane", "install_in", str(plane))
            self._forked = zygote.fork(command, {**os.environ, **environment}, streams, first)
        self.pid = self._forked.pid

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
        return self._forked.poll() is None

    def status(self) -> dict[str, Any]:
        """Return status.json."""
        status: dict[str, Any] = json.loads((self.root / "var/status.json").read_bytes())
        return status

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.code is None:
            self._forked.kill()
            self.wait()

    def terminate(self) -> int:
        """SIGTERM, and return the exit code."""
        self._forked.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return the exit code once it has ended: -9 after SIGKILL."""
        if self.code is None:
            self.code = self._forked.wait()
            assert_untold([("the log", self._log.read_bytes()), *written(self.root)])
        return self.code
