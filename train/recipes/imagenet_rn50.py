"""ResNet-50 on ImageNet in 90 epochs, with a little mixup: a plain run to begin with.

Settings of our own, of what is usual: the rate is 0.1 for every 256 images of a batch, after five epochs of warm-up
(Goyal et al., arXiv:1706.02677), and falls along a cosine; Nesterov; nothing of a norm decays; labels are smoothed by
0.1; mixup with alpha 0.2, one lambda a batch. Nobody's number is to be reached, so there is none to compare with.
`small` has the same settings for a folder of a thousand images, at 48 px, on two CPU cores; `small_plain` does not mix.
"""

from dataclasses import replace

from mixdali import MixUp
from train.optim.optimizers import SGD
from train.optim.schedules import Cosine
from train.recipe import Origin, Recipe

recipe = Recipe(
    paper="",
    data="imagenet",
    model="resnet50",
    num_epochs=90,
    batch_size=1024,
    lr=0.4,
    optimizer=SGD(nesterov=True),
    weight_decay=5e-5,
    decayed="layers",
    schedule=Cosine(warmup=5),
    mix=MixUp(alpha=0.2, per="batch", partner="permutation"),
    smoothing=0.1,
)

small = replace(
    recipe,
    model="preact_resnet18_w16",
    num_epochs=30,
    batch_size=32,
    lr=0.1,
    weight_decay=5e-4,
    size=(48, 48),
    crop_area=(0.25, 1.0),
)

small_plain = replace(small, mix=None)

origin = Origin(
    ours={
        "data": "image files",
        "model": "the usual network",
        "num_epochs": "the usual number",
        "batch_size": "what several devices hold",
        "lr": "0.1 for every 256 images, after a warm-up: Goyal et al., arXiv:1706.02677",
        "optimizer": "the usual one",
        "weight_decay": "usual with a cosine",
        "decayed": "the usual choice",
        "schedule": "five epochs of warm-up, as Goyal et al., and a cosine",
        "mix": "a little mixup, what its paper has for ImageNet",
        "smoothing": "the usual share",
    },
)
