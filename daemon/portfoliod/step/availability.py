"""What may be done with a venue now, as a value that a decision can be taken by."""

from __future__ import annotations

from enum import Enum, StrEnum

import msgspec

from portfoliod.model import Problem


class Link(Enum):
    """How far the connection to a venue has come."""

    NEVER = "never"
    """Its markets were never loaded in this process."""
    LOST = "lost"
    """Its markets are known; its streams are not followed."""
    UP = "up"
    """Its streams are followed and believed to be up."""


class State(StrEnum):
    """What a venue is to those who want something of it."""

    NEVER_REACHED = "never_reached"
    STOPPED = "stopped"
    PAUSED = "paused"
    UNREACHABLE = "unreachable"
    UP = "up"


class Availability(msgspec.Struct, frozen=True):
    """A venue's state, why it is that, and for how many seconds where that is known."""

    state: State
    reason: str = ""
    seconds: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether its markets may be looked at and traded; of one that does not answer that is tried all the same."""
        return self.state in {State.UNREACHABLE, State.UP}


def availability(link: Link, *, stopped: Problem | None, silent: Problem | None, pause: float) -> Availability:
    """Return the state of a venue, of several the one that keeps most from being done.

    Args:
        link: how far the connection has come.
        stopped: why nothing may be sent there.
        silent: why it does not answer.
        pause: for how many seconds it asked to be left alone, 0 where it did not.
    """
    if link is Link.NEVER:
        return Availability(State.NEVER_REACHED, "the venue was never reached")
    if stopped is not None:
        return Availability(State.STOPPED, f"the venue is stopped: {stopped.what}")
    if pause > 0:
        return Availability(State.PAUSED, f"the venue asks for a pause of {pause:.1f} s", pause)
    if silent is not None:
        return Availability(State.UNREACHABLE, silent.what)
    if link is Link.LOST:
        return Availability(State.UNREACHABLE, "its streams are not followed")
    return Availability(State.UP)
