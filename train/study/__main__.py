"""`python -m train.study`."""

from train.machine.command import run_command
from train.study.run import main

raise SystemExit(run_command(main))
