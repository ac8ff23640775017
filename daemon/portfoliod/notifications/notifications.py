"""The targets of `[notify]`, and what they are told of."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from datetime import UTC, datetime
from urllib.parse import unquote

import structlog
from apprise import Apprise, NotifyBase

from portfoliod.credentials import Credentials
from portfoliod.errors import JournalFailed, SettingsError
from portfoliod.journal import Journal
from portfoliod.logs import Event, conceal, listen
from portfoliod.notifications.messages import SUMMARY
from portfoliod.notifications.outbox import Outbox
from portfoliod.settings import NotifySettings, NotifyTarget
from portfoliod.status import Status, sentence

log: structlog.stdlib.BoundLogger = structlog.get_logger()

SUMMED_UP = "summed_up"
"""The journal's fact: when the last summary was told, in epoch seconds."""
LAST_SECONDS = 2.0
"""How long the end of the process waits for the last messages."""
SCHEMA = re.compile(r"([A-Za-z0-9+.-]{1,20})://")
IN_A_URL = re.compile(r"[/?&=@,;#]+")
WORD = re.compile(r"[a-z]{1,20}|[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20})+(:\d{1,5})?|localhost:\d{1,5}")
"""Or a host, with or without its port."""
SHORTEST_SECRET = 6


class Notifications:
    """Hears every event, and tells those that a person asked to hear of."""

    def __init__(self, settings: NotifySettings) -> None:
        """Open the targets; nothing is sent yet.

        Raises:
            SettingsError: a url is none that apprise knows.
        """
        found = services(settings)
        self._outboxes = [
            Outbox(
                f"{number + 1} ({_schema(target.url)})",
                target.level or settings.level,
                settings.every_seconds,
                _Sender(service),
            )
            for number, (target, service) in enumerate(found)
        ]
        for target, service in found:
            _conceal(target.url, service)
        self._daily = settings.daily
        self._summed_up: float | None = None
        self._stop_listening = listen(self._hear)

    async def note(self, status: Status, journal: Journal) -> None:
        """Take in how the daemon is; once a day that is told too, also where it did not run at that hour."""
        if self._daily:
            with contextlib.suppress(JournalFailed):  # which halts the daemon elsewhere
                await self._sum_up(status, journal, time.time())

    async def _sum_up(self, status: Status, journal: Journal, now: float) -> None:
        if self._summed_up is None:
            known = await journal.meta(SUMMED_UP)
            self._summed_up = now if known is None else float(known)
            if known is None:
                await journal.put_meta(SUMMED_UP, str(now))
        since = self._summed_up = min(self._summed_up, now)  # a clock that was set back must not silence it
        if since < _last(self._daily, now):
            fills = await journal.fills_since(since)
            worth = ", ".join(f"{name} {venue.equity or 'unknown'}" for name, venue in status.venues.items())
            weights = ", ".join(f"{name} {weight:g}" for name, weight in status.weights.items() if weight)
            log.info(SUMMARY, status=sentence(status), equity=worth, fills=fills, weights=weights)
            self._summed_up = now
            await journal.put_meta(SUMMED_UP, str(now))

    def close(self) -> None:
        """Send what waits, if that takes no longer than a moment, and end."""
        self._stop_listening()
        for outbox in self._outboxes:
            outbox.end()
        deadline = time.monotonic() + LAST_SECONDS
        for outbox in self._outboxes:
            outbox.join(deadline)

    def _hear(self, event: Event) -> None:
        for outbox in self._outboxes:
            outbox.put(event)


class _Sender:
    """Sends by one service of apprise, and says why that failed."""

    def __init__(self, service: NotifyBase) -> None:
        self._service = service

    def __call__(self, title: str, text: str) -> str:
        _words.forget()
        if self._service.notify(title=title, body=text):
            return ""
        return _words.last() or "the service did not take it"


class _LastWords(logging.Handler):
    """What apprise said last, in each thread: it tells failures to its log only."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        self._said.last = record.getMessage()

    def forget(self) -> None:
        self._said.last = ""

    def last(self) -> str:
        return getattr(self._said, "last", "")


_words = _LastWords()
logging.getLogger("apprise").addHandler(_words)
logging.getLogger("apprise").propagate = False  # it quotes urls


def services(settings: NotifySettings) -> list[tuple[NotifyTarget, NotifyBase]]:
    """Return each target with the service of apprise that sends there; nothing is sent.

    Raises:
        SettingsError: a url is none that apprise knows.
    """
    targets = [NotifyTarget(one) if isinstance(one, str) else one for one in settings.urls]
    return [(target, _service(target.url, number)) for number, target in enumerate(targets)]


def _service(url: str, number: int) -> NotifyBase:
    service = Apprise.instantiate(url, suppress_exceptions=True)
    if not isinstance(service, NotifyBase):
        raise SettingsError(
            "not a url that apprise knows",
            where=f"config/portfoliod.toml  notify.urls[{number}]",
            found=f"{_schema(url)}://… (the rest is not shown)",
            kept="nothing was started",
            mend="write it as apprise's documentation of that service says",
        )
    return service


def _schema(url: str) -> str:
    found = SCHEMA.match(url)
    return found[1] if found else "no schema"


def _conceal(url: str, service: NotifyBase) -> None:
    """Take every part of a url that may be a secret out of whatever is said from now on.

    That is what apprise itself does not show, and what does not look like a word: a host's name is one.
    """
    shown = unquote(str(service.url(privacy=True)))  # type: ignore[no-untyped-call]
    _, _, rest = url.partition("://")
    parts = IN_A_URL.split(rest)
    pieces = {piece for part in parts for piece in (part, unquote(part), *part.split(":"))}
    for piece in pieces:
        if len(piece) >= SHORTEST_SECRET and not (piece in shown and WORD.fullmatch(piece)):
            conceal(Credentials("[notify] urls", secret=piece).redact)


def _last(clock: str, now: float) -> float:
    """Return when a clock that shows UTC showed a time last, in epoch seconds."""
    hour, minute = map(int, clock.split(":"))
    moment = datetime.fromtimestamp(now, UTC).replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp()
    return moment if moment <= now else moment - 86_400
