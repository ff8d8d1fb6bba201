"""AugRmixAT: clean, augmented and adversarial views of each image, each mixed by a method chosen at random.

Liu, Shen, Zhao and Nie, "AugRmixAT: A Data Processing and Training Method for Improving Multiple Robustness and
Generalization Performance", ICME 2022, arXiv:2207.10290.

The parts are the paper's: AugMix, an adversarial perturbation, and RandomMix (Liu, Shen, Zhao and Nie,
arXiv:2205.08728: MixUp, CutMix, FMix or ResizeMix, each as likely) of each view. No code is public, so how they are put
together (see `AugRmixAT`) and all numbers are ours: the attack of madry2018towards in evaluation mode, equal weights,
and network, batch, rate and epochs of adversarial training. So there is no number of the paper to compare with.
"""

from dataclasses import replace

from train.attacks import PGD
from train.attacks.robust import SELECTING
from train.objectives import AugRmixAT
from train.optim.schedules import Steps
from train.recipe import Recipe
from train.recipes import baseline

objective = AugRmixAT(attack=PGD(eps=8 / 255, step_size=2 / 255, num_steps=7))

recipe = Recipe(
    paper="2207.10290",
    data="cifar",
    model="preact_resnet18",
    num_epochs=200,
    batch_size=128,
    lr=0.1,
    weight_decay=5e-4,
    schedule=Steps(at=(100, 150)),
    objective=objective,
    robust=SELECTING,
)

small = replace(baseline.small_attacked, paper=recipe.paper, objective=objective)
