"""The command line: what it lists, what it refuses in one line, and that a killed run goes on exactly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixdali import Fixed, Ramp
from tests.helpers.training import assert_same, write_cifar
from train.cli.main import main
from train.cli.overrides import parse_overrides
from train.files import checkpoint
from train.recipes import demo, zhang2017mixup

ROOT = Path(__file__).parents[3]
TINY = ["--model", "preact_resnet8_w4", "--batch_size", "16", "--device", "cpu", "--num_threads", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cifar(tmp_path_factory.mktemp("cli") / "data", 400, 20))


def command(*arguments: str) -> list[str]:
    # torch 2.6 leaves a temporary folder of its own to the interpreter's exit
    ignored = "ignore:Implicitly cleaning up:ResourceWarning"
    return [sys.executable, "-W", "error", "-W", ignored, "-m", "train", *arguments]


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_the_list_names_every_recipe_without_loading_torch() -> None:
    code = "import sys; from train.cli.main import main; main([]); print('torch' in sys.modules, 'tyro' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT)
    *lines, loaded = done.stdout.splitlines()
    assert loaded == "False False", done.stderr
    shown = {line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "}
    assert shown == {path.stem for path in (ROOT / "train" / "recipes").glob("*.py")} - {"__init__"}


def test_a_mistyped_name_is_answered_with_its_neighbours(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'zhang2017mixap' is unknown; nearest: zhang2017mixup" in error_of(capsys, "zhang2017mixap")
    assert "no variant 'smal'; nearest: small" in error_of(capsys, "zhang2017mixup", "smal")
    assert "--learning_rate is no field" in error_of(capsys, "demo", "--learning_rate", "1")
    assert "nearest: num_epochs" in error_of(capsys, "demo", "--num-epoch", "1")
    assert "nearest: mix.alpha" in error_of(capsys, "zhang2017mixup", "--mix.alfa", "1")
    assert "'0.2' is neither a variant nor" in error_of(capsys, "demo", "--lr", "0.1", "0.2")
    assert "the recipe comes first" in error_of(capsys, "--lr", "0.1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "fast"], "--lr"),
        (["--lr"], "--lr"),
        (["--precision", "float8"], "float8"),
        (["--mix.mixes.0.alpha", "-1"], "alpha"),
        (["--model", "resnet51"], "nearest: resnet50"),
        (["--root", "/no/such/folder"], "/no/such/folder"),
        (["--device", "gpu"], "gpu"),
        (["--device", "cpu", "--precision", "float16"], "float16 needs a GPU"),
        (["--batch_size", "7000"], "7000"),
        (["--name", "a/b"], "one folder"),
        (["--patience", "abc"], "--patience takes a whole number or None, got abc"),
        (["--num_threads", "1.5"], "--num_threads takes a whole number or None, got 1.5"),
        (["--ema_decay", "x"], "--ema_decay takes a number or None, got x"),
        (["--size", "24"], "--size takes 2 whole numbers or None, got 24"),
        (["--schedule.warmup", "x"], "--schedule.warmup takes a number, got x"),
        (["--weights", "/tmp"], "/tmp holds no last.pt"),
        (["--resume", "/no/such/run"], "/no/such/run does not exist"),
    ],
)
def test_a_wrong_value_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    if "gpu" in arguments and Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU")
    assert message in error_of(capsys, "demo", "--folder", str(tmp_path), *arguments)
    assert list(tmp_path.glob("*/*.pt")) == []


def test_the_wrong_kind_of_data_is_named(capsys: pytest.CaptureFixture[str], data: str, tmp_path: Path) -> None:
    said = error_of(capsys, "baseline", "small_imagenet", "--root", data, "--folder", str(tmp_path))
    assert "holds CIFAR pickles, the recipe reads image files; pass --data cifar" in said


def test_a_wrong_value_is_one_line_where_only_ascii_can_be_shown() -> None:
    done = subprocess.run(
        command("demo", "--patience", "abc"),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.stderr == "error: --patience takes a whole number or None, got abc\n"


def test_any_field_can_be_set() -> None:
    words = [
        "--lr",
        "0.5",
        "--mix.alpha",
        "0.3",
        "--schedule.at",
        "3",
        "4",
        "--optimizer.nesterov",
        "--size",
        "24",
        "24",
    ]
    words += ["--ema_decay=0.9", "--root=there"]
    recipe, run = parse_overrides("t", "s", zhang2017mixup.recipe, words)
    assert (recipe.lr, recipe.mix.alpha, recipe.schedule.at) == (0.5, 0.3, (3, 4))  # type: ignore[union-attr]
    assert (recipe.optimizer.nesterov, recipe.size, recipe.ema_decay, run.root) == (True, (24, 24), 0.9, "there")
    assert (recipe.mix.per, recipe.claim) == ("batch", zhang2017mixup.recipe.claim)  # type: ignore[union-attr]
    inside = parse_overrides("t", "s", demo.recipe, ["--mix.mixes.1.alpha=0.4", "--mix.weights", "1", "3"])[0].mix
    assert (inside.mixes[1].alpha, inside.weights) == (0.4, (1, 3))  # type: ignore[union-attr]
    laws = {"(2, 5)": (2, 5), "Fixed(0.3)": Fixed(0.3), "Ramp([(0, 1), (9, 2.5)])": Ramp(((0, 1), (9, 2.5)))}
    for text, alpha in laws.items():
        assert parse_overrides("t", "s", zhang2017mixup.recipe, ["--mix.alpha", text])[0].mix.alpha == alpha  # type: ignore[union-attr]
    assert parse_overrides("t", "s", zhang2017mixup.recipe, ["--mix.prob", "0.5"])[0].mix.prob == 0.5  # type: ignore[union-attr]


def test_help_shows_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["demo", "--help"])
    assert error.value.code == 0
    said = capsys.readouterr().out
    assert all(f"--{name}" in said for name in ("lr", "mix.mixes.1.alpha", "schedule.warmup", "root"))


def wait_for_steps(path: Path, process: subprocess.Popen[str], step: int) -> None:
    """Until the run in `path` has saved an epoch's end at or after `step`; the first may have to compile kernels."""
    for _ in range(3000):
        lines = path.read_text().splitlines() if path.is_file() else []
        if any(json.loads(line).get("step", 0) >= step for line in lines):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("the run does not move")


