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
from train.recipe import Origin, Recipe
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

origin = Origin(
    from_paper=("data",),
    ours={
        "model": "usual for adversarial training",
        "num_epochs": "usual for adversarial training",
        "batch_size": "usual for adversarial training",
        "lr": "usual for adversarial training",
        "weight_decay": "usual for adversarial training",
        "schedule": "usual for adversarial training",
        "objective": "the parts are the paper's, AugMix, an adversarial perturbation, RandomMix of each view; how "
        "they are put together, the attack and the equal weights are ours",
        "robust": "the epoch is chosen by accuracy under attack",
    },
    differs=("no code is public, and the paper's numbers are not known here: there is none to compare with",),
)
