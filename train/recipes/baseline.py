"""No mixing: the plain network that the methods are compared with.

The CIFAR settings are those of mixup's code without its mixing, so that only the mixing differs; `imagenet` has the 90
epochs that are usual for ResNet-50.
"""

from dataclasses import replace

from train.attacks.robust import Robust
from train.optim.optimizers import SGD
from train.optim.schedules import OneCycle, Steps
from train.recipe import Origin, Recipe

recipe = Recipe(
    paper="",
    data="cifar",
    model="preact_resnet18",
    num_epochs=200,
    batch_size=128,
    lr=0.1,
    weight_decay=1e-4,
    schedule=Steps(at=(101, 151)),
)

# Label smoothing with the usual share.
smoothed = replace(recipe, smoothing=0.1)

# CIFAR-10 takes about twelve minutes on two CPU cores.
small = replace(
    recipe,
    model="preact_resnet8_w16",
    num_epochs=20,
    lr=0.2,
    optimizer=SGD(nesterov=True),
    weight_decay=5e-4,
    schedule=OneCycle(),
    ema_decay=0.995,
)

small_smoothed = replace(small, smoothing=0.1)

# With accuracy under attack, which is 0 after a while; what adversarial training is compared with.
small_attacked = replace(small, robust=Robust())

imagenet = replace(
    recipe,
    data="imagenet",
    model="resnet50",
    num_epochs=90,
    batch_size=256,
    schedule=Steps(at=(30, 60, 80)),
)

# Image files at 64 px, for two CPU cores.
small_imagenet = replace(
    small,
    data="imagenet",
    model="preact_resnet18_w16",
    num_epochs=30,
    batch_size=64,
    lr=0.1,
    ema_decay=0.98,
    size=(64, 64),
)

origin = Origin(
    from_code=("model", "num_epochs", "batch_size", "lr", "weight_decay", "schedule"),
    code="facebookresearch/mixup-cifar10 at eaff31a, train.py, without its mixing",
    ours={"data": "CIFAR's pickles"},
    variants={
        "smoothed": Origin(ours={"smoothing": "the usual share"}),
        "imagenet": Origin(
            ours={
                "data": "image files",
                "model": "the usual network",
                "num_epochs": "the usual number",
                "batch_size": "the usual one of the rate 0.1",
                "schedule": "drops at the usual epochs of 90",
            }
        ),
    },
)
