"""Numbers of a run on other people's boards, by stand-ins of their modules; and the manifest of a run."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mixdali.commits import own_commit
from tests.helpers.training import ALONE, TINY
from train.files.boards import open_boards
from train.files.manifest import add_start
from train.files.plain import to_plain

ROW = {"epoch": 2, "accuracy": 0.5, "loss": 1.25}


class FakeWandB(ModuleType):
    def __init__(self) -> None:
        super().__init__("wandb")
        self.started: list[dict[str, Any]] = []
        self.logged: list[tuple[dict[str, float], int]] = []
        self.finished = 0

    def init(self, **settings: Any) -> Any:
        self.started.append(settings)
        number = settings["id"] or f"run{len(self.started)}"
        return SimpleNamespace(id=number, log=lambda row, step: self.logged.append((row, step)), finish=self._finish)

    def _finish(self) -> None:
        self.finished += 1


class FakeMLflow(ModuleType):
    """Only what a tracking client of MLflow has that is used."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.uris: list[str] = []
        self.runs: list[str] = []
        self.params: dict[str, str] = {}
        self.metrics: list[tuple[str, str, float, int]] = []

    def MlflowClient(self, tracking_uri: str) -> Any:
        self.uris.append(tracking_uri)

        def create_run(experiment: str, run_name: str) -> Any:
            self.runs.append(run_name)
            return SimpleNamespace(info=SimpleNamespace(run_id=f"{experiment}/{len(self.runs)}"))

        return SimpleNamespace(
            get_experiment_by_name=lambda name: None,
            create_experiment=lambda name: "7",
            create_run=create_run,
            log_param=lambda run, name, value: self.params.update({name: value}),
            log_metric=lambda run, name, value, step: self.metrics.append((run, name, value, step)),
            set_terminated=lambda run: None,
        )


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeWandB, FakeMLflow]:
    wandb, mlflow = FakeWandB(), FakeMLflow()
    for module in (wandb, mlflow):
        module.__spec__ = importlib.util.spec_from_loader(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return wandb, mlflow


def test_a_run_that_goes_on_goes_on_with_its_own_records(
    tmp_path: Path, stand_ins: tuple[FakeWandB, FakeMLflow]
) -> None:
    wandb, mlflow = stand_ins
    for epochs in (0, 1):
        boards = open_boards(["wandb", "mlflow"], tmp_path, "mine", to_plain(TINY), epochs)
        for board in boards:
            board.add(ROW)
            board.close()
    first, second = wandb.started
    assert (first["id"], first["resume"], first["name"]) == (None, None, "mine")
    assert (second["id"], second["resume"]) == ("run1", "allow")
    assert wandb.logged == [(ROW, 2)] * 2
    assert wandb.finished == 2
    assert mlflow.runs == ["mine"]
    assert set(mlflow.uris) == {(tmp_path / "mlruns").resolve().as_uri()}
    assert mlflow.metrics[:2] == [("7/1", "epoch", 2.0, 2), ("7/1", "accuracy", 0.5, 2)]
    assert mlflow.params["lr"] == str(TINY.lr)
    assert mlflow.params["mix.prob"] == "0.5"


def test_a_board_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.files.boards.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--boards wandb needs it: pip install wandb"):
        open_boards(["wandb"], tmp_path, "mine", {}, 0)
    assert open_boards(None, tmp_path, "mine", {}, 0) == []


def test_the_manifest_has_a_start_below_the_other(tmp_path: Path) -> None:
    for _ in range(2):
        add_start(tmp_path, ALONE, seed=3)
    first, second = json.loads((tmp_path / "manifest.json").read_text())
    assert first["command"] == second["command"] == [sys.executable, *sys.orig_argv[1:]]
    assert (first["seed"], first["processes"], first["device"]) == (3, 1, "cpu")
    assert {"torch", "mixdali", "dali"} <= set(first["versions"])
    assert first["machine"]["cores"] >= 1
    own = own_commit()
    assert first["code"] == (None if own is None else {"commit": own.number, "changed": own.changed})
    assert first["own_code"] is None  # the tests run in the checkout
    assert first["started"] <= second["started"]


def test_a_damaged_manifest_is_kept_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[{")
    add_start(tmp_path, ALONE, seed=3)
    assert (tmp_path / "manifest.json.damaged").read_text() == "[{"
    assert len(json.loads((tmp_path / "manifest.json").read_text())) == 1