def test_a_run_that_is_stopped_says_so_and_ends_with_the_same_weights(data: str, tmp_path: Path) -> None:
    recipe = ["demo", *TINY, "--root", data, "--num_epochs", "16", "--seed", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    begun = command(*recipe, "--folder", str(tmp_path / "stopped"))
    metrics = tmp_path / "stopped" / "demo" / "metrics.jsonl"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(begun, cwd=ROOT, env=environment, **pipes)  # type: ignore[call-overload]
    wait_for_steps(metrics, process, 25)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (err, process.returncode) == ("", 128 + signal.SIGTERM)
    assert "The same command goes on from there." in out.splitlines()[-1]
    for folder in ("stopped", "whole"):
        arguments = command(*recipe, "--folder", str(tmp_path / folder))
        done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert ("goes on in" in done.stdout) == (folder == "stopped")

    found, expected = (checkpoint.load(tmp_path / folder / "demo" / "last.pt") for folder in ("stopped", "whole"))
    for part in ("model", "ema"):
        assert_same(found[part], expected[part])
    assert found["best"] == expected["best"]
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [row["epoch"] for row in rows[1:]] == list(range(1, 17))
    assert rows[0]["recipe"]["num_epochs"] == 16
    for name in ("curves.png", "mixed.png", "best.pt"):
        assert (tmp_path / "stopped" / "demo" / name).stat().st_size > 1000


def test_an_error_of_one_process_alone_is_told_by_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rank 0 speaks first; who is left after that has an error of its own."""
    monkeypatch.setattr("train.cli.main.SECONDS_TO_SPEAK", 0.0)
    for variables in ({"RANK": "3"}, {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            assert main(["unheard"]) == 2
        assert capsys.readouterr().err.startswith("error in rank 3: recipe 'unheard' is unknown")
