"""What the daemon tells systemd of itself: that it is ready, how it is, that it lives."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import structlog

from portfoliod.host import notify, watchdog_seconds
from portfoliod.reconciler import Reconciler
from portfoliod.status import Status, sentence
from portfoliod.watcher import SCAN_SECONDS, Watcher

log: structlog.stdlib.BoundLogger = structlog.get_logger()

READY_SECONDS = 30.0
"""How long the first look at the venues may keep the daemon from being called ready."""
LOOK_SECONDS = 0.02


class Supervision:
    """One process as its supervisor sees it."""

    def __init__(self, reconciler: Reconciler, watcher: Watcher) -> None:
        self._reconciler = reconciler
        self._watcher = watcher
        self._sentence = ""

    async def run(self) -> None:
        """Say that the daemon is ready once it is, then that it lives, until cancelled."""
        await self._say_ready()
        await self._feed_watchdog()

    def tell(self, status: Status) -> None:
        """Tell how it is, in the sentence that `portfoliod status` prints, until its last one is told."""
        fresh = sentence(status)
        if fresh != self._sentence and notify(f"STATUS={fresh}", wait=0):
            self._sentence = fresh

    async def _say_ready(self) -> None:
        """Wait until every venue was looked at, or could not be, and say so; not longer than is sensible."""
        started = time.monotonic()
        while missing := self._reconciler.not_looked_at():
            if time.monotonic() - started >= READY_SECONDS:
                break
            await asyncio.sleep(LOOK_SECONDS)
        seconds = round(time.monotonic() - started, 3)
        if missing:
            log.warning("daemon.ready", seconds=seconds, not_looked_at=", ".join(missing), kept="they are waited for")
        else:
            log.info("daemon.ready", seconds=seconds)
        while not notify("READY=1", wait=0):  # noqa: ASYNC110 - nothing tells when there is room
            await asyncio.sleep(LOOK_SECONDS)

    async def _feed_watchdog(self) -> None:
        """Tell that this loop turns, as long as the watcher scans and the reconciler resyncs."""
        seconds = watchdog_seconds()
        while seconds is not None:
            scanned = time.monotonic() - self._watcher.scanned_at < 6 * SCAN_SECONDS
            if scanned and self._reconciler.alive():
                notify("WATCHDOG=1")
            await asyncio.sleep(seconds / 3)


@contextlib.contextmanager
def reloading() -> Iterator[None]:
    """Tell that settings are read again meanwhile."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        yield
    finally:
        notify("READY=1")
