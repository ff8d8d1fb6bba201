"""The numbers of a run for TensorBoard, Weights & Biases and MLflow, behind one interface.

Each of them goes on with its own record of a run when the run goes on: what it is called there lies in boards.json.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from train.files.sealed import written
from train.machine.run import Board as Name

PLACE = "boards.json"
PROJECT = "mixdali"


class Board(Protocol):
    """Where numbers go beside metrics.jsonl."""

    def add(self, row: Mapping[str, float]) -> None:
        """What was measured in an epoch."""

    def close(self) -> None:
        """Nothing comes after."""


def open_boards(
    names: Sequence[Name] | None, folder: Path, title: str, settings: Mapping[str, Any], epochs: int
) -> list[Board]:
    """The boards of a run in its folder.

    Args:
        names: which; None takes TensorBoard where it is installed.
        title: of the run, for people.
        settings: plain values, told to those that show settings.
        epochs: that are done; what a board has of later ones is of a run that was cut off.

    Raises:
        ValueError: one is not installed.
    """
    kinds: dict[str, Any] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}
    return [kinds[name](folder, title, settings, epochs) for name in installed(names)]


def installed(names: Sequence[Name] | None) -> Sequence[Name]:
    """The boards that are meant; ValueError if one is not installed."""
    if names is None:
        return ["tensorboard"] if importlib.util.find_spec("tensorboard") is not None else []
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ValueError(f"--boards {name} needs it: pip install {name}")
    return names


class TensorBoard:
    """Files in the folder's `tensorboard`."""

    def __init__(self, folder: Path, title: str, settings: Mapping[str, Any], epochs: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=epochs + 1)

    def add(self, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            self.writer.add_scalar(name, value, int(row["epoch"]))
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class WandB:
    """A run of the project `mixdali`, or of WANDB_PROJECT; WANDB_MODE=offline keeps it in the folder."""

    def __init__(self, folder: Path, title: str, settings: Mapping[str, Any], epochs: int) -> None:
        wandb: Any = importlib.import_module("wandb")
        known = _known(folder, "wandb")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=title,
            id=known,
            resume=None if known is None else "allow",
            dir=str(folder),
            config=dict(settings),
        )
        _remember(folder, "wandb", self.run.id)

    def add(self, row: Mapping[str, float]) -> None:
        self.run.log(dict(row), step=int(row["epoch"]))

    def close(self) -> None:
        self.run.finish()


class MLflow:
    """A run of the experiment `mixdali`, at MLFLOW_TRACKING_URI or in the folder's `mlruns`."""

    def __init__(self, folder: Path, title: str, settings: Mapping[str, Any], epochs: int) -> None:
        mlflow: Any = importlib.import_module("mlflow")
        uri = os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlruns").resolve().as_uri()
        self.client = mlflow.MlflowClient(tracking_uri=uri)
        known = _known(folder, "mlflow")
        if known is None:
            experiment = self.client.get_experiment_by_name(PROJECT)
            number = self.client.create_experiment(PROJECT) if experiment is None else experiment.experiment_id
            known = self.client.create_run(number, run_name=title).info.run_id
            for name, value in _flat(settings):
                self.client.log_param(known, name, str(value)[:500])
            _remember(folder, "mlflow", known)
        self.number = known

    def add(self, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            self.client.log_metric(self.number, name, float(value), step=int(row["epoch"]))

    def close(self) -> None:
        self.client.set_terminated(self.number)


def _known(folder: Path, board: str) -> str | None:
    path = folder / PLACE
    return json.loads(path.read_text()).get(board) if path.is_file() else None


def _remember(folder: Path, board: str, number: str) -> None:
    path = folder / PLACE
    known = json.loads(path.read_text()) if path.is_file() else {}
    with written(path) as aside:
        aside.write_text(json.dumps({**known, board: number}))


def _flat(settings: Any, name: str = "") -> list[tuple[str, Any]]:
    """Settings by dotted names."""
    if isinstance(settings, Mapping):
        items = [(str(key), value) for key, value in settings.items() if key != "type"]
        return [found for key, value in items for found in _flat(value, f"{name}.{key}" if name else key)]
    return [(name, settings)]
