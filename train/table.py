"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from train.data import Sources
from train.recipe import Recipe


def result_table(title: str, history: Sequence[dict[str, float]], recipe: Recipe, sources: Sources) -> Table:
    """Held-out accuracy after the last epoch and at its best, and the paper's own where the run had its data."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("held-out")
    table.add_column("accuracy", justify="right")
    table.add_column("loss", justify="right")
    kinds = [("", "weights")] + ([("ema_", "averaged weights")] if "ema_loss" in history[-1] else [])
    measured = [row for row in history if "accuracy" in row]
    for prefix, name in kinds:
        best = max(measured, key=lambda row: row[f"{prefix}accuracy"])
        for when, row in (("last epoch", history[-1]), (f"best epoch, {best['epoch']:.0f}", best)):
            table.add_row(f"{name}, {when}", f"{row[f'{prefix}accuracy']:.2%}", f"{row[f'{prefix}loss']:.3f}")
            if "test" in sources.also:
                accuracy, loss = (row[f"test_{prefix}{value}"] for value in ("accuracy", "loss"))
                table.add_row("  on the test images", f"{accuracy:.2%}", f"{loss:.3f}")
    for name in [name for name in ("real", "corrupted") if name in sources.also]:
        table.add_section()
        accuracy, loss = (history[-1][f"{name}_{value}"] for value in ("accuracy", "loss"))
        table.add_row(f"training images, {name} labels, last epoch", f"{accuracy:.2%}", f"{loss:.3f}")
    claim = recipe.claim
    if claim and (claim.num_images, claim.num_classes) == (len(sources.train), sources.num_classes):
        table.add_section()
        table.add_row(f"the paper on {claim.data}: {claim.where}", f"{claim.accuracy:.2f}%", "")
        if claim.baseline is not None:
            table.add_row("the paper, the same network without the method", f"{claim.baseline:.2f}%", "")
    return table
