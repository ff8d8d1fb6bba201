"""Neighbor Consistency Regularization: images that look alike to the network should get like predictions.

Iscen, Valmadre, Arnab and Schmid, "Learning with Neighbor Consistency for Noisy Labels", CVPR 2022, arXiv:2202.02200.

`recipe` has the settings of the authors' configurations for mini-ImageNet-Red with up to 20 % of wrong labels; the
data are a folder whose labels are wrong by themselves, or `--labels` and `--noise.rate` make them so. `mixup` is their
variant with mixup. At 40 % of wrong labels they take `--objective.num_neighbors 100`, at 80 % 5.
`cifar` has the same settings on CIFAR-10, for 100 neighbours of 128 images, at 40 % of labels redrawn.
"""

from dataclasses import replace

from mixdali import MixUp
from train.data.labels.noise import LabelNoise
from train.objectives import NeighborConsistency
from train.optim.schedules import Cosine
from train.recipe import Origin, Recipe
from train.recipes import baseline

recipe = Recipe(
    paper="2202.02200",
    data="imagenet",
    model="resnet18",
    num_epochs=130,
    batch_size=128,
    lr=0.1,
    weight_decay=5e-4,
    schedule=Cosine(warmup=5),
    objective=NeighborConsistency(start=10, num_neighbors=10),
)

mixup = replace(recipe, mix=MixUp(alpha=0.5, partner="flip"))

cifar = replace(
    recipe,
    data="cifar",
    model="preact_resnet18",
    objective=NeighborConsistency(start=10, num_neighbors=100),
    noise=LabelNoise(rate=0.4, to="any"),
)

small = replace(
    baseline.small,
    paper=recipe.paper,
    objective=NeighborConsistency(start=2, num_neighbors=100),
    noise=cifar.noise,
)

small_imagenet = replace(
    baseline.small_imagenet, paper=recipe.paper, objective=NeighborConsistency(start=3, num_neighbors=10)
)

origin = Origin(
    code="google-research/scenic at 4a38d47, scenic/projects/ncr, the configurations for mini-ImageNet-Red",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "weight_decay", "schedule", "objective"),
    differs=(
        "where features point away from all others their code gives nan, ours a weight of 0",
        "their code normalises to [-1, 1], ours by the mean and deviation of ImageNet",
    ),
    variants={
        "mixup": Origin(
            from_code=("mix",),
            differs=(
                "the authors give each image's own share at least one half; here it is any: as in mixup's own paper",
            ),
        ),
        "cifar": Origin(
            from_paper=("data",),
            ours={
                "model": "usual for CIFAR",
                "objective": "100 neighbours of 128 images, what the authors take at 40 % of wrong labels",
                "noise": "40 % of the labels redrawn",
            },
        ),
    },
)
