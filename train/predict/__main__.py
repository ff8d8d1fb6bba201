"""`python -m train.predict`."""

import os

# As for `python -m train`: the data pipeline gets a core of its own.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) - 1)))

from train.machine.command import run_command
from train.predict.run import main

raise SystemExit(run_command(main))
