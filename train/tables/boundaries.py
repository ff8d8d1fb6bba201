"""`python -m train.tables.boundaries`: where mixup hurts, and GenLabel does not, on points in the plane.

A point between two of the outer circle may lie on the inner one, and mixup calls it outer all the same; GenLabel asks
the densities of the classes. Sohn et al., "GenLabel", ICML 2022, arXiv:2201.02354.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from mixdali import MixUp
from mixdali.names import nearest
from train.machine.command import new_console, parse, run_command, say
from train.objectives import GenLabel, MixupE
from train.tables.drawn import draw
from train.tables.picture import draw_boundaries
from train.tables.table import split
from train.tables.training import Settings, measure, train_network

SUMMARY = "Draw the decision boundaries of ERM, mixup, MixupE and GenLabel on points in the plane."
PLANE = ("circles", "moons", "line")
METHODS = {
    "ERM": Settings(),
    "mixup": Settings(mix=MixUp(alpha=1.0, per="batch", partner="permutation")),
    "MixupE": Settings(objective=MixupE(alpha=1.0)),
    "GenLabel": Settings(objective=GenLabel(alpha=1.0, gamma=0.8, warmup=12)),
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What is drawn."""

    points: Annotated[str, tyro.conf.Positional] = "circles"
    """circles, moons or line."""
    num_epochs: int = 60
    """Passes over the training samples."""
    seed: int = 0
    """Decides points, weights and draws."""
    out: Path = Path("boundaries.png")
    """The picture to write."""


def main(words: Sequence[str]) -> int:
    """Train and draw; -> the exit code. Raises ValueError of one line."""
    asked = parse(Arguments, words, program="train.tables.boundaries", summary=SUMMARY)
    if asked.points not in PLANE:
        raise ValueError(f"there are no points {asked.points!r}; {nearest(asked.points, PLANE)}")
    divided = split(draw(asked.points, asked.seed), Settings().train_share, asked.seed)
    models = {}
    for name, usual in METHODS.items():
        settings = replace(usual, num_epochs=asked.num_epochs, seed=asked.seed)
        model = train_network(divided, settings)
        models[f"{name}, {measure(model, divided)['accuracy']:.1%} right"] = model
    title = f"{asked.points}: {len(divided.train)} points to train on, the class that is named, the stronger the surer"
    draw_boundaries(asked.out, models, divided, title)
    say(new_console(), f"{asked.out}: {'; '.join(models)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))
