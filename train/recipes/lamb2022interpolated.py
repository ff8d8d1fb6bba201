"""Interpolated Adversarial Training: mixup of the clean images, and mixup of the adversarial ones.

Lamb, Verma, Kawaguchi, Matyasko, Khosla, Kannala and Bengio, "Interpolated Adversarial Training: Achieving robust
neural networks without sacrificing too much accuracy", Neural Networks 2022, arXiv:1906.06784.

The algorithm is the paper's: attack the images, then mix each half with draws of its own. No code of the authors is
public; the settings are those of a reimplementation (ndb796/Pytorch-Adversarial-Training-CIFAR): radius 0.0314, 7 steps
of 0.00784 in training mode, alpha 1, one lambda and one permutation for each half of a batch, a tenth of the rate from
epochs 100 and 150 on.
"""

from dataclasses import replace

from mixdali import MixUp
from train.attacks import PGD
from train.attacks.robust import SELECTING
from train.objectives import InterpolatedAdversarialTraining
from train.optim.schedules import Steps
from train.recipe import Claim, Origin, Recipe
from train.recipes import baseline

recipe = Recipe(
    paper="1906.06784",
    data="cifar",
    model="preact_resnet18",
    num_epochs=200,
    batch_size=128,
    lr=0.1,
    weight_decay=2e-4,
    schedule=Steps(at=(100, 150)),
    objective=InterpolatedAdversarialTraining(
        attack=PGD(eps=0.0314, step_size=0.00784, num_steps=7),
        batch_norm="train",
        mix=MixUp(alpha=1.0, per="batch", partner="permutation"),
    ),
    robust=SELECTING,
).claiming(
    Claim(
        data="CIFAR-10",
        accuracy=89.88,
        where="PreActResNet-18, as that reimplementation quotes the paper; 44.57 % under PGD",
    )
)

# The same attack as madry2018towards small has. Small networks on few epochs want a small alpha.
small = replace(
    baseline.small_attacked,
    paper=recipe.paper,
    weight_decay=2e-4,
    objective=InterpolatedAdversarialTraining(
        attack=PGD(eps=8 / 255, step_size=2 / 255, num_steps=10),
        mix=MixUp(alpha=0.2, per="batch", partner="permutation"),
    ),
)

origin = Origin(
    code="none of the authors; ndb796/Pytorch-Adversarial-Training-CIFAR at e0a5218, a reimplementation",
    from_paper=("data", "model"),
    from_code=("num_epochs", "batch_size", "lr", "weight_decay", "schedule", "objective"),
    ours={"robust": "the epoch is chosen by accuracy under attack"},
    differs=("the start of the attack is cut to [0, 1], theirs is not: no image leaves the range",),
)
