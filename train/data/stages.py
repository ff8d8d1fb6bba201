"""Why a run waits for its images."""

from __future__ import annotations

import numpy as np

from train.data.loaders import train_loader
from train.data.sources import Sources
from train.machine.distributed import World
from train.machine.run import Run
from train.recipe import Recipe

PATIENCE = 0.2
"""Share of the time above which waiting is looked into."""


def explain_waiting(recipe: Recipe, run: Run, sources: Sources, world: World, waiting: float) -> str:
    """A line for people that names the slow stage; of a second or some, for which other processes wait."""
    start = f"{waiting:.0%} of the time went into waiting for images"
    if isinstance(sources.train.items, np.ndarray):
        return f"{start}, which lie in memory: they are made slower than the network takes them"
    from pipelines.stages import measure_stages

    threads, count = run.threads(world.size), recipe.batch_size // world.size
    loader = train_loader(recipe, run, sources, world, recipe.objective.outputs)
    found = measure_stages(sources.train, loader, batch_size=count, device=world.kind, num_threads=threads)  # type: ignore[arg-type]
    parts = ", ".join(f"{1000 * seconds:.0f} ms for {stage}" for stage, seconds in found.items())
    slow = max(found, key=lambda stage: found[stage])
    how = f"{threads} thread{'s' * (threads != 1)}"
    return f"{start}: {count} of them take {parts}. The slow stage is {slow}, with {how} (--num_threads)"
