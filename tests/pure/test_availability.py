"""What may be done with a venue: a table over all that can be known of it."""

from __future__ import annotations

import itertools

import pytest

from portfoliod.model import Problem
from portfoliod.step.availability import Availability, Link, State, availability

STOP, SILENCE = Problem("the position mode changed"), Problem("no answer within 20 s")


@pytest.mark.parametrize(
    ("link", "stopped", "silent", "pause", "expected"),
    [
        (Link.NEVER, None, None, 0.0, (State.NEVER_REACHED, "never reached")),
        (Link.NEVER, STOP, SILENCE, 5.0, (State.NEVER_REACHED, "never reached")),
        (Link.LOST, None, None, 0.0, (State.UNREACHABLE, "streams broke off")),
        (Link.LOST, None, SILENCE, 0.0, (State.UNREACHABLE, SILENCE.what)),
        (Link.LOST, STOP, SILENCE, 5.0, (State.STOPPED, STOP.what)),
        (Link.UP, None, SILENCE, 0.0, (State.UNREACHABLE, SILENCE.what)),
        (Link.UP, None, SILENCE, 5.0, (State.PAUSED, "5.0 s")),
        (Link.UP, None, None, 5.0, (State.PAUSED, "5.0 s")),
        (Link.UP, STOP, None, 5.0, (State.STOPPED, STOP.what)),
        (Link.UP, None, None, 0.0, (State.UP, "")),
    ],
)
def test_the_state_is_what_keeps_most_from_being_done(
    link: Link, stopped: Problem | None, silent: Problem | None, pause: float, expected: tuple[State, str]
) -> None:
    state, reason = expected
    found = availability(link, stopped=stopped, silent=silent, pause=pause)
    assert found.state is state
    assert reason in found.reason
    assert found.seconds == (pause if state is State.PAUSED else 0)


def test_no_two_facts_contradict_each_other() -> None:
    """Usable is what was reached, is not stopped and does not ask for a pause; up is what also answers everywhere."""
    for link, stopped, silent, pause in itertools.product(Link, (None, STOP), (None, SILENCE), (0.0, 5.0)):
        found: Availability = availability(link, stopped=stopped, silent=silent, pause=pause)
        assert found.usable is (link is not Link.NEVER and stopped is None and pause == 0)
        assert (found.state is State.UP) is (found.usable and link is Link.UP and silent is None)
        assert bool(found.reason) is (found.state is not State.UP)
