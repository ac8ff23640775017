"""Let the real daemon work for a long time among faults and see that it holds: `python -m tests.soak --minutes 20`.

Prints a line a sample, a table and a verdict; the exit code is 0 if nothing grew, nothing was sent twice, nothing
was lost, and every position converged.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
from pathlib import Path

# Before numpy is imported: the crowd's returns need no second thread.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.soak.report import complaints, table
from tests.soak.run import Soak


def main() -> int:
    """Run it and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--strategies", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--folder", type=Path, help="keep the workspace here; default: a temporary folder")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the daemon is stopped too
    with tempfile.TemporaryDirectory(prefix="portfoliod-soak-") as temporary:
        print(f"seed {given.seed}, {given.strategies} strategies, {given.minutes:g} minutes", flush=True)
        soak = Soak(given.folder or Path(temporary), strategies=given.strategies, seed=given.seed)
        result = soak.run(given.minutes * 60, told=lambda line: print(line, flush=True))
    print(table(result))
    wrong = complaints(result)
    print("\n".join(["FAILED", *wrong]) if wrong else "passed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
