"""Manifold Mixup: mix the hidden values of a random layer, and the labels with them.

Verma, Lamb, Beckham, Najafi, Mitliagkas, Lopez-Paz and Bengio, "Manifold Mixup: Better Representations by Interpolating
Hidden States", ICML 2019, arXiv:1806.05236.

Settings of the authors' command for PreActResNet18: alpha 2, one lambda and one permutation a batch, at the input or
after the first or second stage, binary cross-entropy of the softmax, batch 100, Nesterov, weight decay 1e-4, 2000
epochs with a tenth of the rate from 500, 1000 and 1500 on. `baseline` is the same without mixing, as theirs is.
"""

from dataclasses import replace

from train.objectives import ManifoldMixup
from train.optim.optimizers import SGD
from train.optim.schedules import Steps
from train.recipe import Claim, Origin
from train.recipes import baseline as plain

recipe = replace(
    plain.recipe,
    paper="1806.05236",
    num_epochs=2000,
    batch_size=100,
    optimizer=SGD(nesterov=True),
    schedule=Steps(at=(500, 1000, 1500)),
    objective=ManifoldMixup(alpha=2.0),
).claiming(
    Claim(
        data="CIFAR-10",
        accuracy=97.05,
        where="CIFAR-10 results, PreActResNet18, best epoch (2.95 % error; the first draft said 2.89)",
    )
)

baseline = replace(recipe, objective=ManifoldMixup(alpha=0.0))

small = replace(plain.small, paper=recipe.paper, objective=ManifoldMixup(alpha=0.2, loss="ce"))

origin = Origin(
    code="vikasverma1077/manifold_mixup at 870ef77, supervised/main.py, utils.py and models/preresnet.py",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "optimizer", "weight_decay", "schedule", "objective"),
    differs=(
        "the network ends in batch norm and ReLU before the pooling, as in the paper on pre-activation networks; "
        "theirs has none there",
        "`small` trains with cross-entropy: so few epochs are too few for the small gradients of the other loss",
    ),
    variants={"baseline": Origin(from_code=("objective",))},
)
