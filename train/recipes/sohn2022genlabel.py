"""GenLabel: mix images, and label the mixture by how likely it is in each class.

Sohn, Shang, Chen, Moon, Papailiopoulos and Lee, "GenLabel: Mixup Relabeling using Generative Models", ICML 2022,
arXiv:2201.02354.

From the authors' code for tables of numbers: lambda from Beta(1, 1), one lambda and one permutation a batch, 20 epochs
of warm-up without mixing, a Gaussian of full covariance (ridge 1e-4) for each class in the space of the classifier's
inputs, weight decay 1e-4. `kernel` has their other density, `two` the two densest classes with the Gaussians of
identity covariance of their code for points in the plane.
"""

from dataclasses import replace

from train.objectives import GenLabel
from train.objectives.parts.densities import Gaussian, Kernel
from train.recipe import Origin
from train.recipes import baseline

objective = GenLabel(alpha=1.0, gamma=0.4)

recipe = replace(baseline.recipe, paper="2201.02354", objective=objective)

kernel = replace(recipe, objective=replace(objective, density=Kernel()))

two = replace(recipe, objective=replace(objective, density=Gaussian(covariance="identity"), classes="two"))

# Small networks on few epochs want a small alpha and a short warm-up.
small = replace(baseline.small, paper=recipe.paper, objective=GenLabel(alpha=0.2, gamma=0.4, warmup=4))

origin = Origin(
    code="UW-Madison-Lee-Lab/GenLabel_official at 5b97d84, for tables of numbers",
    from_code=("weight_decay",),
    ours={
        "data": "CIFAR's pickles: the recipe for images is not public",
        "model": "that of mixup's code",
        "num_epochs": "those of mixup's code",
        "batch_size": "that of mixup's code",
        "lr": "that of mixup's code",
        "schedule": "that of mixup's code",
        "objective": "alpha, warm-up and density are their code's, gamma 0.4 is one of the values that they try: "
        "with a larger one a network that still learns much believes its own densities too early",
    },
    differs=(
        "the whole network goes on learning after the warm-up and the densities are fitted anew every epoch, where "
        "their code fits once and trains a new last layer only: its features would be those of a fifth of the "
        "training",
    ),
    variants={
        "kernel": Origin(from_code=("objective",)),
        "two": Origin(from_code=("objective",)),
    },
)
