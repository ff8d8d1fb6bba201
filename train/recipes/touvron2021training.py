"""DeiT: a vision transformer on ImageNet alone, by strong augmentation and regularisation.

Touvron, Cord, Douze, Massa, Sablayrolles and Jégou, "Training data-efficient image transformers & distillation through
attention", ICML 2021, arXiv:2012.12877.

`recipe` is DeiT-S without distillation, with the defaults of the authors' code for a batch of 1024: AdamW at 5e-4 for
every 512 images, decay 0.05 of tensors with two axes and more, five epochs of warm-up from 1e-6 and a cosine to 1e-5 by
epochs, RandAugment of magnitude 9 with a deviation of 0.5, two operations that are each applied half of the time, mixup
0.8 or CutMix 1.0 each half of the time, labels smoothed by 0.1, stochastic depth of 0.1, erasing with 0.25, bicubic
resizing, each image of an epoch three times, an average of the weights that decays by 0.99996.
`small` is a transformer of half a million parameters for a folder of a thousand images, at 48 px and without stochastic
depth, on two CPU cores; its rate, batch, length, average and milder crops are ours. So few images teach a transformer
little.
"""

from dataclasses import replace

from mixdali import Choose, CutMix, MixUp, RandomErasing
from pipelines.augment import RandAugment
from train.optim.optimizers import AdamW
from train.optim.schedules import EpochCosine
from train.recipe import Claim, Origin, Recipe

recipe = Recipe(
    paper="2012.12877",
    data="imagenet",
    model="timm:deit_small_patch16_224(drop_path_rate=0.1)",
    num_epochs=300,
    batch_size=1024,
    lr=1e-3,
    optimizer=AdamW(),
    weight_decay=0.05,
    decayed="matrices",
    schedule=EpochCosine(warmup=5, start=1e-6 / 1e-3, floor=1e-5 / 1e-3),
    mix=Choose(
        (MixUp(alpha=0.8, per="batch", partner="flip"), CutMix(alpha=1.0, per="batch", partner="flip")), per="batch"
    ),
    smoothing=0.1,
    ema_decay=0.99996,
    repeats=3,
    interpolation="bicubic",
    auto_augment=RandAugment(magnitude=90, magnitude_std=5, num_magnitude_bins=101, prob=0.5),
    erasing=RandomErasing(prob=0.25, area=(0.02, 1 / 3), law="log", value="noise"),
).claiming(
    Claim(
        data="ImageNet",
        accuracy=79.8,
        where="the paper's results, DeiT-S at 224 px, without distillation",
    )
)

small = replace(
    recipe,
    model="timm:vit_tiny_patch16_224(img_size=48, patch_size=6, embed_dim=96, depth=5, num_heads=3)",
    num_epochs=40,
    batch_size=32,
    schedule=EpochCosine(warmup=5, start=0.01, floor=0.01),
    size=(48, 48),
    ema_decay=0.99,
    repeats=1,
    crop_area=(0.25, 1.0),
)

origin = Origin(
    code="facebookresearch/deit at 100e3cd, main.py, its defaults",
    from_paper=("data",),
    from_code=(
        "model",
        "num_epochs",
        "batch_size",
        "lr",
        "optimizer",
        "weight_decay",
        "decayed",
        "schedule",
        "mix",
        "smoothing",
        "ema_decay",
        "repeats",
        "interpolation",
        "auto_augment",
        "erasing",
    ),
    differs=(
        "they erase before they mix, and fill with normal noise of normalised images where ours is uniform: images are "
        "in [0, 1] here until the first layer",
        "DALI's RandAugment lacks two of timm's operations",
        "their code keeps the average and reports the network itself, here both are measured",
    ),
)
