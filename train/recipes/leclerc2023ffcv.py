"""FFCV's ResNet-50: 16 to 88 epochs whose images grow on the way.

Leclerc, Ilyas, Engstrom, Park, Salman and Madry, "FFCV: Accelerating Training by Removing Data Bottlenecks", CVPR 2023,
arXiv:2306.12517.

`recipe` is their configuration of 88 epochs, the others are those of their names. Of the authors' files and code: the
rate 1.7 for eight devices of 512 images each, rising in two epochs from a ten thousandth and falling to zero in a line;
SGD without Nesterov; decay 1e-4, none of norms; labels smoothed by 0.1; images of 160 px, growing to 192 between three
quarters of the run and seven eighths, in multiples of 32; 256 px to validate. Nothing is mixed, as in theirs.
`small` is the configuration of 16 epochs for a folder of a thousand images, from 32 to 48 px, on two CPU cores; its
batch, rate, length and network are ours.
"""

from dataclasses import replace

from pipelines.augment import Progressive
from train.optim.schedules import OneCycle
from train.recipe import Claim, Origin, Recipe

recipe = Recipe(
    paper="2306.12517",
    data="imagenet",
    model="resnet50",
    num_epochs=88,
    batch_size=4096,
    lr=1.7,
    weight_decay=1e-4,
    decayed="layers",
    schedule=OneCycle(warmup=2 / 88, start=1e-4),
    smoothing=0.1,
    progressive=Progressive(sides=((65, 160), (76, 192))),
    test_size=(256, 256),
).claiming(
    Claim(
        data="ImageNet",
        accuracy=78.4,
        where="the authors' README, ResNet-50, 88 epochs, with blurred strides and the mean of two mirror images",
    )
)

epochs56 = replace(
    recipe,
    num_epochs=56,
    schedule=OneCycle(warmup=2 / 56, start=1e-4),
    progressive=Progressive(sides=((41, 160), (48, 192))),
)

epochs40 = replace(
    epochs56,
    num_epochs=40,
    schedule=OneCycle(warmup=2 / 40, start=1e-4),
    progressive=Progressive(sides=((29, 160), (34, 192))),
)

epochs16 = replace(
    epochs56,
    num_epochs=16,
    schedule=OneCycle(warmup=2 / 16, start=1e-4),
    progressive=Progressive(sides=((11, 160), (13, 192))),
)

small = replace(
    epochs16,
    model="preact_resnet18_w16",
    num_epochs=24,
    batch_size=32,
    lr=0.15,
    weight_decay=5e-4,
    schedule=OneCycle(warmup=1 / 8, start=0.1),
    progressive=Progressive(sides=((16, 32), (20, 48)), multiple=8),
    test_size=(56, 56),
    crop_area=(0.25, 1.0),
)

origin = Origin(
    code="libffcv/ffcv-imagenet at e97289f, train_imagenet.py and rn50_configs",
    from_code=(
        "data",
        "model",
        "num_epochs",
        "batch_size",
        "lr",
        "weight_decay",
        "decayed",
        "schedule",
        "smoothing",
        "progressive",
        "test_size",
    ),
    differs=(
        "their strided convolutions blur first; they validate an image and its mirror image, ours the image alone",
        "what does not decay is told by its name there, which spares the norms of blocks and not those of shortcuts "
        "(downsample.1); here no norm decays",
        "their images were stored at 500 px and half of them as pixels; here all are the files themselves",
    ),
    variants={
        "epochs56": Origin(from_code=("num_epochs", "schedule", "progressive")),
        "epochs40": Origin(from_code=("num_epochs", "schedule", "progressive")),
        "epochs16": Origin(from_code=("num_epochs", "schedule", "progressive")),
    },
)
