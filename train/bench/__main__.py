"""`python -m train.bench`: what a recipe's training step costs."""

import os

# As for `python -m train`: the data pipeline gets a core of its own.
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) - 1)))

from train.bench.run import main
from train.machine.command import run_command

raise SystemExit(run_command(main))
