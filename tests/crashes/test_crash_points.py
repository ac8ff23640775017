"""kill -9 at every place of an order's way, for every kind of order, with and without its reply."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crashes.matrix import SHAPES, CrashWorld, Shape, Tally, walk, walk_first_steps
from tests.harness.forked import Zygote
from tests.harness.workspace import Files

pytestmark = pytest.mark.slow

FEWEST = 15
"""Crash points that the shortest way has: files, decision, intent, request, reply, fills."""
MOST_MISSED = 4
"""Which of two writes come to share a commit is chance, and names the place."""


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
        _assert_complete(walk(world, reply_lost=reply_lost))


@pytest.mark.parametrize("reply_lost", [False, True], ids=["replied", "reply_lost"])
def test_faults_08_09_killed_at_any_place_of_its_first_start_a_workspace_is_as_good_as_new(
    zygote: Zygote, tmp_path: Path, *, reply_lost: bool
) -> None:
    """From an empty folder to the first position, each time in a new one."""
    numbers = itertools.count()

    def open_world(shape: Shape) -> CrashWorld:
        folder = tmp_path / str(next(numbers))
        (folder / "workspace").mkdir(parents=True)
        return CrashWorld(Files(folder / "workspace"), zygote, folder / "plane", shape)

    _assert_complete(walk_first_steps(open_world, reply_lost=reply_lost))


def _assert_complete(tally: Tally) -> None:
    """See that every place was found, and that it was died at; chance may keep a few from being reached."""
    assert tally.points >= FEWEST
    assert len(tally.missed) <= MOST_MISSED, tally.missed
