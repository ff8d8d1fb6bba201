"""Generalised cross-entropy: a loss between cross-entropy and absolute error, for labels that may be wrong.

Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels", NeurIPS 2018,
arXiv:1805.07836.

q of 0.7, the paper's, with 40 % of CIFAR-10's labels redrawn, of all classes. The training is that of a PyTorch
version of the paper's truncated loss, whose truncation is not here.
"""

from dataclasses import replace

from train.data.labels.noise import LabelNoise
from train.objectives import GeneralizedCrossEntropy
from train.optim.schedules import Steps
from train.recipe import Origin, Recipe
from train.recipes import baseline

recipe = Recipe(
    paper="1805.07836",
    data="cifar",
    model="cifar_resnet34",
    num_epochs=120,
    batch_size=128,
    lr=0.01,
    weight_decay=1e-4,
    schedule=Steps(at=(40, 80)),
    objective=GeneralizedCrossEntropy(q=0.7),
    noise=LabelNoise(rate=0.4, to="any"),
)

small = replace(baseline.small, paper=recipe.paper, objective=recipe.objective, noise=recipe.noise)

origin = Origin(
    code="AlanChou/Truncated-Loss at 93a2464, main.py, not by the authors, whose own is not public",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "weight_decay", "objective"),
    ours={
        "schedule": "a tenth of the rate from epochs 40 and 80 on, the paper's from memory; the code asks its command "
        "line",
        "noise": "40 % redrawn, so that the methods against wrong labels are compared at one rate",
    },
    differs=("the truncation, which leaves out from epoch 40 on what the network is least sure of, is not here",),
)
