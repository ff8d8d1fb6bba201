"""Self-Adaptive Training: targets that follow the network's own predictions, for labels that may be wrong.

Huang, Zhang and Zhang, "Self-Adaptive Training: beyond Empirical Risk Minimization", NeurIPS 2020, arXiv:2002.10319.

`recipe` has the settings of the authors' script: 40 % of CIFAR-10's labels redrawn, of all classes, so that 36 % are
wrong; the test labels are right. `sce` is its symmetric form. The others have the data's own labels: `trades` trains
against attacks; `selective` is selective classification, after which `python -m train.selective` says how often the
network is wrong where it answers; `selfsupervised` learns without labels (arXiv:2101.08732), at settings of our own,
and `two_views` does so from AugMix's two views of each image; `linear` then measures its features, by a linear
classifier on them as they stay:

    python -m train huang2020selfadaptive selfsupervised
    python -m train huang2020selfadaptive linear --weights runs/huang2020selfadaptive-selfsupervised/last.pt

`gaussian`, `random_pixels` and `shuffled_pixels` have right labels and 40 % of the images replaced: by normal numbers,
by their own pixels in an order of their own, and in one order for all.
"""

from dataclasses import replace

from train.attacks.robust import SELECTING
from train.data.labels.noise import LabelNoise
from train.data.labels.pixels import ImageNoise
from train.objectives import (
    LinearEvaluation,
    SelectiveTraining,
    SelfAdaptiveTRADES,
    SelfAdaptiveTraining,
    SelfSupervisedTraining,
)
from train.optim.schedules import Cosine, Steps
from train.recipe import Claim, Origin, Recipe
from train.recipes import baseline

recipe = Recipe(
    paper="2002.10319",
    data="cifar",
    model="cifar_resnet34",
    num_epochs=200,
    batch_size=256,
    lr=0.1,
    weight_decay=5e-4,
    schedule=Cosine(),
    objective=SelfAdaptiveTraining(start=60, momentum=0.9),
    noise=LabelNoise(rate=0.4, to="any"),
).claiming(
    Claim(
        data="CIFAR-10",
        accuracy=92.64,
        where="the authors' README, ResNet-34, 40 % of the labels redrawn",
    )
)

sce = replace(recipe, objective=SelfAdaptiveTraining(start=60, momentum=0.9, reverse=0.3))

# The authors count epochs from 1 and let the rate fall in those with the numbers 75, 90 and 100.
trades = replace(
    recipe,
    model="wide_resnet34_10",
    num_epochs=100,
    batch_size=128,
    weight_decay=2e-4,
    schedule=Steps(at=(74, 89, 99)),
    objective=SelfAdaptiveTRADES(start=69, momentum=0.9, beta=6.0),
    noise=LabelNoise(),
    robust=SELECTING,
)

selective = replace(
    recipe,
    model="preact_resnet18",
    num_epochs=300,
    batch_size=128,
    schedule=Steps(at=tuple(range(25, 300, 25)), factor=0.5),
    objective=SelectiveTraining(start=150, momentum=0.9),
    noise=LabelNoise(),
)

selfsupervised = replace(
    recipe,
    paper="2101.08732",
    model="preact_resnet18",
    objective=SelfSupervisedTraining(momentum=0.7),
    noise=LabelNoise(),
)

two_views = replace(selfsupervised, objective=SelfSupervisedTraining(momentum=0.7, views=2))

linear = replace(selfsupervised, num_epochs=100, weight_decay=0.0, schedule=Cosine(), objective=LinearEvaluation())

gaussian = replace(recipe, noise=LabelNoise(), image_noise=ImageNoise(rate=0.4, to="gaussian"), claim=None)

random_pixels = replace(gaussian, image_noise=ImageNoise(rate=0.4, to="random"))

shuffled_pixels = replace(gaussian, image_noise=ImageNoise(rate=0.4, to="shuffled"))

# The targets begin to move after a quarter of the epochs, as in the authors' script about a third.
small = replace(
    baseline.small, paper=recipe.paper, objective=SelfAdaptiveTraining(start=5, momentum=0.9), noise=recipe.noise
)

small_gaussian = replace(small, noise=LabelNoise(), image_noise=gaussian.image_noise)

small_random_pixels = replace(small_gaussian, image_noise=random_pixels.image_noise)

small_shuffled_pixels = replace(small_gaussian, image_noise=shuffled_pixels.image_noise)

small_trades = replace(
    baseline.small_attacked,
    paper=recipe.paper,
    num_epochs=10,
    objective=SelfAdaptiveTRADES(start=6, momentum=0.9, beta=6.0),
)

small_selective = replace(
    baseline.small, paper=recipe.paper, objective=SelectiveTraining(start=10, momentum=0.9), ema_decay=None
)

small_selfsupervised = replace(
    baseline.small, paper=selfsupervised.paper, lr=0.1, objective=SelfSupervisedTraining(hidden=128, size=64)
)

small_linear = replace(
    baseline.small, paper=selfsupervised.paper, weight_decay=0.0, objective=LinearEvaluation(), ema_decay=None
)

origin = Origin(
    code="LayneH/self-adaptive-training at 2f902b3, main.py and losses/loss.py",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "weight_decay", "schedule", "objective", "noise"),
    differs=(
        "their rate is constant within an epoch, ours moves with every step: a cosine of 200 epochs hardly tells",
        "they redraw exactly 40 % of the labels, here each label has that chance: what is drawn for an image does "
        "not depend on the others",
    ),
    variants={
        "sce": Origin(from_code=("objective",)),
        "trades": Origin(
            code="LayneH/self-adaptive-training at 2f902b3, losses/trades.py and run_trades_sat.sh",
            from_code=("model", "num_epochs", "batch_size", "weight_decay", "schedule", "objective", "noise"),
            ours={"robust": "the epoch is chosen by accuracy under attack"},
            differs=("their network sees images as they are, ours has a layer that normalises: one rule for all",),
        ),
        "selective": Origin(
            code="LayneH/SAT-selective-cls at dc55593, loss.py, train.py and run_cifar10.sh",
            from_code=("num_epochs", "batch_size", "schedule", "objective", "noise"),
            ours={
                "model": "theirs is VGG-16 with batch norm, which needs images of 224 pixels where torchvision has it"
            },
        ),
        **{
            name: Origin(
                code="LayneH/self-adaptive-training at 62033bf, datasets/random_noise.py",
                from_code=("image_noise", "noise"),
                differs=("they replace exactly 40 % of the images, here each has that chance",),
            )
            for name in ("gaussian", "random_pixels", "shuffled_pixels")
        },
        "linear": Origin(
            ours={
                "model": "as in `selfsupervised`",
                "num_epochs": "as long as is usual for a linear evaluation",
                "weight_decay": "usual for a linear evaluation",
                "objective": "the last layer alone, on features of the network in evaluation mode",
                "noise": "the data's own labels",
            }
        ),
        "selfsupervised": Origin(
            ours={
                "model": "a smaller network",
                "objective": "momentum 0.7 is the paper's (arXiv:2101.08732) from memory; no code is public",
                "noise": "no labels are read",
            }
        ),
        "two_views": Origin(
            ours={
                "model": "as in `selfsupervised`",
                "objective": "as in `selfsupervised`, from AugMix's two views",
                "noise": "no labels are read",
            }
        ),
    },
)
