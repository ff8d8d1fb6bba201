"""Selective classification: how often a network is wrong where it dares to answer.

    python -m train.selective.run runs/NAME/last.pt --root DIR

A network rejects the images with the highest scores: what its extra output says (`SelectiveTraining`), or, for one
without an extra output, 1 minus its highest probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor, nn

from mixdali import derive_seed
from train.data.loaders import val_loader
from train.data.sources import read_sources
from train.files import checkpoint
from train.files.recipe_file import NamedFile, file_of
from train.machine.command import parse, say
from train.machine.distributed import open_world
from train.machine.run import Run
from train.recipe import from_plain

COVERAGES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
NUM_CALIBRATION = 2000


@dataclass(frozen=True)
class Risk:
    """What a threshold does; all are shares from 0 to 1."""

    wanted: float
    """Share of the images that were to be answered."""
    coverage: float
    """Share that is."""
    error: float
    """Share of the answers that are wrong; nan if there are none."""


def rejection_scores(logits: Tensor, num_classes: int) -> Tensor:
    """logits (N, num_classes) or (N, num_classes + 1) -> (N,) in [0, 1]: the higher, the sooner rejected."""
    probabilities = logits.softmax(dim=1)
    if logits.shape[1] == num_classes:
        return 1 - probabilities.amax(dim=1)
    return probabilities[:, num_classes]


def calibrate(scores: Tensor, coverage: float) -> float:
    """The threshold up to which the share `coverage` of the scores (N,) lies, rounded to whole images; inf for all.

    Raises:
        ValueError: coverage outside (0, 1], or no scores.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be above 0 and at most 1, got {coverage}")
    if not len(scores):
        raise ValueError("a threshold needs at least one score to be set by, got none")
    if coverage == 1:
        return math.inf
    accepted = max(1, round(coverage * len(scores)))
    return float(scores.sort().values[accepted - 1])


def selective_risk(scores: Tensor, wrong: Tensor, threshold: float) -> tuple[float, float]:
    """-> the share of images with a score of at most `threshold`, and the share of those that are wrong.

    Args:
        scores: (N,).
        wrong: (N,) bool.
        threshold: of `calibrate`.
    """
    accepted = scores <= threshold
    return float(accepted.double().mean()), float(wrong[accepted].double().mean())


def risk_table(
    scores: Tensor, wrong: Tensor, coverages: Sequence[float] = COVERAGES, num_calibration: int = NUM_CALIBRATION
) -> list[Risk]:
    """The risk at each coverage, of thresholds that were set on other images.

    `num_calibration` of the images, drawn, set the thresholds, and the others are counted. The authors of
    Self-Adaptive Training set the threshold on the counted images themselves, so their coverage is always met.

    Raises:
        ValueError: no images are left to count.
    """
    if not 0 < num_calibration < len(scores):
        raise ValueError(
            f"num_calibration must be from 1 to {len(scores) - 1}, some of the images, got {num_calibration}"
        )
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(derive_seed(0, "calibration")))
    order = order.to(scores.device)
    first, rest = order[:num_calibration], order[num_calibration:]
    return [
        Risk(coverage, *selective_risk(scores[rest], wrong[rest], calibrate(scores[first], coverage)))
        for coverage in coverages
    ]


@torch.no_grad()
def score_images(model: nn.Module, loader: Iterable[Any]) -> tuple[Tensor, Tensor]:
    """Batches with images and targets (N, K) -> scores (N,) and which answers are wrong (N,), on the CPU."""
    scores, wrong = [], []
    device = next(model.parameters()).device
    model.eval()
    for batch in loader:
        num_classes = batch.targets.shape[1]
        logits = model(batch.images.to(device)).float().cpu()
        scores.append(rejection_scores(logits, num_classes))
        wrong.append(logits[:, :num_classes].argmax(dim=1) != batch.targets.argmax(dim=1).cpu())
    return torch.cat(scores), torch.cat(wrong)


@dataclass(frozen=True, kw_only=True)
class Command:
    """What the command line sets."""

    checkpoint: Annotated[str, tyro.conf.Positional]
    """last.pt or best.pt of a run."""
    root: str | None = None
    """Folder of the data; None: the embedded digits."""
    recipe_file: NamedFile = None
    coverages: tuple[float, ...] = COVERAGES
    """Shares of the images to be answered."""
    num_calibration: int = NUM_CALIBRATION
    """Test images that set the thresholds; the others are counted."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto takes a GPU if there is one."""


def main(arguments: Sequence[str]) -> int:
    """Print the risk at each coverage; -> the exit code. ValueError and others of one line for the user."""
    from rich.console import Console
    from rich.table import Table

    wanted = parse(Command, arguments, program="train.selective.run", summary=(__doc__ or "").split("\n")[0])
    path, console = Path(wanted.checkpoint), Console()
    content = checkpoint.load(path)
    file = file_of(path, content, content["recipe"], wanted.recipe_file, partial(say, console))
    recipe = from_plain(content["recipe"], file)
    with open_world(wanted.device) as world:
        model = checkpoint.load_model(path, file=file).to(world.device)
        sources = read_sources(recipe.data, wanted.root)
        loader = val_loader(recipe, Run(device=wanted.device), sources, world)
        scores, wrong = score_images(model, loader)
    table = Table()
    for name in ("coverage wanted", "coverage", "error"):
        table.add_column(name, justify="right")
    for risk in risk_table(scores, wrong, wanted.coverages, wanted.num_calibration):
        table.add_row(f"{risk.wanted:.0%}", f"{risk.coverage:.2%}", f"{risk.error:.2%}")
    title = f"{wanted.checkpoint}: {len(scores) - wanted.num_calibration:,} test images"
    say(console, title)
    console.print(table)
    return 0
