"""`python -m train.compare.run`: what finished runs reached, over their seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from train.compare.run import main


def write_run(folder: Path, title: str, seed: int, accuracies: list[float | None], **recipe: Any) -> Path:
    header = {
        "run": title,
        "recipe": {"type": "train.recipe.Recipe", "num_epochs": 3, "lr": 0.1, "seed": seed} | recipe,
    }
    rows = [
        {"epoch": epoch, "train_accuracy": 0.5} | ({} if accuracy is None else {"accuracy": accuracy})
        for epoch, accuracy in enumerate(accuracies, 1)
    ]
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [header, *rows]))
    return folder


def lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("| \n").split("|")] for line in capsys.readouterr().out.splitlines()]


def test_runs_that_differ_only_in_their_seed_share_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / str(i), "baseline small", i, [None, 0.7, last]) for i, last in enumerate((0.4, 0.6))]
    runs.append(write_run(tmp_path / "mixup", "mixup small", 0, [0.2, None, 0.5]))
    assert main([*map(str, runs), "--markdown"]) == 0
    header, _, first, second = lines(capsys)
    assert header == ["run", "seeds", "held-out, last", "held-out, best", "training"]
    assert first == ["baseline small", "2", "50.00 ± 14.14", "70.00 ± 0.00", "50.00 ± 0.00"]
    assert second == ["mixup small", "1", "50.00", "50.00", "50.00"]


def test_what_tells_runs_of_one_recipe_apart_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        write_run(
            tmp_path / "a", "baseline", 0, [0.1], noise={"type": "n", "rate": 0.4}, labels="/some/where/labels.pt"
        ),
        write_run(tmp_path / "b", "baseline", 0, [0.1], noise={"type": "n", "rate": 0.0}, labels=None),
    ]
    main([*map(str, runs), "--markdown"])
    names = [row[0] for row in lines(capsys)[2:]]
    assert names == ["baseline, noise.rate 0.4, labels labels.pt", "baseline, noise.rate 0.0, labels None"]


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    half = write_run(tmp_path / "half", "baseline", 0, [0.4, None])
    with pytest.raises(ValueError, match=r"half is not finished: 2 of 3 epochs"):
        main([str(half)])
    with pytest.raises(FileNotFoundError, match=r"empty.*metrics\.jsonl does not exist"):
        main([str(tmp_path / "empty")])
    with pytest.raises(ValueError, match="name the folders"):
        main([])


def test_the_table_is_for_people_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(write_run(tmp_path / "run", "baseline small", 0, [0.123]))])
    assert "12.30" in capsys.readouterr().out


def test_what_is_no_finished_run_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = write_run(tmp_path / "done", "baseline", 0, [0.4, 0.5])
    half = write_run(tmp_path / "half", "baseline", 1, [0.4, None])
    (tmp_path / "bench").mkdir()
    assert main([str(tmp_path / "bench"), str(half), str(done), "--markdown"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3
    assert [line.partition(str(tmp_path))[2].split()[0] for line in said.err.splitlines()] == [
        "/bench/metrics.jsonl",
        "/half",
    ]


def test_accuracy_under_attack_is_shown_at_its_best_and_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", "rice", 0, [0.4, 0.5])
    header, *rows = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
    for row, robust in zip(rows, (0.3, 0.2), strict=True):
        row |= {"robust_accuracy": robust, "training_robust_accuracy": 1 - robust}
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [header, *rows]))
    main([str(run), "--markdown"])
    names, _, values = lines(capsys)
    assert names[4:] == ["robust, last", "robust, best", "training robust", "training"]
    assert values[4:] == ["20.00", "30.00", "80.00", "50.00"]
