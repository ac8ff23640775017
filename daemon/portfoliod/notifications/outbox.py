"""What waits to be sent to one target: bounded, gathered, never faster than is polite, and lost when it has to be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

import structlog

from portfoliod.backoff import Backoff
from portfoliod.logs import Event, redacted
from portfoliod.notifications.messages import RANKS, message, rank

log: structlog.stdlib.BoundLogger = structlog.get_logger()

MOST_WAITING = 500
KEPT_FOR_ERRORS = 100
"""Places more, which only errors take."""
GATHER_SECONDS = 1.0
"""What comes within so short a time of the first is one message with it."""
LONGEST_PAUSE = 900.0
Send = Callable[[str, str], str]
"""Sends a title and a text, and returns why that failed, or an empty string."""


class Outbox:
    """A thread that sends. `put` may be called on an order's way: it never waits."""

    def __init__(self, name: str, level: str, every_seconds: float, send: Send) -> None:
        self.name = name
        """What logs call the target; nothing of its url."""
        self._from = RANKS[level]
        self._every = every_seconds
        self._send = send
        self._queue: SimpleQueue[Event] = SimpleQueue()
        self._lost = self._lost_told = 0
        """The first is counted by those who put, the second by the thread."""
        self._failing = False
        self._backoff = Backoff(2 * every_seconds, LONGEST_PAUSE)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"notify {name}", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Tell the target of an event, if its level is high enough; where too many wait it is lost, and counted."""
        found = rank(event)
        if found < self._from:
            return
        if self._queue.qsize() >= MOST_WAITING + (KEPT_FOR_ERRORS if found >= RANKS["error"] else 0):
            self._lost += 1
        else:
            self._queue.put(event)

    def end(self) -> None:
        """Send what waits now, and nothing after that."""
        self._closing.set()
        self._queue.put(_END)

    def join(self, deadline: float) -> None:
        """Wait until the last message was sent, at most until a moment of the monotonic clock."""
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        not_before = 0.0
        gathered: list[Event] = []
        while not self._closing.is_set() or gathered or not self._queue.empty():
            if not gathered:
                gathered.append(self._queue.get())
                self._closing.wait(max(GATHER_SECONDS, not_before - time.monotonic()))
            gathered = [event for event in (*gathered, *self._waiting(len(gathered))) if event is not _END]
            if not gathered:
                continue
            if self._told(gathered):
                gathered, not_before = [], time.monotonic() + self._every
            elif self._closing.is_set():
                return
            else:
                self._closing.wait(self._backoff.after_failure())

    def _waiting(self, gathered: int) -> list[Event]:
        """Return what waits, at most as much as one message may be made of."""
        events: list[Event] = []
        while len(events) + gathered < MOST_WAITING:
            try:
                events.append(self._queue.get_nowait())
            except Empty:
                break
        return events

    def _told(self, events: list[Event]) -> bool:
        """Send one message, and return whether it was taken."""
        lost = self._lost - self._lost_told
        title, text = message(events, lost)
        try:
            failure = self._send(title, redacted(text))
        except Exception as error:  # noqa: BLE001 - whatever a service's plug-in does, it ends nothing
            failure = repr(error)
        if failure:
            if not self._failing:
                self._failing = True
                kept = f"at most {MOST_WAITING} messages wait; what comes after those is lost"
                log.warning("notify.failed", target=self.name, error=failure, kept=kept)
            return False
        self._lost_told += lost
        if self._failing or lost:
            log.warning("notify.recovered", target=self.name, lost=lost)
        self._failing = False
        self._backoff.reset()
        return True


_END: Event = {"event": "notify.end"}
