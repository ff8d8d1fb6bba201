"""`python -m train.killed`."""

import os

# Before torch is loaded; the processes of a run share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from train.killed.run import main
from train.machine.command import run_command

raise SystemExit(run_command(main))
