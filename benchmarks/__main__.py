"""Every benchmark: `make bench`."""

import os

# Before numpy is imported: matrices of this size are slower on several threads, and comparisons noisier.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import daemon, exchange, solver, walk_forward

solver.main()
walk_forward.main()
daemon.main()
exchange.main()
