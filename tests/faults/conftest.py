"""Worlds whose daemons are killed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.file_world import COIN, FileWorld


@pytest.fixture
def open_world(tmp_path: Path) -> Iterator[Callable[..., FileWorld]]:
    """What makes a world; its daemon is killed at the end."""
    worlds: list[FileWorld] = []

    def make(**options: Any) -> FileWorld:
        worlds.append(FileWorld(tmp_path, **options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.daemon.kill()


@pytest.fixture
def world(open_world: Callable[..., FileWorld]) -> FileWorld:
    """One strategy, `one`, long bitcoin, beside the other one; the daemon runs and both are traded."""
    world = open_world()
    world.start({"one": (1.0, COIN)}, weight=0.5)
    return world
