"""`python -m tests.crashes`: walk the whole matrix and print what was done, for each kind of order."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.crashes.matrix import SHAPES, CrashWorld, walk
from tests.harness.forked import Zygote
from tests.harness.workspace import Files


def main() -> None:
    """Print a table of crash points and deaths."""
    print(f"{'order':<8} {'reply':<8} {'points':>6} {'deaths':>6}  points that chance kept from being reached")
    points = deaths = 0
    with Zygote() as zygote, tempfile.TemporaryDirectory(prefix="portfoliod-crashes-") as folder:
        for shape in SHAPES:
            for reply_lost in (False, True):
                here = Path(folder, f"{shape.name}-{reply_lost}")
                (here / "workspace").mkdir(parents=True)
                with CrashWorld(Files(here / "workspace"), zygote, here / "plane", shape) as world:
                    tally = walk(world, reply_lost=reply_lost)
                reply = "lost" if reply_lost else "read"
                print(f"{shape.name:<8} {reply:<8} {tally.points:>6} {tally.deaths:>6}  {', '.join(tally.missed)}")
                sys.stdout.flush()
                points, deaths = points + tally.points, deaths + tally.deaths
    print(f"{'all':<17} {points:>6} {deaths:>6}")


if __name__ == "__main__":
    main()
