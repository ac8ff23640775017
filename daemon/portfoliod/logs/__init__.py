"""What the daemon says, how it looks where it is read, and what is kept out of it."""

from portfoliod.logs.formats import LogFormat, lost, say_what_was_lost, start_log
from portfoliod.logs.journald import line
from portfoliod.logs.listeners import Event, listen
from portfoliod.logs.redaction import conceal, redacted

__all__ = ["Event", "LogFormat", "conceal", "line", "listen", "lost", "redacted", "say_what_was_lost", "start_log"]
