"""Adversarial Weight Perturbation: adversarial training at weights that were moved to where the loss is larger.

Wu, Xia and Wang, "Adversarial Weight Perturbation Helps Robust Generalization", NeurIPS 2020, arXiv:2004.05884.

`recipe` is the authors' AT-AWP: the training of rice2020overfitting, gamma 0.01. `l2` is that within 128 / 255 in L2.
`trades` is their TRADES-AWP: gamma 0.005 from epoch 10 on (counted from 1), beta 6, 8 / 255 with 10 steps of 2 / 255
from a Gaussian start in evaluation mode, WRN-34-10, a tenth of the rate in the epochs from 100 and from 150 on.
`mart` perturbs the weights in the training of wang2020improving.
"""

from dataclasses import replace

from train.attacks import PGD
from train.objectives import TRADES, AdversarialTraining, LoggedAdversarialTraining, WeightPerturbation
from train.optim.schedules import Steps
from train.recipe import Origin
from train.recipes import baseline, rice2020overfitting, wang2020improving

recipe = replace(
    rice2020overfitting.recipe,
    paper="2004.05884",
    objective=WeightPerturbation(gamma=0.01, objective=rice2020overfitting.objective),
)

l2 = replace(
    recipe,
    objective=WeightPerturbation(gamma=0.01, objective=LoggedAdversarialTraining(attack=rice2020overfitting.within_l2)),
    robust=rice2020overfitting.l2.robust,
)

trades = replace(
    recipe,
    model="wide_resnet34_10",
    schedule=Steps(at=(99, 149)),
    objective=WeightPerturbation(
        gamma=0.005,
        start=9,
        objective=TRADES(
            beta=6.0,
            attack=PGD(eps=8 / 255, step_size=2 / 255, num_steps=10, start="gaussian", project_start=False),
            adversarial_first=True,
        ),
    ),
)

mart = replace(
    wang2020improving.recipe,
    paper=recipe.paper,
    objective=WeightPerturbation(gamma=0.005, start=9, objective=wang2020improving.objective),
)

small = replace(
    baseline.small_attacked,
    paper=recipe.paper,
    weight_decay=2e-4,
    objective=WeightPerturbation(
        gamma=0.005, objective=AdversarialTraining(attack=PGD(eps=8 / 255, step_size=2 / 255, num_steps=10))
    ),
)

small_mart = replace(
    wang2020improving.small,
    paper=recipe.paper,
    objective=WeightPerturbation(gamma=0.005, objective=wang2020improving.objective),
)

# What it does to robust overfitting, beside rice2020overfitting small_overfit.
small_overfit = replace(rice2020overfitting.small_overfit, paper=recipe.paper, objective=recipe.objective)

origin = Origin(
    code="csdongxian/AWP at a7acf5d, AT_AWP/train_cifar10.py and utils_awp.py",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "weight_decay", "schedule", "objective"),
    ours={"robust": "as in rice2020overfitting, on 1,000 held-out images"},
    differs=(
        "in the first batch after each evaluation their attack is in evaluation mode, ours never: that is a slip of "
        "theirs",
        "as in rice2020overfitting: black padding, the rate one step later, draws as they are needed",
    ),
    variants={
        "l2": Origin(from_code=("objective", "robust")),
        "mart": Origin(
            code="YisenWang/MART at 2d83e17 for the training",
            from_code=("num_epochs", "lr", "weight_decay", "schedule"),
            ours={
                "objective": "the attack and loss of MART's code, and gamma and start of the authors' TRADES-AWP: that "
                "of MART-AWP is not at hand",
            },
        ),
        "trades": Origin(
            code="csdongxian/AWP at a7acf5d, trades_AWP",
            from_code=("model", "schedule", "objective"),
            differs=(
                "their network sees images as they are, ours has a layer that normalises: one rule for all",
                "their code takes the best epoch without an attack, by clean accuracy; ours under attack",
            ),
        ),
    },
)
