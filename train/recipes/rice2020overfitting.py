"""Adversarial training for long enough to overfit, and what lessens it.

Rice, Wong and Kolter, "Overfitting in adversarially robust deep learning", ICML 2020, arXiv:2002.11569.

Settings of the authors' code: 8 / 255 in Linf, 10 steps of 2 / 255 in training mode, PreActResNet-18, 200 epochs, a
tenth of the rate from half and from three quarters of them on. The running averages of batch norm move as there: with
each step of the attack, once more with its result, and with the clean images after the optimiser's step.
`validation` holds out a fiftieth of the training images, 1,000 of CIFAR-10's, to tell the best epoch by; `l2` is
128 / 255 in L2 with steps of 15 / 255; `mixup` (alpha 1.4) attacks the mixed images with their mixed targets; `cutout`
covers a square of 14 pixels, wholly inside the image.
Differs: the best epoch is that with the highest accuracy under PGD-10 on 1,000 held-out images, theirs, but for
`validation`, on all of them; images are padded with black, not with their mirror image; the rate falls one step later;
each crop and flip is drawn as it is needed, not for an epoch at once.
"""

from dataclasses import replace

from mixdali import MixUp, RandomErasing
from train.attacks import PGD
from train.attacks.robust import SELECTING, WITHIN_8, Robust
from train.objectives import LoggedAdversarialTraining
from train.optim.schedules import Steps
from train.recipe import Claim, Recipe
from train.recipes import baseline

# The share of an image of 32 x 32 pixels that a square of 14 x 14 covers.
SQUARE = (14 / 32) ** 2

objective = LoggedAdversarialTraining(attack=WITHIN_8)

recipe = Recipe(
    paper="2002.11569",
    data="cifar",
    model="preact_resnet18",
    num_epochs=200,
    batch_size=128,
    lr=0.1,
    weight_decay=5e-4,
    schedule=Steps(at=(100, 150)),
    objective=objective,
    robust=SELECTING,
).claiming(
    Claim(
        data="CIFAR-10",
        accuracy=82.92,
        where="the authors' log, clean images in the best epoch; under PGD-10 53.49 % there, 45.59 % after the last",
    )
)

validation = replace(recipe, validation=0.02)

within_l2 = PGD(norm="L2", eps=128 / 255, step_size=15 / 255, num_steps=10)

l2 = replace(
    recipe,
    objective=replace(objective, attack=within_l2),
    robust=Robust(attack=within_l2, num_images=1000),
)

mixup = replace(
    recipe,
    mix=MixUp(alpha=1.4, per="batch", partner="permutation"),
    objective=replace(objective, attack_passes=2),
)

cutout = replace(recipe, mix=RandomErasing(prob=1.0, area=(SQUARE, SQUARE), aspect=(1.0, 1.0)))

small = replace(baseline.small_attacked, paper=recipe.paper, objective=objective)

# A network that is wide enough to learn 300 images by heart under attack, as it always sees them alike; for use with
# --num_images 300.
small_overfit = replace(
    small,
    model="preact_resnet8_w32",
    num_epochs=100,
    batch_size=32,
    lr=0.1,
    schedule=Steps(at=(50, 75)),
    augment=False,
)
