"""Secrets, taken out of whatever this process says."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO, cast

import structlog

USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
"""Of a proxy, with its password."""


def conceal(redact: Callable[[str], str]) -> None:
    """Let a function take secrets out of what this process says from now on, and let it leave no memory behind.

    That is every event but the plain ones of level info, which hold nothing that came from outside; and whatever
    else is printed: what a library prints, warnings, the traceback of an error that ends the process.
    """
    _redactions.append(redact)
    sys.stdout, sys.stderr = _concealing(sys.stdout), _concealing(sys.stderr)
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


_redactions: list[Callable[[str], str]] = []


def redacted(text: str) -> str:
    """Return a text without what is concealed."""
    text = USER_IN_URL.sub("***@", text)
    for redact in _redactions:
        text = redact(text)
    return text


def conceal_in_event(_logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Take secrets out of an event (a structlog processor)."""
    if method == "info" and "exception" not in event:
        return event
    return {name: redacted(value) if isinstance(value, str) else value for name, value in event.items()}


class _Concealing:
    """A stream that takes secrets out of what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redacted(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _concealing(stream: TextIO) -> TextIO:
    return stream if isinstance(stream, _Concealing) else cast("TextIO", _Concealing(stream))
