"""`python -m train`."""

import os

# Before torch is loaded: its CPU threads wait for each other by spinning, so one thread too many for the cores makes a
# small network ten times slower. The data pipeline gets a core of its own.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) - 1)))

from train.cli.main import main

raise SystemExit(main())
