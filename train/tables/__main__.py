"""`python -m train.tables`."""

from train.machine.command import run_command
from train.tables.run import main

raise SystemExit(run_command(main))
