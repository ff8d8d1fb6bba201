"""Numbers of a run on other people's boards, by stand-ins of their modules and, where installed, themselves; and the
manifest of a run."""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pipelines.commits import own_commit
from tests.helpers.training import ALONE, TINY
from train.files.boards import Boards, installed
from train.files.log import Log
from train.files.manifest import add_start
from train.files.plain import to_plain

ROWS: list[dict[str, float]] = [
    {"epoch": 1, "accuracy": 0.25, "loss": 2.0},
    {"epoch": 2, "accuracy": 0.5, "loss": 1.25},
]


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
        self.states: list[str] = []
        self.params: dict[str, str] = {}
        self.metrics: list[tuple[str, str, float, int]] = []
        self.broken = False

    def MlflowClient(self, tracking_uri: str) -> Any:
        self.uris.append(tracking_uri)

        def create_run(experiment: str, run_name: str) -> Any:
            self.runs.append(run_name)
            return SimpleNamespace(info=SimpleNamespace(run_id=f"{experiment}/{len(self.runs)}"))

        def log_batch(run: str, metrics: Any = (), params: Any = ()) -> None:
            if self.broken:
                raise LookupError("the server\nis gone")
            assert len(params) <= 100
            self.params.update(params)
            self.metrics.extend((run, name, value, step) for name, value, _, step in metrics)

        return SimpleNamespace(
            get_experiment_by_name=lambda name: None,
            create_experiment=lambda name, artifact_location: "7",
            create_run=create_run,
            update_run=lambda run, status: self.states.append(status),
            log_batch=log_batch,
            set_terminated=lambda run: self.states.append("FINISHED"),
        )


class FakeEntities(ModuleType):
    Metric = staticmethod(lambda *values: values)
    Param = staticmethod(lambda *values: values)


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeWandB, FakeMLflow]:
    wandb, mlflow = FakeWandB(), FakeMLflow()
    for module in (wandb, mlflow, FakeEntities("mlflow.entities")):
        module.__spec__ = importlib.util.spec_from_loader(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return wandb, mlflow


def log_twice(folder: Path, names: list[Any]) -> list[str]:
    """A run of an epoch, stopped, and its second epoch. -> what people are told."""
    said: list[str] = []
    for row in ROWS:
        boards = Boards(names, folder, "mine", to_plain(TINY), said.append)
        boards.add(row)
        boards.close()
    return said


def test_a_run_that_goes_on_goes_on_with_its_own_records(
    tmp_path: Path, stand_ins: tuple[FakeWandB, FakeMLflow]
) -> None:
    wandb, mlflow = stand_ins
    assert log_twice(tmp_path, ["wandb", "mlflow"]) == []
    first, second = wandb.started
    assert (first["id"], first["resume"], first["name"]) == (None, None, "mine")
    assert (second["id"], second["resume"]) == ("run1", "allow")
    assert wandb.logged == [(ROWS[0], 1), (ROWS[1], 2)]
    assert wandb.finished == 2
    assert mlflow.runs == ["mine"]
    assert mlflow.states == ["FINISHED", "RUNNING", "FINISHED"]
    assert set(mlflow.uris) == {f"sqlite:///{tmp_path.resolve() / 'mlflow.db'}"}
    assert mlflow.metrics[:2] == [("7/1", "epoch", 1.0, 1), ("7/1", "accuracy", 0.25, 1)]
    assert mlflow.params["lr"] == str(TINY.lr)
    assert mlflow.params["mix.prob"] == "0.5"


def test_a_board_that_fails_ends_no_run_and_gets_what_it_missed(
    tmp_path: Path, stand_ins: tuple[FakeWandB, FakeMLflow]
) -> None:
    wandb, mlflow = stand_ins
    said: list[str] = []
    log = Log(tmp_path, {"name": "mine"}, [], ["wandb", "mlflow"], said.append)
    mlflow.broken = True
    log.add(ROWS[0])
    mlflow.broken = False
    log.add(ROWS[1])
    mlflow.broken = True
    log.add({"epoch": 3})
    log.close()
    assert said == [
        "mlflow does not take the numbers: the server is gone; training goes on, metrics.jsonl has them all"
    ]
    assert [step for _, name, _, step in mlflow.metrics if name == "epoch"] == [1, 2]
    assert [step for _, step in wandb.logged] == [1, 2, 3]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


def test_a_board_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.files.boards.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--boards wandb needs it: pip install wandb"):
        Boards(["wandb"], tmp_path, "mine", {}, print)
    assert installed(None) == []


@pytest.mark.filterwarnings("ignore")  # theirs
def test_mlflow_itself_has_the_numbers_and_settings_of_a_run_that_went_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow: Any = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert log_twice(tmp_path, ["mlflow"]) == []
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path.resolve() / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mixdali")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("mine", "FINISHED")
    for name in ROWS[0]:
        history = client.get_metric_history(run.info.run_id, name)
        assert [(metric.step, metric.value) for metric in history] == [(row["epoch"], row[name]) for row in ROWS]
    assert run.data.params["mix.prob"] == "0.5"
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.filterwarnings("ignore")  # theirs
def test_weights_and_biases_itself_has_the_numbers_and_settings_of_a_run_that_went_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    assert log_twice(tmp_path, ["wandb"]) == []
    number = json.loads((tmp_path / "boards.json").read_text())["wandb"]
    folders, stored = tmp_path / "wandb", list[Any]()
    # A process of theirs writes the end of a run, perhaps when the call has come back.
    for _ in range(300):
        files = sorted(folders.glob(f"offline-run-*/run-{number}.wandb"), key=lambda file: file.stat().st_ctime)
        stored = [part for file in files for part in records(file)]
        if sum(part.HasField("exit") for part in stored) == 2:
            break
        time.sleep(0.1)
    rows = [
        {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in part.history.item}
        for part in stored
        if part.HasField("history")
    ]
    rows.sort(key=lambda row: row["_step"])
    assert [{name: row[name] for name in ROWS[0]} for row in rows] == ROWS
    assert [row["_step"] for row in rows] == [1, 2]
    first = next(part.run for part in stored if part.HasField("run"))
    assert (first.run_id, first.display_name, first.project) == (number, "mine", "mixdali")
    assert {item.key: json.loads(item.value_json) for item in first.config.update}["lr"] == TINY.lr


def records(file: Path) -> list[Any]:
    """What a run of W&B keeps in its folder: a head of 7 bytes, then blocks of 32 KiB in LevelDB's form of a log."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, found, parts = file.read_bytes(), 7, [], b""
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:  # too little for a head; the rest of the block is empty
            place += left
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the end of one
            found.append(Record.FromString(parts))
            parts = b""
    return found


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
