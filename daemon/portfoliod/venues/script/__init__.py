"""A user's own broker: one Python file with two functions, and more where the broker can do more."""

from portfoliod.venues.script.venue import ScriptVenue, open_script

__all__ = ["ScriptVenue", "open_script"]
