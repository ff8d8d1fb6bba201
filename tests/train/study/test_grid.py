"""A grid of networks is trained once, a failure is one line, and a study gets the numbers that it asks for."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from train.study.arms import grid
from train.study.arms.grid import Settings


def test_what_is_finished_is_not_trained_again_and_a_failure_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[list[str]]()

    def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        asked.append(words)
        failed = "w16" in " ".join(words)
        return subprocess.CompletedProcess(words, int(failed), "", "much\nerror: the disk is full\n" if failed else "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(grid, "_is_finished", lambda place: place.name == "w8-n100-d0")
    settings = Settings(synthetic="images.npz", widths=(8, 16), images=(100, 200), weight_decays=(0.0, 0.1), seed=3)
    found = grid.train_networks(settings, "CIFAR", tmp_path, lambda text: None)
    names = [next(found).name for _ in range(4)]
    assert names == ["w8-n100-d0", "w8-n100-d0.1", "w8-n200-d0", "w8-n200-d0.1"]
    assert len(asked) == 3
    words = " ".join(asked[0])
    for part in ("preact_resnet8_w8 ", "--num_images 100 ", "--weight_decay 0.1 ", "--seed 3 ", "--root CIFAR"):
        assert part in words
    with pytest.raises(RuntimeError, match=r"^network w16-n100-d0 failed with code 1: error: the disk is full$"):
        next(found)


def test_a_study_gets_what_there_is_of_each_predictor() -> None:
    row = {"kendall": 0.5, "spearman": 0.6, "kendall_interval": (0.4, 0.6), "mean_error": 0.1, "pgdl": 30.0}
    found = {"predictors": {"synthetic accuracy": row, "training loss": row | {"mean_error": None, "pgdl": None}}}
    near = {
        "sets": {"synthetic": {"test": {"by_class": 2.5}, "training": {"by_class": 9.0}}},
        "training": {"test": {"by_class": 0.5}},
    }
    assert grid.numbers(found, near) == {
        "synthetic accuracy": {"kendall": 0.5, "pgdl": 30.0, "mean_error": 0.1},
        "training loss": {"kendall": 0.5},
        "distance": {"synthetic images": 2.5, "training images": 0.5},
    }


@pytest.mark.parametrize("values", [{"widths": (8,)}, {"images": (100, 100)}, {"num_epochs": 0}])
def test_a_grid_needs_two_values_of_each(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Settings(synthetic="images.npz", **values)
