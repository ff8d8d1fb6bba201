"""The numbers of a run for TensorBoard, Weights & Biases and MLflow, behind one interface.

Each of them goes on with its own record of a run when the run goes on: what it is called there lies in boards.json.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from train.files.sealed import written
from train.machine.run import Board as Name

PLACE = "boards.json"
PROJECT = "mixdali"
# Of a parameter's value, and of parameters at a time: what MLflow takes.
LONGEST, MOST = 500, 100


class Board(Protocol):
    """Where numbers go beside metrics.jsonl."""

    def add(self, row: Mapping[str, float]) -> None:
        """What was measured in an epoch."""

    def close(self) -> None:
        """Nothing comes after."""


class Boards:
    """The boards of a run. One that fails is told of once, and gets the rows that it missed with the next one: what
    shows a run is not worth ending it.

    Args:
        names: which; None takes TensorBoard where it is installed.
        folder: of the run.
        title: of the run, for people.
        settings: plain values, told to those that show settings.
        say: tells people a line.

    Raises:
        ValueError: one is not installed.
    """

    def __init__(
        self,
        names: Sequence[Name] | None,
        folder: Path,
        title: str,
        settings: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> None:
        kinds: dict[str, Callable[..., Board]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}
        self._make = {name: partial(kinds[name], folder, title, settings) for name in installed(names)}
        self._say = say
        self._open: dict[Name, Board] = {}
        self._missed: dict[Name, list[Mapping[str, float]]] = {name: [] for name in self._make}
        self._told: set[str] = set()

    def add(self, row: Mapping[str, float]) -> None:
        """What was measured in an epoch."""
        for name, rows in self._missed.items():
            rows.append(row)
            with self._unless_it_fails(name):
                if name not in self._open:
                    # What it has of later epochs is of a run that was cut off.
                    self._open[name] = self._make[name](int(rows[0]["epoch"]) - 1)
                while rows:
                    self._open[name].add(rows[0])
                    del rows[0]

    def close(self) -> None:
        """Nothing comes after."""
        for name, board in self._open.items():
            with self._unless_it_fails(name):
                board.close()

    @contextmanager
    def _unless_it_fails(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # theirs are of any kind
            if name not in self._told:
                self._told.add(name)
                why = " ".join(str(error).split()) or type(error).__name__
                self._say(f"{name} does not take the numbers: {why:.300}; training goes on, metrics.jsonl has them all")


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
    """A run of the experiment `mixdali`, at MLFLOW_TRACKING_URI or in the folder's `mlflow.db`."""

    def __init__(self, folder: Path, title: str, settings: Mapping[str, Any], epochs: int) -> None:
        mlflow: Any = importlib.import_module("mlflow")
        self.entities: Any = importlib.import_module("mlflow.entities")
        uri, place = os.environ.get("MLFLOW_TRACKING_URI"), folder.resolve()
        # Plain folders are a store that MLflow does not open any more.
        self.client = mlflow.MlflowClient(tracking_uri=uri or f"sqlite:///{place / 'mlflow.db'}")
        known = _known(folder, "mlflow")
        if known is None:
            experiment = self.client.get_experiment_by_name(PROJECT)
            where = {} if uri else {"artifact_location": (place / "mlartifacts").as_uri()}
            number = self.client.create_experiment(PROJECT, **where) if experiment is None else experiment.experiment_id
            known = self.client.create_run(number, run_name=title).info.run_id
            params = [self.entities.Param(name, str(value)[:LONGEST]) for name, value in _flat(settings)]
            for start in range(0, len(params), MOST):
                self.client.log_batch(known, params=params[start : start + MOST])
            _remember(folder, "mlflow", known)
        else:
            self.client.update_run(known, status="RUNNING")
        self.number = known

    def add(self, row: Mapping[str, float]) -> None:
        now, step = round(1000 * time.time()), int(row["epoch"])
        metrics = [self.entities.Metric(name, float(value), now, step) for name, value in row.items()]
        self.client.log_batch(self.number, metrics=metrics)

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
