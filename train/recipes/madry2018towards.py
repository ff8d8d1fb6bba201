"""Adversarial training: train on the images that projected gradient ascent finds.

Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018,
arXiv:1706.06083.

The paper's attack on CIFAR-10: 8 / 255 in Linf, 7 steps of 2 / 255 from a random start. The rest is that of the
authors' code: 80,000 steps, a tenth of the rate from 40,000 and 60,000 on; its batch norms are in training mode
during the attack, which moves their averages; only weights of convolutions and linear layers decay.
Differs: their network is a wide ResNet, ours the pre-activation ResNet-18, so there is no number of the paper to
compare with.
"""

from dataclasses import replace

from train.attacks import PGD
from train.attacks.robust import SELECTING
from train.objectives import AdversarialTraining
from train.optim.schedules import Steps
from train.recipe import Recipe
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
