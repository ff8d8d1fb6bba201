"""What the measuring commands compute in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from train.machine.precision import tf32

ROOT = Path(__file__).parents[3]


def switches() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_tf32_is_off_inside_and_as_before_outside() -> None:
    before = switches(), torch.get_float32_matmul_precision(), torch.backends.cudnn.enabled
    assert before[0][0], "torch's own default"
    with tf32(False):
        assert switches() == (False, False)
        assert torch.backends.cudnn.enabled == before[2]
    assert (switches(), torch.get_float32_matmul_precision(), torch.backends.cudnn.enabled) == before


@pytest.mark.parametrize("command", ["evaluate", "certify", "predict", "selective"])
def test_every_command_that_measures_turns_it_off(command: str) -> None:
    text = (ROOT / "train" / command / "run.py").read_text()
    opened = [line for line in text.splitlines() if "open_world(" in line]
    assert opened
    assert all("tf32(False)" in line for line in opened)
