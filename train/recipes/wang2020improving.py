"""MART: adversarial training that looks harder at images the network is unsure of.

Wang, Zou, Yi, Bailey, Ma and Gu, "Improving Adversarial Robustness Requires Revisiting Misclassified Examples", ICLR
2020.

Settings of the authors' script for ResNet-18: beta 5, radius 0.031, 10 steps of 0.007 from a Gaussian start a
thousandth wide, in evaluation mode; rate 0.01, weight decay 3.5e-3, a tenth, a hundredth and a thousandth of the rate
in the epochs from 75, 90 and 100 on, counted from 1.
"""

from dataclasses import replace

from train.attacks import PGD
from train.attacks.robust import SELECTING
from train.objectives import MART
from train.optim.schedules import Steps
from train.recipe import Origin, Recipe
from train.recipes import baseline

objective = MART(beta=5.0, attack=PGD(eps=0.031, step_size=0.007, num_steps=10, start="gaussian", project_start=False))

recipe = Recipe(
    paper="",
    data="cifar",
    model="preact_resnet18",
    num_epochs=120,
    batch_size=128,
    lr=0.01,
    weight_decay=3.5e-3,
    schedule=Steps(at=(74, 89, 99)),
    objective=objective,
    robust=SELECTING,
)

small = replace(baseline.small_attacked, lr=0.05, objective=objective)

origin = Origin(
    code="YisenWang/MART at 2d83e17, train_resnet.py and mart.py",
    from_paper=("data",),
    from_code=("num_epochs", "batch_size", "lr", "weight_decay", "schedule", "objective"),
    ours={
        "model": "theirs is a ResNet-18 whose activations come after the convolutions; `--model cifar_resnet18` is "
        "that",
        "robust": "the epoch is chosen by accuracy under attack, as theirs is by PGD-20",
    },
    differs=(
        "their network sees images as they are, ours has a layer that normalises: one rule for all, radii stay in "
        "pixels",
    ),
)
