"""Adversarial training: train on the images that projected gradient ascent finds.

Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018,
arXiv:1706.06083.

The paper's attack on CIFAR-10: 8 / 255 in Linf, 7 steps of 2 / 255 from a random start. The rest is that of the
authors' code: 80,000 steps, a tenth of the rate from 40,000 and 60,000 on; its batch norms are in training mode
during the attack, which moves their averages; only weights of convolutions and linear layers decay.
"""

from dataclasses import replace

from train.attacks import PGD
from train.attacks.robust import SELECTING
from train.objectives import AdversarialTraining
from train.optim.schedules import Steps
from train.recipe import Origin, Recipe
from train.recipes import baseline

recipe = Recipe(
    paper="1706.06083",
    data="cifar",
    model="preact_resnet18",
    num_epochs=205,
    batch_size=128,
    lr=0.1,
    weight_decay=2e-4,
    decayed="matrices",
    schedule=Steps(at=(102, 154)),
    objective=AdversarialTraining(attack=PGD(eps=8 / 255, step_size=2 / 255, num_steps=7), batch_norm="train"),
    robust=SELECTING,
)

# An epoch costs as much as eight plain ones; with --num_images 10000 it is enough to see what it does.
small = replace(
    baseline.small_attacked,
    paper=recipe.paper,
    weight_decay=2e-4,
    objective=AdversarialTraining(attack=PGD(eps=8 / 255, step_size=2 / 255, num_steps=10)),
)

origin = Origin(
    code="MadryLab/cifar10_challenge at 754ad15, config.json, train.py and model.py",
    from_paper=("data", "objective"),
    from_code=("num_epochs", "batch_size", "lr", "weight_decay", "decayed", "schedule"),
    ours={
        "model": "theirs is a wide ResNet, ten times as dear; so there is no number of the paper to compare with",
        "robust": "the epoch is chosen by accuracy under attack; theirs is the last",
    },
    differs=(
        "their code standardises each image by its own mean and deviation, ours normalises by those of the data: a "
        "layer that depends on the image would change what a radius means",
        "their code pads images by 2 pixels a side before the crop, ours by 4: one rule for all recipes on CIFAR",
        "their network has leaky ReLUs (0.1) and shortcuts without parameters, ours neither: it is another network",
    ),
)
