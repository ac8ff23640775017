"""Which events a person hears of, and in which words."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Sequence

from portfoliod.logs import Event, line

RANKS = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 3}
SUMMARY = "portfolio.summed_up"
RAISED = {
    "daemon.started": "info",
    "daemon.stopped": "info",
    "order.filled": "info",
    "strategy.added": "info",
    "strategy.retired": "info",
    "venue.recovered": "warning",
    "equity.believed": "error",
    "halt.cleared": "error",
    "symbol.unlocked": "error",
    SUMMARY: "error",
}
"""News, by the level from which on they are told: whoever heard that something began hears that it is over."""
SILENT = ("notify.", "metrics.", "log.")
"""Of itself a message says nothing."""
UNTOLD = {"cycle", "client_id", "trade_id", "level", "exception", "strategies"}
"""Fields that are for machines."""
MOST_LINES = 40


def rank(event: Event) -> int:
    """Return from which level on an event is told: 1 info, 2 warning, 3 error; 0 for never."""
    name = str(event["event"])
    if name.startswith(SILENT):
        return 0
    if name in RAISED:
        return RANKS[RAISED[name]]
    found = RANKS.get(str(event.get("level")), 0)
    return found if found >= RANKS["warning"] else 0


def message(events: Sequence[Event], lost: int) -> tuple[str, str]:
    """Return the title and the text that tell several events; what happened several times is one line."""
    told = Counter(line({name: value for name, value in event.items() if name not in UNTOLD}) for event in events)
    lines = [text if times == 1 else f"{text} ({times} times)" for text, times in told.items()]
    more = len(lines) - MOST_LINES
    if more > 0:
        lines = [*lines[:MOST_LINES], f"and {more} more: journalctl -u portfoliod"]
    if lost:
        lines.append(f"{lost} others could not be told: journalctl -u portfoliod -p warning")
    worst = max(events, key=rank)
    others = "" if len(events) == 1 else f" and {len(events) - 1} more"
    return f"portfoliod on {socket.gethostname()}: {worst['event']}{others}", "\n".join(lines)
