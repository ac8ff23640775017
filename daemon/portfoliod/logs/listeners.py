"""Those who hear every event beside the log: what counts, and what notifies.

A listener runs where the event happened, on the way of an order too: it may do no more than put the event somewhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import structlog

Event = Mapping[str, Any]
"""An event as it is logged, without secrets: `event` is its name, `level` its level."""
Listener = Callable[[Event], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> Callable[[], None]:
    """Let somebody hear every event from now on, and return what ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def tell_listeners(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Pass an event on (a structlog processor)."""
    for listener in _listeners:
        with contextlib.suppress(Exception):  # an order does not fail because somebody who counts does
            listener(dict(event))
    return event
