"""`python -m train.compare`: what finished runs reached, over their seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from train.compare.run import derived, main
from train.files import checkpoint
from train.show.intervals import wilson

ROOT = Path(__file__).parents[3]


def write_run(
    folder: Path, title: str, seed: int, accuracies: list[float | None], finished: bool = True, **recipe: Any
) -> Path:
    header: dict[str, Any] = {
        "run": title,
        "recipe": {"type": "train.recipe.Recipe", "num_epochs": 3, "lr": 0.1, "seed": seed} | recipe,
    }
    rows = [
        {"epoch": epoch, "train_accuracy": 0.5} | ({} if accuracy is None else {"accuracy": accuracy})
        for epoch, accuracy in enumerate(accuracies, 1)
    ]
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [header, *rows]))
    save(folder, header["recipe"], rows, finished)
    return folder


def save(folder: Path, recipe: Any, rows: list[dict[str, float]], finished: bool = True) -> None:
    facts = {"recipe": recipe, "classes": ["a", "b"], "identity": {"images": {"num_images": 10}}, "network": {}}
    checkpoint.save(folder / "last.pt", {**facts, "finished": finished, "epoch": len(rows), "history": rows})


def lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("| \n").split("|")] for line in capsys.readouterr().out.splitlines()]


def test_runs_that_differ_only_in_their_seed_share_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / str(i), "baseline small", i, [None, 0.7, last]) for i, last in enumerate((0.4, 0.6))]
    runs.append(write_run(tmp_path / "mixup", "mixup small", 0, [0.2, None, 0.5]))
    assert main([*map(str, runs), "--markdown"]) == 0
    header, _, first, second = lines(capsys)
    assert header == ["run", "seeds", "held-out, last", "held-out, best", "training"]
    assert first == ["baseline small", "2", "50.00 ± 14.14", "70.00 ± 0.00", "50.00 ± 0.00 [23.66, 76.34]"]
    assert second == ["mixup small", "1", "50.00", "50.00", "50.00 [23.66, 76.34]"]


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
    # Its last epoch has an accuracy, as that of a finished one.
    half = write_run(tmp_path / "half", "baseline", 0, [0.4, 0.5], finished=False)
    with pytest.raises(ValueError, match=r"half is not finished: 2 of 3 epochs"):
        main([str(half) + "/"])
    with pytest.raises(ValueError, match=r"last\.pt is a file; give the folder of the run, .*half"):
        main([str(half / "last.pt")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty holds no last\.pt"):
        main([str(tmp_path / "empty")])
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist"):
        main([str(tmp_path / "nowhere")])
    with pytest.raises(ValueError, match="name the folders"):
        main([])


def test_the_table_is_for_people_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(write_run(tmp_path / "run", "baseline small", 0, [0.123]))])
    assert "12.30" in capsys.readouterr().out


def test_what_is_no_finished_run_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = write_run(tmp_path / "done", "baseline", 0, [0.4, 0.5])
    half = write_run(tmp_path / "half", "baseline", 1, [0.4, None], finished=False)
    (tmp_path / "bench").mkdir()
    assert main([str(tmp_path / "bench"), str(half), str(done), "--markdown"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3
    assert [line.partition(str(tmp_path))[2].split()[0] for line in said.err.splitlines()] == [
        "/bench",
        "/half",
    ]


def test_accuracy_under_attack_is_shown_at_its_best_and_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", "rice", 0, [0.4, 0.5])
    header, *rows = (json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines())
    for row, robust in zip(rows, (0.3, 0.2), strict=True):
        row |= {"robust_accuracy": robust, "training_robust_accuracy": 1 - robust}
    save(run, header["recipe"], rows)
    main([str(run), "--markdown"])
    names, _, values = lines(capsys)
    assert names[4:] == ["robust, last", "robust, best", "training robust", "training"]
    assert values[4:] == ["20.00", "30.00", "80.00", "50.00 [23.66, 76.34]"]
    # With the numbers of images that a run writes down.
    for row in rows:
        row |= {"held_out_images": 1000}
    save(run, header["recipe"] | {"robust": {"num_images": 256}}, rows)
    main([str(run), "--markdown"])
    _, _, values = lines(capsys)
    low, high = (f"{100 * end:.2f}" for end in wilson(0.5, 1000))
    assert values[2:4] == [f"50.00 [{low}, {high}]", f"50.00 [{low}, {high}]"]
    low, high = (f"{100 * end:.2f}" for end in wilson(0.2, 256))
    assert values[4] == f"20.00 [{low}, {high}]"
    low, high = (f"{100 * end:.2f}" for end in wilson(0.8, 10))
    assert values[6] == f"80.00 [{low}, {high}]"


def test_a_seed_counts_once_and_what_is_left_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        write_run(tmp_path / str(i), "baseline", seed, [last])
        for i, (seed, last) in enumerate([(0, 0.4), (1, 0.6), (0, 0.9)])
    ]
    assert main([*map(str, runs), f"{runs[1]}/", "--markdown"]) == 0
    said = capsys.readouterr()
    assert "| baseline | 2 | 50.00 ± 14.14 |" in said.out
    assert said.err.splitlines() == [
        f"left out: {runs[2]} has the recipe and seed 0 of {runs[0]}",
        f"left out: {runs[1]} has the recipe and seed 1 of {runs[1]}",
    ]


def test_runs_on_other_data_do_not_share_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / name, "baseline", seed, [0.5]) for seed, name in enumerate("ab")]
    content = checkpoint.load(runs[1] / "last.pt")
    content["identity"]["images"]["num_images"] = 99
    checkpoint.save(runs[1] / "last.pt", content)
    main([*map(str, runs), "--markdown"])
    assert [row[0] for row in lines(capsys)[2:]] == ["baseline, images 10", "baseline, images 99"]


def test_headers_are_whole_through_a_pipe_and_brackets_are_shown(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(i), f"run[{i}] [bold]", 0, [0.5], model=f"timm:{'x' * 60}[{i}]") for i in range(2)]
    for run in runs:
        content = checkpoint.load(run / "last.pt")
        for key in ("ema_robust_accuracy", "robust_accuracy", "training_robust_accuracy", "corrupted_accuracy"):
            content["history"][-1][key] = 0.25
        save(run, content["recipe"], content["history"])
    command = [sys.executable, "-m", "train.compare", *map(str, runs)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    header = done.stdout.splitlines()[1]
    for name in ("held-out, best", "averaged robust, best", "training robust", "training, wrong labels"):
        assert f" {name} " in header
    for number in range(2):
        assert f"run[{number}] [bold]" in done.stdout


def test_studies_are_told_of_the_network_that_is_kept_and_of_robust_overfitting() -> None:
    numbers = {"robust, best": 0.5, "robust, last": 0.4, "training robust": 0.9, "held-out, last": 0.7}
    assert derived(numbers) == pytest.approx({"accuracy": 0.7, "robust": 0.4, "robust gap": 0.5})
    averaged = numbers | {"averaged, last": 0.8, "averaged robust, last": 0.6}
    assert derived(averaged) == pytest.approx({"accuracy": 0.8, "robust": 0.6, "robust gap": 0.5})
    assert derived({"training": 1.0}) == {}
