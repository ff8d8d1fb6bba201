"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from train.data.known import KNOWN
from train.data.sources import Sources
from train.recipe import Claim, Recipe
from train.show.intervals import with_interval


def result_table(title: str, history: Sequence[dict[str, float]], recipe: Recipe, sources: Sources) -> Table:
    """Held-out accuracy after the last epoch and at its best, and the paper's own where recipe and data are its.

    Each accuracy that was measured has the 95 % interval of its number of images. Where accuracy under attack was
    measured, the best epoch is the one where that was highest, and what was lost of it until the last epoch has a line
    of its own.
    """
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    table.add_column("held-out")
    table.add_column("accuracy", justify="right")
    if recipe.robust is not None:
        table.add_column("under attack", justify="right")
    table.add_column("loss", justify="right")
    kinds = [("", "weights")] + ([("ema_", "averaged weights")] if "ema_loss" in history[-1] else [])
    measured = [row for row in history if "accuracy" in row]
    images = _Images(recipe, sources)
    for prefix, name in kinds:
        score = f"{prefix}accuracy" if recipe.robust is None else f"{prefix}robust_accuracy"
        best = max(measured, key=lambda row: row[score])
        for when, row in (("last epoch", history[-1]), (f"best epoch, {best['epoch']:.0f}", best)):
            table.add_row(f"{name}, {when}", *_numbers(row, "", prefix, images))
            if "test" in sources.also:
                table.add_row("  on the test images", *_numbers(row, "test", prefix, images))
            if recipe.robust is not None:
                table.add_row("  on training images", *_numbers(row, "training", prefix, images))
        if recipe.robust is not None:
            table.add_row("  lost since the best epoch", "", f"{best[score] - history[-1][score]:.2%}", "")
    for prefix, name in kinds:
        broken = max((row.get(f"{prefix}robust_not_finite", 0) for row in measured), default=0)
        if broken:
            table.add_row(f"{name}: {broken:.0f} attacked images gave no finite logits, and count as wrong")
    for name in [name for name in ("real", "corrupted") if name in sources.also]:
        table.add_section()
        what = "labels" if recipe.image_noise.rate == 0 else "pixels" if sources.changes is None else "labels or pixels"
        table.add_row(f"training images, {name} {what}, last epoch", *_numbers(history[-1], name, "", images))
    claim = claim_for(recipe, sources)
    if claim is not None:
        table.add_section()
        table.add_row(f"the paper on {claim.data}: {claim.where}", f"{claim.accuracy:.2f}%")
        if claim.baseline is not None:
            table.add_row("the paper, the same network without the method", f"{claim.baseline:.2f}%")
    return table


def claim_for(recipe: Recipe, sources: Sources) -> Claim | None:
    """The paper's number, if this is its recipe in every field, and its data; else None."""
    claim = recipe.own_claim
    if claim is None or not KNOWN[claim.data].is_in(sources):
        return None
    return claim if claim.stream_images == tuple(map(len, sources.streams)) else None


@dataclass(frozen=True)
class _Images:
    """How many images an accuracy is of."""

    recipe: Recipe
    sources: Sources

    def number(self, row: dict[str, float], part: str, *, attacked: bool) -> int:
        """Of a part of the data: "", the held-out images, "training", or one of `sources.also`."""
        if part == "training":
            there = len(self.sources.train)
        else:
            source = self.sources.also[part] if part else self.sources.held_out
            there = int(row.get(f"{part or 'held_out'}_images", len(source)))
        if not attacked or self.recipe.robust is None:
            return there
        return min(self.recipe.robust.num_images, there)


def _numbers(row: dict[str, float], part: str, average: str, images: _Images) -> list[str]:
    """Accuracy, accuracy under attack where the recipe wants it, and loss; empty for what was not measured."""
    start = f"{part}_{average}" if part else average
    # Of the training images those that are attacked are measured without attack too.
    columns = {"accuracy": part == "training"} | ({} if images.recipe.robust is None else {"robust_accuracy": True})
    found = [
        with_interval(row[start + name], images.number(row, part, attacked=attacked)) if start + name in row else ""
        for name, attacked in columns.items()
    ]
    return [*found, f"{row[f'{start}loss']:.3f}" if f"{start}loss" in row else ""]
