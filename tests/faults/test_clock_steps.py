"""The clock of this machine steps while the daemon runs: as NTP sets it, as a laptop wakes up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.emulators.faults import Hang, Lose
from tests.faults.world import World, both_exchanges, unhurried
from tests.harness.workspace import Files, replace

pytestmark = pytest.mark.slow  # an exchange and its client in each test

CLOCK = """
import os
import time

right = time.time


def shifted():
    with open(os.environ["CLOCK_STEP"]) as file:
        return right() + float(file.read())


time.time = shifted
time.time_ns = lambda: int(shifted() * 1e9)
"""


class Clock:
    """The wall clock of a daemon that runs with `environment`; what only goes on is not touched."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._step = folder / "step"
        self.step(0)
        replace(folder / "sitecustomize.py", CLOCK)
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {"PYTHONPATH": os.pathsep.join(paths), "CLOCK_STEP": str(self._step)}

    def step(self, seconds: float) -> None:
        """Let it be so far ahead of the right time."""
        replace(self._step, str(seconds))


@pytest.fixture
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    """A clock that is right."""
    return Clock(tmp_path_factory.mktemp("clock") / "site")


def patient(world: World) -> dict[str, object]:
    """Return a venue table of an exchange whose answers are not waited for as long as usual."""
    return {**unhurried(world), "timeout_seconds": 2}


@both_exchanges
@pytest.mark.parametrize("step", [3600.0, -3600.0, 90_000.0, -90_000.0])
def test_fault_43_our_own_clock_may_step_while_the_daemon_trades(
    files: Files, clock: Clock, kind: str, step: float
) -> None:
    """Forward or back, and right again: orders go out, none twice, each fill is counted."""
    with World(files, kind) as world:
        world.want("ETH", 1)
        world.start(venue=patient(world), environment=clock.environment)
        world.until_held("ETH", 1)
        clock.step(step)
        world.want("ETH", 2)
        world.until_held("ETH", 2)
        world.assert_sound()
        clock.step(0)
        world.want("ETH", -1)
        world.until_held("ETH", -1)
        world.assert_sound()


@both_exchanges
@pytest.mark.parametrize("step", [3600.0, -3600.0, 90_000.0])
def test_fault_43_our_own_clock_may_step_while_an_outcome_is_open(
    files: Files, clock: Clock, kind: str, step: float
) -> None:
    """The answer to an order is lost, and so are its fills on the stream: they are asked for at the right time."""
    with World(files, kind) as world:
        world.want("BTC", "0.1")
        world.start(venue=patient(world), environment=clock.environment)
        world.until_held("BTC", "0.1")
        world.assert_sound()
        world.exchange.faults.add_stream(Lose(), socket="user" if kind == "binanceusdm" else "private", times=None)
        world.exchange.faults.add("place", Hang(processed=True))
        world.want("ETH", 1)
        world.until_held("ETH", 1)
        clock.step(step)
        world.assert_sound()
        world.want("ETH", 2)
        world.until_held("ETH", 2)
        world.assert_sound()
