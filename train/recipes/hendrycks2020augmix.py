"""AugMix: chains of simple operations mixed at random, and a network that predicts an image and such views alike.

Hendrycks, Mu, Cubuk, Zoph, Gilmer and Lakshminarayanan, "AugMix: A Simple Data Processing Method to Improve Robustness
and Uncertainty", ICLR 2020, arXiv:1912.02781.

Settings of the authors' code for CIFAR-10: 100 epochs of a cosine from 0.1 in batches of 128, Nesterov, weight decay
5e-4, twelve times the Jensen-Shannon divergence of the three predictions. The network is WRN-40-2.
"""

from dataclasses import replace

from train.objectives import AugMixTraining
from train.optim.optimizers import SGD
from train.optim.schedules import Cosine
from train.recipe import Origin, Recipe
from train.recipes import baseline

recipe = Recipe(
    paper="1912.02781",
    data="cifar",
    model="wide_resnet40_2",
    num_epochs=100,
    batch_size=128,
    lr=0.1,
    optimizer=SGD(nesterov=True),
    weight_decay=5e-4,
    schedule=Cosine(),
    objective=AugMixTraining(consistency=12.0),
)

small = replace(baseline.small, paper=recipe.paper, objective=recipe.objective)

origin = Origin(
    code="google-research/augmix at 9b9824c, cifar.py",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "optimizer", "weight_decay", "schedule", "objective"),
    differs=("theirs normalises with 0.5 and 0.5, ours with the data's own mean and deviation: one rule for all",),
)
