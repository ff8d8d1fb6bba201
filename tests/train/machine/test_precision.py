"""What the measuring commands compute in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from train.machine.precision import whole_float32

ROOT = Path(__file__).parents[3]


def tf32() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_tf32_is_off_inside_and_as_before_outside() -> None:
    before = tf32(), torch.get_float32_matmul_precision(), torch.backends.cudnn.enabled
    assert before[0][0], "torch's own default"
    with whole_float32():
        assert tf32() == (False, False)
        assert torch.backends.cudnn.enabled == before[2]
    assert (tf32(), torch.get_float32_matmul_precision(), torch.backends.cudnn.enabled) == before


@pytest.mark.parametrize("command", ["evaluate", "certify", "predict", "selective"])
def test_every_command_that_measures_turns_it_off(command: str) -> None:
    text = (ROOT / "train" / command / "run.py").read_text()
    opened = [line for line in text.splitlines() if "open_world(" in line]
    assert opened
    assert all("whole_float32()" in line for line in opened)
