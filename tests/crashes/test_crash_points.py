"""kill -9 at every place of an order's way, for every kind of order, with and without its reply."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crashes.forked import Zygote
from tests.crashes.matrix import SHAPES, CrashWorld, Shape, walk
from tests.harness.workspace import Files

pytestmark = pytest.mark.slow

FEWEST = 15
"""Crash points that the shortest way has: files, decision, intent, request, reply, fills."""


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """Where daemons are forked from."""
    with Zygote() as zygote:
        yield zygote


@pytest.mark.parametrize("reply_lost", [False, True], ids=["replied", "reply_lost"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_faults_08_09_10_killed_at_any_place_nothing_is_sent_twice_and_nothing_is_lost(
    files: Files, zygote: Zygote, tmp_path: Path, shape: Shape, *, reply_lost: bool
) -> None:
    """After each death the next process brings the position to the target, and every fill is in the journal once."""
    with CrashWorld(files, zygote, tmp_path / "plane", shape) as world:
        tally = walk(world, reply_lost=reply_lost)
    assert tally.points >= FEWEST
    assert tally.deaths >= 0.85 * tally.points, tally.missed
