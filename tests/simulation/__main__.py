"""`python -m tests.simulation`: simulate hours with many seeds, and say what came of it.

A run that fails is repeated with fewer and fewer actions, and told with the command that repeats it.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import os
import sys
import time

from tests.simulation.process import HOURS_A_RUN, shrunk, simulate

SHOWN = (
    *("hours", "actions", "orders", "event order.filled", "event order.unknown", "event order.resolved"),
    *("event order.refused", "kills", "starts", "event symbol.locked", "event halt.tripped", "event weights.optimized"),
    *("exchange down", "stream cut", "trade by hand", "state corrupt", "folder removed"),
)


def main() -> int:
    """Run what the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the one run to do, instead of as many as the hours need")
    parser.add_argument("--hours", type=int, help=f"to simulate: {HOURS_A_RUN} with a seed, else 10,000")
    parser.add_argument("--first", type=int, default=1, help="the first seed, where none is given")
    parser.add_argument("--trace", action="store_true", help="print what happened in the one run")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _one(arguments.seed, arguments.hours or HOURS_A_RUN, trace=arguments.trace)
    return _many(arguments.first, arguments.hours or 10_000)


def _one(seed: int, hours: int, *, trace: bool) -> int:
    outcome = simulate(seed, hours)
    if trace:
        print("\n".join(outcome.trace))
    _report(outcome.counts)
    if not outcome.violation:
        print(f"seed {seed}: sound")
        return 0
    print(f"seed {seed}: {outcome.violation}")
    fewer, cut = shrunk(seed, hours)
    print("\n".join(cut.trace[-60:]))
    print(f"{cut.violation}\n{len(fewer)} actions are enough:")
    for action in fewer:
        print(f"    {action!r},")
    return 1


def _many(first: int, hours: int) -> int:
    began = time.monotonic()
    seeds = range(first, first + -(-hours // HOURS_A_RUN))
    counts: collections.Counter[str] = collections.Counter()
    failed = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for seed, outcome in zip(seeds, pool.map(lambda seed: simulate(seed, HOURS_A_RUN), seeds), strict=True):
            counts.update(outcome.counts)
            if outcome.violation:
                failed.append(seed)
                print(f"seed {seed}: {outcome.violation}\n    make simulate SEED={seed} HOURS={HOURS_A_RUN}")
            elif seed % 25 == 0:
                print(f"{counts['hours']} hours, {counts['orders']} orders", flush=True)
    _report(counts)
    print(f"{time.monotonic() - began:.0f} s; {len(failed)} of {len(seeds)} seeds failed")
    return 1 if failed else 0


def _report(counts: collections.Counter[str] | dict[str, int]) -> None:
    for name in SHOWN:
        print(f"{name.removeprefix('event '):<22} {counts.get(name, 0):>9}")


if __name__ == "__main__":
    sys.exit(main())
