"""Early-learning regularisation: agree with what the network said of an image before it learned labels by heart.

Liu, Niles-Weed, Razavian and Fernandez-Granda, "Early-Learning Regularization Prevents Memorization of Noisy Labels",
NeurIPS 2020, arXiv:2007.00151.

The settings of the authors' configuration for CIFAR-10, momentum 0.7 and strength 3, with 40 % of the labels redrawn,
of all classes. Theirs takes a cosine of ten epochs fifteen times, ours one over the whole run.
"""

from dataclasses import replace

from train.data.labels.noise import LabelNoise
from train.objectives import EarlyLearning
from train.optim.schedules import Cosine
from train.recipe import Origin, Recipe
from train.recipes import baseline

recipe = Recipe(
    paper="2007.00151",
    data="cifar",
    model="cifar_resnet34",
    num_epochs=150,
    batch_size=128,
    lr=0.02,
    weight_decay=1e-3,
    schedule=Cosine(floor=0.001 / 0.02),
    objective=EarlyLearning(momentum=0.7, strength=3.0),
    noise=LabelNoise(rate=0.4, to="any"),
)

small = replace(baseline.small, paper=recipe.paper, objective=recipe.objective, noise=recipe.noise)

origin = Origin(
    code="shengliu66/ELR at 2f4cd32, ELR/config_cifar10.json and ELR/model/loss.py",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "weight_decay", "objective"),
    ours={
        "schedule": "one cosine down to their lowest rate; theirs begins anew every ten epochs",
        "noise": "40 % redrawn, so that the methods against wrong labels are compared at one rate; theirs has 80 %",
    },
)
