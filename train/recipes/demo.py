"""A first look: the embedded digits, mixed by mixup and CutMix, learned in a minute or two on two CPU cores.

Settings of our own, for a small network and few epochs. Without crop and flip: a mirrored digit is no digit.
"""

from mixdali import Choose, CutMix, MixUp
from train.optim.optimizers import SGD
from train.optim.schedules import OneCycle
from train.recipe import Origin, Recipe

recipe = Recipe(
    paper="",
    data="cifar",
    model="preact_resnet8_w16",
    num_epochs=12,
    batch_size=64,
    lr=0.2,
    optimizer=SGD(nesterov=True),
    weight_decay=5e-4,
    schedule=OneCycle(),
    mix=Choose((MixUp(alpha=0.2), CutMix(alpha=1.0)), (0.5, 0.5), prob=0.7),
    ema_decay=0.99,
    augment=False,
)

origin = Origin(
    ours=dict.fromkeys(
        (
            "data",
            "model",
            "num_epochs",
            "batch_size",
            "lr",
            "optimizer",
            "weight_decay",
            "schedule",
            "mix",
            "ema_decay",
            "augment",
        ),
        "a minute or two on two CPU cores",
    )
)
