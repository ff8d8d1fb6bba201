"""`python -m train.evaluate`: a report on a trained network."""

import os

# As for `python -m train`: one thread too many for the cores makes a small network many times slower.
os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))

from train.evaluate.run import main
from train.machine.command import run_command

raise SystemExit(run_command(main))
