"""CutMix: paste a box of one image into another, and mix the labels by the area.

Yun, Han, Oh, Chun, Choe and Yoo, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
Features", ICCV 2019, arXiv:1905.04899.

Settings of the authors' commands: alpha (their beta) 1, one box and one permutation a batch; on CIFAR half of the
batches are mixed, batch 64, rate 0.25, a tenth of it from half and again from three quarters of 300 epochs, Nesterov;
on ImageNet every batch is mixed, the rate falls every 75 epochs, and colours are jittered and lit.
"""

from dataclasses import replace

from mixdali import CutMix
from train.optim.optimizers import SGD
from train.optim.schedules import Steps
from train.recipe import Claim, Origin
from train.recipes import baseline

recipe = replace(
    baseline.recipe,
    paper="1905.04899",
    num_epochs=300,
    batch_size=64,
    lr=0.25,
    optimizer=SGD(nesterov=True),
    schedule=Steps(at=(150, 225)),
    model="pyramidnet200(alpha=240)",
    mix=CutMix(alpha=1.0, prob=0.5, per="batch", partner="permutation"),
).claiming(
    Claim(
        data="CIFAR-100",
        accuracy=85.77,
        baseline=83.55,
        where="the authors' README, PyramidNet-200 with alpha 240, best epoch (14.23 % error)",
    )
)

small = replace(baseline.small, paper=recipe.paper, mix=recipe.mix)

imagenet = replace(
    baseline.imagenet,
    paper=recipe.paper,
    num_epochs=300,
    optimizer=SGD(nesterov=True),
    schedule=Steps(at=(75, 150, 225)),
    color_jitter=0.4,
    lighting=0.1,
    mix=CutMix(alpha=1.0, per="batch", partner="permutation"),
).claiming(
    Claim(
        data="ImageNet",
        accuracy=78.6,
        baseline=76.32,
        where="ImageNet results, ResNet-50, best epoch (21.40 % error)",
    )
)

small_imagenet = replace(baseline.small_imagenet, paper=recipe.paper, mix=recipe.mix)

origin = Origin(
    code="clovaai/CutMix-PyTorch at 2d8eb68, train.py, utils.py and pyramidnet.py",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "optimizer", "weight_decay", "schedule", "mix"),
    differs=(
        "`lam` is measured from the box in all its uses, as their code does since July 2019; their tables may be older",
    ),
    variants={
        "imagenet": Origin(
            from_code=("data", "model", "batch_size", "lr", "schedule", "mix", "color_jitter", "lighting"),
            differs=(
                "contrast is jittered around the middle grey, theirs around the image's mean, and the three jitters "
                "come in one order, theirs in a random one",
                "after the lighting noise levels are rounded and stay in 0 to 255, theirs may leave that range",
            ),
        ),
    },
)
