"""Accuracy under attack while a run trains: on the same images and from the same starts in every epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mixdali import derive_seed
from train.attacks import PGD, attacked
from train.attacks.starts import starts
from train.data.loaders import val_loader
from train.data.sources import Sources
from train.loop.held_out import to_device, together
from train.machine.distributed import World
from train.machine.precision import autocast
from train.machine.run import Run
from train.machine.stop import Stop
from train.models.answers import is_finite
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Attacked:
    """This process's share of the images to attack, a batch, on its device."""

    images: Tensor
    """(N, 3, H, W) float in [0, 1]."""
    targets: Tensor
    """(N, num_classes) probabilities."""
    start: Tensor
    """What is added to the images before the first step, as the attack's `draw` gives it."""


Fixed = Mapping[str, list[Attacked]]
"""Batches by name: "" for held-out images, "training", and "test" where the held-out ones are training images."""


def fixed_images(recipe: Recipe, run: Run, sources: Sources, world: World) -> Fixed:
    """What the recipe wants attacked in every measurement; nothing where it has no `robust`."""
    if recipe.robust is None:
        return {}
    kinds = {"": sources.held_out, "training": sources.train}
    if "test" in sources.also:
        kinds["test"] = sources.also["test"]
    found = {}
    for name, source in kinds.items():
        rng = np.random.default_rng(derive_seed(recipe.seed, "robust", name))
        chosen = np.sort(rng.permutation(len(source))[: recipe.robust.num_images])
        loader = val_loader(recipe, run, sources, world, source.select(chosen), ("images", "targets", "index"))
        found[name] = [
            Attacked(
                to_device(raw.images, world.device),
                to_device(raw.targets, world.device),
                to_device(starts(recipe.robust.attack, raw.images, raw.index, recipe.seed), world.device),
            )
            for raw in loader
        ]
    return found


def measure_robust(
    model: nn.Module, batches: list[Attacked], attack: PGD, precision: str, world: World, stop: Stop
) -> dict[str, float]:
    """Accuracy (0 to 1) of the images of all processes together: `robust_accuracy` under attack, `accuracy` without.

    `robust_not_finite`, if there are any, is the number of images on which the attack makes a logit nan or infinite;
    they count as wrong.

    Raises:
        Stopped: as `train.loop.held_out.evaluate`.
    """
    sums = torch.zeros(4, dtype=torch.float64, device=world.device)
    with attacked(model, "eval") as network:
        for batch in together(batches, world, stop):

            def logits(images: Tensor, classes: int = batch.targets.shape[1]) -> Tensor:
                with autocast(precision, world.device):
                    return network(images)[:, :classes]

            def loss(images: Tensor, targets: Tensor = batch.targets) -> Tensor:
                return cross_entropy(logits(images), targets)

            adversarial = attack.search(batch.images, loss, start=batch.start)
            with torch.no_grad():
                attacked_logits, clean_logits = logits(adversarial), logits(batch.images)
                hits = [accuracy(found, batch.targets).sum() for found in (attacked_logits, clean_logits)]
                broken = (~is_finite(attacked_logits)).sum().to(hits[0])
            sums += torch.stack([*hits, broken, hits[0].new_tensor(len(batch.targets))])
    robust, clean, not_finite, count = world.sum(sums).tolist()
    found = {"robust_accuracy": robust / count, "accuracy": clean / count}
    return found | ({"robust_not_finite": not_finite} if not_finite else {})
