"""The command that compares DALI's validation pipeline with torchvision's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines.parity import compare, load_network, main, table
from pipelines.sources.files import read_folder
from tests.helpers.broken import write_folder


class Brightness(torch.nn.Module):
    """Two logits: how bright an image is, and how dark."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        bright = images.mean((1, 2, 3))
        return torch.stack([bright, 1 - bright], dim=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_folder(root / "val", 12, {})
    return root


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_differ_by_a_grey_level_and_answers_do_not(folder: Path, interpolation: str) -> None:
    source = read_folder(folder, "val", whole=True)
    found = compare(Brightness(), source, interpolation=interpolation, size=28, batch_size=5)
    mean, most_of_them, most = found.pixels
    assert 0 < mean < 0.5
    assert most_of_them <= 2
    assert most < 8
    assert found.logits[2] < 1 / 255
    assert found.accuracy[0] == found.accuracy[1]
    assert found.agree == 1
    assert found.num_images == 12


def test_a_network_that_tells_the_pipelines_apart_is_found_to_do_so(folder: Path) -> None:
    """One that answers by the last bits of a pixel: what the comparison is there to notice."""

    class Bits(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            odd = (images * 255).round().sum((1, 2, 3)) % 2
            return torch.stack([odd, 1 - odd], dim=1)

    found = compare(Bits(), read_folder(folder, "val"), interpolation="bilinear", size=28, batch_size=12)
    assert found.logits[2] == 1
    assert found.agree < 1


def test_the_command_prints_its_table(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = load_network("squeezenet1_1", 2)
    torch.save(network[1].state_dict(), tmp_path / "weights.pth")
    words = [str(folder), "--size", "64", "--interpolation", "bilinear"]
    assert main([f"squeezenet1_1={tmp_path}/weights.pth", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == table([])[0]
    assert lines[2].startswith("| bilinear | 12 | ")
    for wrong, said in {
        "resnet51": "torchvision has no network 'resnet51'",
        "resnet18=none.pth": "there is no file of weights none.pth",
        "tests.helpers.broken:nothing": "tests.helpers.broken has no nothing",
        "pathlib:Path": "must return a torch module, got PosixPath",
    }.items():
        assert main([wrong, *words]) == 2
        assert said in capsys.readouterr().err
