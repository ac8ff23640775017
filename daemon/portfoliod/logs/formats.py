"""The formats of the log: for a terminal, for systemd's journal, for programs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO, cast

import orjson
import structlog

from portfoliod.logs import journald
from portfoliod.logs.listeners import tell_listeners
from portfoliod.logs.redaction import conceal_in_event

LogFormat = Literal["auto", "console", "journal", "json"]

_journald: list[journald.Journald] = []
"""The socket that the log goes to, if it goes to one."""


def start_log(log_format: LogFormat, *, verbose: bool) -> None:
    """Send events to systemd's journal or to standard error in one of the formats.

    `auto` looks at where standard error leads. `journal` speaks to journald itself where standard error is its socket,
    and else writes lines that begin with their priority.
    """
    while _journald:
        _journald.pop().close()
    if log_format == "auto":
        log_format = "journal" if _leads_to_journald() else "console"
    factory: Any = structlog.PrintLoggerFactory(cast("TextIO", _Unfailing(sys.stderr)))
    if log_format == "journal" and _leads_to_journald():
        _journald.append(journald.Journald())
        factory = _to_journald
    structlog.configure(
        processors=[
            _drop_empty,
            # A traceback as text, without local variables: those of a request hold the keys that signed it.
            structlog.processors.format_exc_info,
            conceal_in_event,
            structlog.processors.add_log_level,
            tell_listeners,
            *_renderers(log_format),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("debug" if verbose else "info"),
        logger_factory=factory,
        cache_logger_on_first_use=False,
    )


def say_what_was_lost() -> None:
    """Tell what journald did not take, if it takes entries again; nothing to do for other formats."""
    for to in _journald:
        to.say_what_was_lost()


def lost() -> int:
    """Return how many entries journald did not take, since the start."""
    return sum(to.lost_in_all for to in _journald)


def _renderers(log_format: LogFormat) -> list[structlog.typing.Processor]:
    if log_format == "json":
        return [structlog.processors.TimeStamper(fmt="iso", utc=True), _json_line]
    if log_format == "journal":
        return [_journal_entry if _journald else _journal_line]
    colours = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    return [
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=True),
        structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=20, sort_keys=False),
    ]


def _json_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    try:
        return orjson.dumps(event, default=repr).decode()
    except TypeError:  # a number beyond 64 bits, or a file's name that is no text
        return json.dumps(event, default=repr)


def _to_journald(*_: object) -> journald.Journald:
    return _journald[-1]


def _leads_to_journald() -> bool:
    """Return whether standard error is the journal's socket, as systemd promises in $JOURNAL_STREAM."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def _drop_empty(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if value not in (None, "", ())}


def _journal_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """Return each of an event's lines behind its priority: journald takes every line for an entry."""
    level = journald.priority(event)
    return "\n".join(f"<{level}>{line}" for line in journald.line(event).splitlines())


def _journal_entry(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    return journald.entry(event)


class _Unfailing:
    """A stream that loses what cannot be written: a full disk or a reader that left must not stop an order."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()
