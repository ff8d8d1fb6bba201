"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from train.data.known import KNOWN
from train.data.sources import Sources
from train.recipe import Claim, Recipe


def result_table(title: str, history: Sequence[dict[str, float]], recipe: Recipe, sources: Sources) -> Table:
    """Held-out accuracy after the last epoch and at its best, and the paper's own where recipe and data are its.

    Where accuracy under attack was measured, the best epoch is the one where that was highest, and what was lost of it
    until the last epoch has a line of its own.
    """
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    table.add_column("held-out")
    table.add_column("accuracy", justify="right")
    if recipe.robust is not None:
        table.add_column("under attack", justify="right")
    table.add_column("loss", justify="right")
    kinds = [("", "weights")] + ([("ema_", "averaged weights")] if "ema_loss" in history[-1] else [])
    measured = [row for row in history if "accuracy" in row]
    for prefix, name in kinds:
        score = f"{prefix}accuracy" if recipe.robust is None else f"{prefix}robust_accuracy"
        best = max(measured, key=lambda row: row[score])
        for when, row in (("last epoch", history[-1]), (f"best epoch, {best['epoch']:.0f}", best)):
            table.add_row(f"{name}, {when}", *_numbers(row, prefix, recipe))
            if "test" in sources.also:
                table.add_row("  on the test images", *_numbers(row, f"test_{prefix}", recipe))
            if recipe.robust is not None:
                table.add_row("  on training images", *_numbers(row, f"training_{prefix}", recipe))
        if recipe.robust is not None:
            table.add_row("  lost since the best epoch", "", f"{best[score] - history[-1][score]:.2%}", "")
    for prefix, name in kinds:
        broken = max((row.get(f"{prefix}robust_not_finite", 0) for row in measured), default=0)
        if broken:
            table.add_row(f"{name}: {broken:.0f} attacked images gave no finite logits, and count as wrong")
    for name in [name for name in ("real", "corrupted") if name in sources.also]:
        table.add_section()
        what = "labels" if recipe.image_noise.rate == 0 else "pixels" if sources.changes is None else "labels or pixels"
        table.add_row(f"training images, {name} {what}, last epoch", *_numbers(history[-1], f"{name}_", recipe))
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


def _numbers(row: dict[str, float], prefix: str, recipe: Recipe) -> list[str]:
    """Accuracy, accuracy under attack where the recipe wants it, and loss; empty for what was not measured."""
    names = ["accuracy", *([] if recipe.robust is None else ["robust_accuracy"])]
    found = [f"{row[prefix + name]:.2%}" if prefix + name in row else "" for name in names]
    return [*found, f"{row[f'{prefix}loss']:.3f}" if f"{prefix}loss" in row else ""]
