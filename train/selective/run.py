"""Selective classification: how often a network is wrong where it dares to answer.

    python -m train.selective runs/NAME --root DIR

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
from rich.table import Table
from torch import Tensor, nn

from mixdali import derive_seed
from mixdali.checks import positive_int, require
from train.data.batches import find_pipeline, held_out_form, image_size
from train.data.sources import read_sources
from train.evaluate.parts.risk import COVERAGES as COVERAGES
from train.evaluate.parts.risk import rejection_scores as rejection_scores
from train.files import checkpoint
from train.files.recipe_file import NamedFile, file_of
from train.machine.command import new_console, parse, say
from train.machine.distributed import open_world
from train.machine.precision import tf32
from train.machine.run import Run
from train.models import finite
from train.show.intervals import with_interval

# Of the test images, but no more than half of them.
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
    counted: int
    """Images that these shares are of."""

    @property
    def answers(self) -> int:
        """How many of them are answered."""
        return round(self.coverage * self.counted)


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
    scores: Tensor, wrong: Tensor, coverages: Sequence[float] = COVERAGES, num_calibration: int | None = None
) -> list[Risk]:
    """The risk at each coverage, of thresholds that were set on other images.

    `num_calibration` of the images (None: as `choose_calibration` says), drawn, set the thresholds, and the others are
    counted. The authors of
    Self-Adaptive Training set the threshold on the counted images themselves, so their coverage is always met.

    Raises:
        ValueError: no images are left to count.
    """
    num_calibration = choose_calibration(num_calibration, len(scores))
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(derive_seed(0, "calibration")))
    order = order.to(scores.device)
    first, rest = order[:num_calibration], order[num_calibration:]
    return [
        Risk(coverage, *selective_risk(scores[rest], wrong[rest], calibrate(scores[first], coverage)), len(rest))
        for coverage in coverages
    ]


def choose_calibration(asked: int | None, total: int) -> int:
    """How many of `total` images set the thresholds: as many as asked for, else half of them, at most 2,000.

    Raises:
        ValueError: none are left to set a threshold by, or to count.
    """
    if total < 2:
        raise ValueError(f"two images are needed, one to set the thresholds and one to count, got {total}")
    if asked is None:
        return min(NUM_CALIBRATION, total // 2)
    if not 0 < asked < total:
        raise ValueError(f"num_calibration must be from 1 to {total - 1}, some of the images, got {asked}")
    return asked


@torch.no_grad()
def score_images(model: nn.Module, loader: Iterable[Any]) -> tuple[Tensor, Tensor]:
    """Batches with images and targets (N, K) -> scores (N,) and which answers are wrong (N,), on the CPU.

    Raises:
        ValueError: logits that are not finite.
    """
    scores, wrong = [], []
    device = next(model.parameters()).device
    model.eval()
    for batch in loader:
        num_classes = batch.targets.shape[1]
        logits = finite(model(batch.images.to(device)).float().cpu())
        scores.append(rejection_scores(logits, num_classes))
        wrong.append(logits[:, :num_classes].argmax(dim=1) != batch.targets.argmax(dim=1).cpu())
    return torch.cat(scores), torch.cat(wrong)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All that the command line can set."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A last.pt or best.pt of a classifier, or the folder of its run."""
    root: str | None = None
    """Folder of the data the network was trained on; its test images are taken. None: the embedded digits."""
    recipe_file: NamedFile = None
    coverages: tuple[float, ...] = COVERAGES
    """Shares of the images to be answered."""
    num_calibration: int | None = None
    """Test images, drawn, that set the thresholds; the others are counted. None: half of them, at most 2,000."""
    average: bool = True
    """Take the averaged weights where the run kept them."""
    batch_size: int = 250
    """Images that pass the network at once."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        require(bool(self.coverages), "coverages", "none", "must name at least one share")
        for coverage in self.coverages:
            require(0 < coverage <= 1, "coverages", coverage, "must be above 0 and at most 1")
        if self.num_calibration is not None:
            positive_int("num_calibration", self.num_calibration)
        positive_int("batch_size", self.batch_size)


def main(words: Sequence[str]) -> int:
    """Print the risk at each coverage; -> the exit code. ValueError and others of one line for the user."""
    asked = parse(Arguments, words, program="train.selective", summary=(__doc__ or "").split("\n")[0])
    path, console = checkpoint.find(asked.checkpoint), new_console()
    content = checkpoint.load_classifier(path)
    # Only what is needed, so that a recipe with fields of another version does no harm.
    kind, (size, form) = content["recipe"]["data"], held_out_form(content["recipe"])
    file = file_of(path, content, content["network"], asked.recipe_file, partial(say, console))
    with open_world(asked.device) as world, tf32(False):
        if world.size > 1:
            raise ValueError("one process is enough; start it without torchrun")
        sources = read_sources(kind, asked.root)
        checkpoint.check_classes(path, content, sources.classes, asked.root)
        images = sources.held_out
        num_calibration = choose_calibration(asked.num_calibration, len(images))
        model = checkpoint.load_model(path, average=asked.average, file=file).to(world.device)
        loader = find_pipeline(kind).val_loader(
            images,
            batch_size=min(asked.batch_size, len(images)),
            num_classes=sources.num_classes,
            size=image_size(images, size),
            **form,
            device=world.kind,
            num_threads=Run().threads(1),
        )
        scores, wrong = score_images(model, loader)
    counted = len(scores) - num_calibration
    say(console, f"{path}: {counted:,} test images, with thresholds set on {num_calibration:,} others")
    console.print(result_table(risk_table(scores, wrong, asked.coverages, num_calibration)))
    return 0


def result_table(risks: Sequence[Risk]) -> Table:
    """A line for each coverage, with the 95 % intervals of the shares."""
    table = Table(title="in brackets 95 % intervals", title_justify="left")
    for name in ("coverage wanted", "coverage", "error"):
        table.add_column(name, justify="right")
    for risk in risks:
        error = "" if math.isnan(risk.error) else with_interval(risk.error, risk.answers)
        table.add_row(f"{100 * risk.wanted:g}%", with_interval(risk.coverage, risk.counted), error)
    return table
