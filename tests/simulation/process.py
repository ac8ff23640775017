"""A run in a process of its own: it replaces the clock of the whole process, and its dead are never collected."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.simulation.actions import Action, actions_of
from tests.simulation.run import Outcome, Run
from tests.simulation.shrink import shrink

HOURS_A_RUN = 10
AN_HOUR = 120
"""Actions: one in half a minute."""
LONGEST = 900.0
MEMORY = Path("/dev/shm")
"""Where a workspace costs no disk, if there is such a place."""


class Order(msgspec.Struct):
    """What to run."""

    seed: int
    hours: int
    actions: list[Action]


def simulate(seed: int, hours: int, actions: Sequence[Action] | None = None, mutation: str = "") -> Outcome:
    """Run a seed's actions, or a part of them, in another process, and return what became of it.

    Args:
        seed: what chance begins with.
        hours: to simulate.
        actions: what happens; None: what the seed says.
        mutation: the name of a mistake to make on purpose (`tests.simulation.mutations`).
    """
    order = Order(seed, hours, actions_of(seed, hours, AN_HOUR) if actions is None else list(actions))
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.process", mutation],
        input=msgspec.json.encode(order),
        capture_output=True,
        # The order in which sets of names are gone through must not change from run to run.
        env={**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
        timeout=LONGEST,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the simulation failed:\n{done.stderr.decode()}")
    return msgspec.json.decode(done.stdout.rpartition(b"\n")[2], type=Outcome)


def shrunk(seed: int, hours: int) -> tuple[list[Action], Outcome]:
    """Return the few actions with which a failing seed still fails, and what becomes of them."""
    fewer = shrink(actions_of(seed, hours, AN_HOUR), lambda actions: bool(simulate(seed, hours, actions).violation))
    return fewer, simulate(seed, hours, fewer)


def main() -> None:
    """Do the run that standard input asks for, and print its outcome."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    if sys.argv[1:] and sys.argv[1]:
        from tests.simulation.mutations import make

        make(sys.argv[1])
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        outcome = Run(Path(folder), order.seed).perform(order.actions, order.hours)
        sys.stdout.buffer.write(b"\n" + msgspec.json.encode(outcome))
        sys.stdout.flush()
    os._exit(0)  # what was killed stays dead


if __name__ == "__main__":
    main()
