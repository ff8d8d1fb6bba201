"""TRADES: cross-entropy of the clean images, and a price for each prediction that an attack moves.

Zhang, Yu, Jiao, Xing, El Ghaoui and Jordan, "Theoretically Principled Trade-off between Robustness and Accuracy", ICML
2019, arXiv:1901.08573.

Settings of the authors' script, which writes the radius as 0.031 (1.2 % less than 8 / 255): beta 6, 10 steps of 0.007
from a Gaussian start a thousandth wide, in evaluation mode; 76 epochs, of which the last two have a tenth of the rate.
`l2` is the same within 128 / 255 in L2, as the code of AWP takes it, with the script's steps for that norm.
The network is WRN-34-10.
"""

from dataclasses import replace

from train.attacks import PGD
from train.attacks.robust import SELECTING, Robust
from train.objectives import TRADES
from train.optim.schedules import Steps
from train.recipe import Origin, Recipe
from train.recipes import baseline

recipe = Recipe(
    paper="1901.08573",
    data="cifar",
    model="wide_resnet34_10",
    num_epochs=76,
    batch_size=128,
    lr=0.1,
    weight_decay=2e-4,
    schedule=Steps(at=(74,)),
    objective=TRADES(
        beta=6.0, attack=PGD(eps=0.031, step_size=0.007, num_steps=10, start="gaussian", project_start=False)
    ),
    robust=SELECTING,
)

l2 = replace(
    recipe,
    objective=TRADES(
        beta=6.0,
        attack=PGD(
            norm="L2",
            eps=128 / 255,
            step_size=2 * (128 / 255) / 10,
            num_steps=10,
            start="gaussian",
            project_start=False,
            box_first=True,
        ),
    ),
    robust=Robust(attack=PGD(norm="L2", eps=128 / 255, step_size=15 / 255, num_steps=10), num_images=1000),
)

small = replace(baseline.small_attacked, paper=recipe.paper, weight_decay=2e-4, objective=recipe.objective)

origin = Origin(
    code="yaodongyu/TRADES at 6e8e11b, train_trades_cifar10.py and trades.py",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "weight_decay", "schedule", "objective"),
    ours={"robust": "the epoch is chosen by accuracy under attack; theirs is the last of 76, which is early by itself"},
    differs=(
        "their network sees images as they are, ours has a layer that normalises: one rule for all, radii stay in "
        "pixels",
        "where a gradient is exactly 0 their L2 step goes somewhere at random, ours nowhere: a step that draws would "
        "not be given by its draws",
    ),
    variants={
        "l2": Origin(
            code="csdongxian/AWP at a7acf5d for the radius, yaodongyu/TRADES at 6e8e11b for the steps",
            from_code=("objective",),
            ours={"robust": "the attack that the training of Rice et al. is measured by in L2"},
        )
    },
)
