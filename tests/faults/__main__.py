"""Which tests inject which fault: `python -m tests.faults` prints it as a table in Markdown.

A test says by its name what it injects: `test_fault_12_…`, or `test_faults_08_09_10_…` for several.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

TESTS = Path(__file__).parents[1]
FAULTS = {
    1: "an order times out, and was accepted",
    2: "an order times out, and never arrived",
    3: "the answer to an order is reset, cut or garbled",
    4: "the answer to an order is 503 or the page of a proxy",
    5: "an order is refused: no funds, invalid, too small",
    6: "the exchange asks for a pause: 429, 418",
    7: "the client id exists already",
    8: "kill -9 between the journal and the wire",
    9: "kill -9 between the wire and the answer",
    10: "kill -9 in the middle of a flip",
    11: "the answer cannot be read",
    12: "a cancellation and a fill cross",
    13: "an order fills in part and ends",
    14: "a fill is told twice",
    15: "a fill comes before the acknowledgement",
    16: "an order that is dead fills late",
    17: "an order is called cancelled and unfilled, and filled",
    18: "the stream has a gap",
    19: "the stream loses a message",
    20: "a stale row, or one of a position that is not there",
    21: "positions lag behind our own fill",
    22: "a fill between the snapshot and the order",
    23: "positions cannot be read, or not all of them",
    24: "somebody trades a managed market by hand",
    25: "a position in a market that is not ours",
    26: "liquidation, auto-deleveraging",
    27: "the position mode changes",
    28: "a hedge has two legs, the empty one first",
    29: "the rules of a market change",
    30: "the equity jumps, is 0 or no number",
    31: "volatility near 0, a short history",
    32: "the optimizer fails",
    33: "a difference below the minimum",
    34: "prices jitter around a step or the band",
    35: "a file is half-written, empty or cut",
    36: "a timestamp is old, or of the future",
    37: "a folder is removed, renamed or replaced",
    38: "a number is none, or far too large",
    39: "the kernel loses file events, or watches run out",
    40: "the disk is full, fails or is read-only",
    41: "the journal is torn, older or newer",
    42: "two daemons in one workspace",
    43: "a clock steps, or is not the exchange's",
    44: "the event loop stalls",
    45: "the target of notifications is down",
    46: "a halt while an order is in flight",
    47: "the key is revoked, the address is banned",
    48: "10,000 events a second from one strategy",
}
"""The rows of the list of faults."""
NAME = re.compile(r"test_fault(?:_(?P<one>\d\d)|s(?P<several>(?:_\d\d)+))_")


class Injection(msgspec.Struct, frozen=True):
    """A test, and which faults it injects."""

    file: str
    """Below tests/."""
    name: str
    faults: tuple[int, ...]


def injections() -> Iterator[Injection]:
    """Yield the tests that are named after faults, as their files say; nothing is imported."""
    for path in sorted(TESTS.rglob("test_*.py")):
        content = path.read_bytes()
        for node in ast.walk(ast.parse(content)) if b"def test_fault" in content else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (named := NAME.match(node.name)):
                numbers = named["one"] or named["several"].removeprefix("_")
                faults = tuple(int(number) for number in numbers.split("_"))
                yield Injection(str(path.relative_to(TESTS)), node.name, faults)


def table() -> str:
    """Return the faults and their tests as a table in Markdown."""
    found = list(injections())
    lines = ["| # | fault | tests |", "|---|---|---|"]
    for number, words in FAULTS.items():
        names = sorted(f"`{one.name}`" for one in found if number in one.faults)
        lines.append(f"| {number} | {words} | {'<br>'.join(names)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
