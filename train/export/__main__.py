"""`python -m train.export`: a trained network for ONNX, or as torch.export has it."""

from train.export.run import main
from train.machine.command import run_command

raise SystemExit(run_command(main))
