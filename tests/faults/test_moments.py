"""States of another time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.file_world import COIN, FileWorld, until


@pytest.mark.parametrize(
    "updated_at",
    [
        pytest.param("2001-01-01T00:00:00Z", id="long ago"),
        pytest.param("2999-01-01T00:00:00Z", id="in the future"),
        pytest.param(4e10, id="seconds in the future"),
    ],
)
def test_fault_36_a_state_of_another_time_opens_nothing_where_an_age_is_set(
    open_world: Callable[..., FileWorld], updated_at: object
) -> None:
    """With `state_max_age_seconds` a stale state adds nothing, and one from the future is not taken for fresh."""
    world = open_world(state_max_age=3600)
    world.start({"one": (1.0, COIN)}, weight=0.5)
    before, since = world.held(), world.daemon.mark()
    world.files.state("one", 2.0, updated_at=updated_at)
    said = ("risk.refused", "state.rejected", "order.sent")
    until(lambda: any(event["event"] in said for event in world.daemon.events[since:]), "nothing came of it")
    world.trade_other()
    assert world.held() == before
