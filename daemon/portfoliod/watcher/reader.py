"""Reading a file that somebody may be writing: patiently, one read at a time, through the content's hash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec
import structlog

from portfoliod.errors import FileRejected
from portfoliod.intake import Intake, Loaded, Source
from portfoliod.model import Problem, State
from portfoliod.workspace import Unsettled, signature

log: structlog.stdlib.BoundLogger = structlog.get_logger()

RETRY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
PATIENCE_SECONDS = 1.0
"""How long a file may be half-written before it is called so."""
INLINE_BYTES = 64 * 1024
"""Larger files are read in a thread."""
FUTURE_SECONDS = 60.0
"""How far ahead a state's clock may be before that is said."""


class Reader:
    """Reads files into an `Intake` and calls `changed` with each source whose content is new."""

    def __init__(self, intake: Intake, changed: Callable[[Source], None]) -> None:
        self._intake = intake
        self._changed = changed
        self._again: dict[Source, bool] = {}

    def read_soon(self, source: Source, tasks: asyncio.TaskGroup) -> None:
        """Read a file now, or once more after the read that is under way."""
        if source in self._again:
            self._again[source] = True
        else:
            self._again[source] = False
            tasks.create_task(self._read(source), name=f"read {source.kind} {source.strategy}")

    async def _read(self, source: Source) -> None:
        try:
            while True:
                self._again[source] = False
                await self._read_patiently(source)
                if not self._again[source]:
                    return
        finally:
            del self._again[source]

    async def _read_patiently(self, source: Source) -> None:
        """Read until the file is whole, is found not to fit, or stayed half-written for about a second."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        delays = iter(RETRY_SECONDS)
        while not self._again[source]:
            try:
                self._accept(await self._load(source))
            except (Unsettled, FileNotFoundError) as error:
                if time.monotonic() < deadline:
                    await asyncio.sleep(next(delays, RETRY_SECONDS[-1]))
                    continue
                self._give_up(source, error)
            except FileRejected as error:
                self._reject(source, error)
            except Exception as error:  # noqa: BLE001 - one file must not end the daemon
                self._reject(source, FileRejected("the file cannot be understood", found=repr(error)))
            return

    async def _load(self, source: Source) -> Loaded:
        found = signature(self._intake.path_of(source))
        if found is None or found.size <= INLINE_BYTES:
            return self._intake.load(source)
        return await asyncio.to_thread(self._intake.load, source)

    def _accept(self, loaded: Loaded) -> None:
        source = loaded.source
        if source.strategy in self._intake.retired:
            return
        content = loaded.content
        if not self._intake.accept(loaded):
            if isinstance(content, State):
                self._changed(source)  # what was too old to trade may be fresh again
            return
        ahead = content.updated_at - time.time() if isinstance(content, State) else 0.0
        warning = f"updated_at lies {ahead:.0f} s in the future" if ahead > FUTURE_SECONDS else loaded.warning
        say = log.warning if warning else log.info
        cycle = self._intake.cycles.of(source)
        say(f"{source.kind}.accepted", strategy=source.strategy, warning=warning, cycle=cycle)
        self._changed(source)

    def _give_up(self, source: Source, error: Unsettled | FileNotFoundError) -> None:
        if isinstance(error, Unsettled):
            self._reject(source, error)
        elif self._intake.holds(source) and self._intake.path_of(source).parent.exists():
            _say(f"{source.kind}.removed", source, *self._intake.missing(source))

    def _reject(self, source: Source, error: FileRejected) -> None:
        _say(f"{source.kind}.rejected", source, *self._intake.reject(source, error))


def _say(event: str, source: Source, problem: Problem, news: bool) -> None:
    if news:
        log.error(event, strategy=source.strategy, **told(problem))


def told(problem: Problem) -> dict[str, str]:
    """Return a problem as the fields of an event."""
    return msgspec.structs.asdict(problem)
