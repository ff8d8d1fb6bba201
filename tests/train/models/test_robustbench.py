"""RobustBench's networks and ours: the same weights give the same logits, there and back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.evaluate.models import read_robustbench
from train.models import build_model
from train.models.robustbench import read_weights, to_robustbench

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


class WideBlock(nn.Module):
    """A block of TRADES's WideResNet, written from its description: names as there."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.convShortcut = None if inside == outside else nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out + (x if self.convShortcut is None else self.convShortcut(active))


class Stage(nn.Module):
    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.layer = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Wide(nn.Module):
    """WideResNet-16-1: two blocks a stage."""

    def __init__(self, num_classes: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        widths = (16, 16, 32, 64)
        for number in (1, 2, 3):
            stride, (inside, outside) = (1 if number == 1 else 2), widths[number - 1 : number + 1]
            blocks = WideBlock(inside, outside, stride), WideBlock(outside, outside, 1)
            self.add_module(f"block{number}", Stage(*blocks))
        self.bn1, self.fc = nn.BatchNorm2d(64), nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(x))))  # type: ignore[operator]
        return self.fc(F.relu(self.bn1(x)).mean(dim=(2, 3)))


def stirred(network: Any, seed: int = 0) -> Any:
    """With all weights and running averages drawn."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if value.is_floating_point() and name.rpartition(".")[2] not in ("mean", "std"):
            value.copy_(
                0.5 + 0.2 * torch.rand(value.shape, generator=generator)
                if "var" in name
                else 0.3 * torch.randn(value.shape, generator=generator)
            )
    return network.eval()


IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.1."])
def test_the_weights_of_trades_give_the_logits_of_its_network(prefix: str) -> None:
    theirs = stirred(Wide())
    state = {f"{prefix}{name}": value for name, value in theirs.state_dict().items()}
    ours, said = read_weights(state, "wide_resnet16_1", 5, None, None)
    torch.testing.assert_close(ours(IMAGES), theirs(IMAGES), rtol=1e-4, atol=1e-4)
    assert "images pass as they are" in said


def test_mu_and_sigma_of_the_file_or_of_the_user_normalise() -> None:
    theirs = stirred(Wide())
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    expected = theirs((IMAGES - mean) / std)
    own, said = read_weights(theirs.state_dict() | {"mu": mean, "sigma": std}, "wide_resnet16_1", 5, None, None)
    torch.testing.assert_close(own(IMAGES), expected, rtol=1e-4, atol=1e-4)
    assert "the file's own mean (0.4, 0.5, 0.6)" in said
    told, said = read_weights(theirs.state_dict(), "wide_resnet16_1", 5, MEAN, STD)
    torch.testing.assert_close(told(IMAGES), expected, rtol=1e-4, atol=1e-4)
    assert said.endswith("as told")


@pytest.mark.parametrize("name", ["wide_resnet16_1", "preact_resnet18"])
def test_what_is_written_is_read_again(name: str) -> None:
    network = stirred(build_model(name, num_classes=5, mean=MEAN, std=STD, seed=0))
    state = to_robustbench(network, name)
    first = "layer4.1.conv2.weight" if name == "preact_resnet18" else "block3.layer.1.conv2.weight"
    assert {first, "mu", "sigma", "conv1.weight"} < set(state)
    again, _ = read_weights(state, name, 5, None, None)
    assert torch.equal(again(IMAGES), network(IMAGES))


def test_what_is_written_loads_into_their_network() -> None:
    network = stirred(build_model("wide_resnet16_1", num_classes=5, mean=MEAN, std=STD, seed=0))
    state, theirs = to_robustbench(network, "wide_resnet16_1"), Wide()
    mean, std = state.pop("mu"), state.pop("sigma")
    theirs.load_state_dict(state)
    torch.testing.assert_close(theirs.eval()((IMAGES - mean) / std), network(IMAGES), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "num_classes", "changes", "message"),
    [
        ("wide_resnet22_1", 5, {}, "is none of wide_resnet22_1: it lacks block1.layer.2.bn1.weight"),
        ("wide_resnet16_1", 7, {}, "is none of wide_resnet16_1 with 7 classes: fc.weight is (5, 64), not (7, 64)"),
        ("wide_resnet16_1", 5, {"more.weight": torch.zeros(1)}, "is none of wide_resnet16_1: it has more.weight"),
        ("preact_resnet18", 5, {}, "is none of preact_resnet18: it lacks"),
        ("resnet50", 5, {}, "model resnet50 has no counterpart among RobustBench's networks"),
        ('wide_resnet16_1(activation="silu")', 5, {}, "has no counterpart among RobustBench's networks"),
        ("wide_resnet16_1", 5, {"mu": torch.zeros(3)}, "mean and std must be there both or none of them"),
    ],
)
def test_weights_of_another_network_are_refused(name: str, num_classes: int, changes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_weights(Wide().state_dict() | changes, name, num_classes, None, None)


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pt does not exist"):
        read_robustbench(tmp_path / "none.pt", "wide_resnet16_1", None, None, None)
    torch.save(Wide(10).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"weights\.pt: the state_dict is none of wide_resnet22_1"):
        read_robustbench(tmp_path / "weights.pt", "wide_resnet22_1", None, None, None)
    subject, _ = read_robustbench(tmp_path / "weights.pt", "wide_resnet16_1", None, None, None)
    assert subject.title == "weights, wide_resnet16_1"
