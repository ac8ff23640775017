"""What may be done with a venue now, as a value that a decision can be taken by."""

from __future__ import annotations

from enum import Enum, StrEnum

import msgspec

from portfoliod.model import Problem


class Link(Enum):
    """Whether a venue's markets were ever loaded, and its streams are followed and believed to be up."""

    NEVER = "never loaded"
    LOST = "loaded, not followed"
    UP = "loaded and followed"


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
    """Return the state of a venue: of several the one that keeps most from being done.

    `stopped` is why nothing may be sent there, `silent` why it does not answer, `pause` for how many seconds it wants
    to be left alone, 0 where it does not.
    """
    if link is Link.NEVER:
        return Availability(State.NEVER_REACHED, "the venue was never reached")
    if stopped is not None:
        return Availability(State.STOPPED, f"the venue is stopped: {stopped.what}")
    if pause > 0:
        return Availability(State.PAUSED, f"the venue asks for a pause of {pause:.1f} s", pause)
    if silent is not None:
        return Availability(State.UNREACHABLE, silent.what)
    return Availability(State.UP) if link is Link.UP else Availability(State.UNREACHABLE, "its streams broke off")
