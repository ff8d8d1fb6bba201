"""ResNet strikes back: ResNet-50 by LAMB, a yes or no for every class, and heavy augmentation.

Wightman, Touvron and Jégou, "ResNet strikes back: An improved training procedure in timm", NeurIPS Workshops 2021,
arXiv:2110.00476.

`recipe` is their procedure A3, `a2` their A2. Of the paper's table: epochs, batch, LAMB and its rate and decay, five
epochs of warm-up and a cosine, RandAugment of magnitude 6 or 7 with a deviation of 0.5, mixup 0.1 or CutMix 1.0 each
half of the time, binary cross-entropy, 160 px to train and 224 to test (A2: 224), a test crop of 0.95, in A2 stochastic
depth of 0.05 and each image of an epoch three times, no smoothing, no average of the weights. Of timm's code: targets
above 0.2 become 1; one lambda a batch, mixed with the batch read backwards; nothing with fewer than two axes decays;
the first rate 1e-4 and the last 1e-6; bicubic resizing; RandAugment's two operations are each applied half of the time.
`small` is A3 for a folder of a thousand images, at 48 px and 64 to test, on two CPU cores: its rate, batch, length and
milder crops are ours.
"""

from dataclasses import replace

from mixdali import Choose, CutMix, MixUp
from pipelines.augment import RandAugment
from train.objectives import BinaryCrossEntropy
from train.optim import LAMB
from train.optim.schedules import EpochCosine
from train.recipe import Claim, Origin, Recipe

recipe = Recipe(
    paper="2110.00476",
    data="imagenet",
    model="resnet50",
    num_epochs=100,
    batch_size=2048,
    lr=8e-3,
    optimizer=LAMB(),
    weight_decay=0.02,
    decayed="matrices",
    schedule=EpochCosine(warmup=5, start=1e-4 / 8e-3, floor=1e-6 / 8e-3),
    mix=Choose(
        (MixUp(alpha=0.1, per="batch", partner="flip"), CutMix(alpha=1.0, per="batch", partner="flip")), per="batch"
    ),
    objective=BinaryCrossEntropy(threshold=0.2),
    size=(160, 160),
    test_size=(224, 224),
    interpolation="bicubic",
    crop_share=0.95,
    auto_augment=RandAugment(magnitude=60, magnitude_std=5, num_magnitude_bins=101, prob=0.5),
).claiming(
    Claim(
        data="ImageNet",
        accuracy=78.1,
        where="the paper's results, procedure A3, ResNet-50 tested at 224 px",
    )
)

a2 = replace(
    recipe,
    model="timm:resnet50(drop_path_rate=0.05)",
    num_epochs=300,
    lr=5e-3,
    schedule=EpochCosine(warmup=5, start=1e-4 / 5e-3, floor=1e-6 / 5e-3),
    size=(224, 224),
    test_size=None,
    repeats=3,
    auto_augment=RandAugment(magnitude=70, magnitude_std=5, num_magnitude_bins=101, prob=0.5),
).claiming(
    Claim(
        data="ImageNet",
        accuracy=79.8,
        where="the paper's results, procedure A2, ResNet-50 at 224 px",
    )
)

small = replace(
    recipe,
    model="preact_resnet18_w16",
    num_epochs=40,
    batch_size=32,
    lr=4e-3,
    schedule=EpochCosine(warmup=3, start=0.1, floor=0.01),
    size=(48, 48),
    test_size=(64, 64),
    crop_area=(0.25, 1.0),
)

origin = Origin(
    code="huggingface/pytorch-image-models, timm 1.0.31: timm/data/mixup.py, timm/data/auto_augment.py, "
    "timm/scheduler/cosine_lr.py and timm/loss/binary_cross_entropy.py",
    from_paper=(
        "data",
        "model",
        "num_epochs",
        "batch_size",
        "lr",
        "optimizer",
        "weight_decay",
        "size",
        "test_size",
        "crop_share",
    ),
    from_code=("decayed", "schedule", "mix", "objective", "interpolation", "auto_augment"),
    differs=(
        "DALI's RandAugment lacks two of timm's operations; timm draws the resizing's filter anew in every image",
        "theirs are four to eight devices, whose batch norms see a part of the batch each; with torchrun ours do too",
    ),
    variants={
        "a2": Origin(
            from_paper=("model", "num_epochs", "lr", "size", "test_size", "repeats", "auto_augment"),
            from_code=("schedule",),
        ),
    },
)
