"""Robust vision transformers: adversarial training without the heavy augmentation that they are trained with otherwise.

Debenedetti, Sehwag and Mittal, "A Light Recipe to Train Robust Vision Transformers", SaTML 2023, arXiv:2209.07399.

`recipe` is the authors' training of XCiT-S12 on ImageNet: 4 / 255 in Linf with one step of 1.5 times that, the radius
growing over 10 epochs and the step as it is; AdamW at 5e-4 with a weight decay of 0.5, 10 epochs of warm-up from 1e-6,
a cosine to 1e-5 over 100 epochs and 10 epochs there; stochastic depth of 0.05, labels smoothed by 0.1 for the loss
and not for the attack, random crop and flip, colours jittered by 0.4, no mixing. `eps8` is within 8 / 255, with two
steps. `cifar` has the settings of their fine-tuning on CIFAR-10: TRADES with beta 6 and 10 steps within 8 / 255,
patches of 4 x 4 pixels, 20 epochs and 2 at the final rate. Theirs starts from the network of `eps8`, as
`--weights runs/debenedetti2023light-eps8/last.pt` does; the recipe alone starts anew, so there is no number of the
paper to compare with. `heavy` is what the paper argues against, the same attack within the augmentation that vision
transformers are usually trained with: RandAugment, mixup 0.8 or CutMix, erasing with 0.25, a decay of 0.05. Tensors
with fewer than two axes do not decay, as in timm, which has to be installed.
"""

from dataclasses import replace

from mixdali import RandomErasing
from train.attacks import PGD
from train.attacks.robust import SELECTING, Robust
from train.objectives import LightTRADES, LightTraining
from train.optim.optimizers import AdamW
from train.optim.schedules import EpochCosine
from train.recipe import Claim, Origin, Recipe
from train.recipes import touvron2021training

recipe = Recipe(
    paper="2209.07399",
    data="imagenet",
    model="timm:xcit_small_12_p16_224(drop_path_rate=0.05)",
    num_epochs=110,
    batch_size=512,
    lr=5e-4,
    optimizer=AdamW(),
    weight_decay=0.5,
    decayed="matrices",
    schedule=EpochCosine(warmup=10, start=1e-6 / 5e-4, floor=1e-5 / 5e-4, cooldown=10),
    objective=LightTraining(attack=PGD(eps=4 / 255, step_size=1.5 * 4 / 255, num_steps=1), warmup=10),
    smoothing=0.1,
    interpolation="bicubic",
    color_jitter=0.4,
    robust=Robust(attack=PGD(eps=4 / 255, step_size=1 / 255, num_steps=10), num_images=1000),
).claiming(
    Claim(
        data="ImageNet",
        accuracy=72.34,
        where="the authors' README, XCiT-S12; 41.78 % under AutoAttack within 4 / 255",
    )
)

eps8 = replace(
    recipe,
    objective=LightTraining(attack=PGD(eps=8 / 255, step_size=1.5 * 8 / 255 / 2, num_steps=2), warmup=10),
    robust=SELECTING,
).claiming(
    Claim(
        data="ImageNet",
        accuracy=63.46,
        where="the authors' README, XCiT-S12; 25.00 % under AutoAttack within 8 / 255",
    )
)

# 2e-4 for batches of 512, scaled by the root of the batch.
CIFAR_RATE = 2e-4 * (128 / 512) ** 0.5

cifar = replace(
    recipe,
    data="cifar",
    model="timm:xcit_small_12_p16_224(img_size=32, patch_size=4, drop_path_rate=0.05)",
    num_epochs=22,
    batch_size=128,
    lr=CIFAR_RATE,
    schedule=EpochCosine(warmup=5, start=1e-6 / CIFAR_RATE, floor=5e-6 / CIFAR_RATE, cooldown=2),
    objective=LightTRADES(beta=6.0, attack=PGD(eps=8 / 255, step_size=1.5 * 8 / 255 / 10, num_steps=10)),
    smoothing=0.0,
    interpolation="bilinear",
    color_jitter=0.25,
    robust=SELECTING,
)

heavy = replace(
    recipe,
    weight_decay=0.05,
    mix=touvron2021training.recipe.mix,
    auto_augment=touvron2021training.recipe.auto_augment,
    erasing=RandomErasing(prob=0.25, area=(0.02, 1 / 3), law="log", value="noise"),
    claim=None,
)

# A transformer of 140,000 parameters, for two CPU cores; with --num_images 10000 it is enough to see what it does.
small = replace(
    cifar,
    model="timm:vit_tiny_patch16_224(img_size=32, patch_size=4, embed_dim=64, depth=4, num_heads=4, mlp_ratio=2)",
    num_epochs=20,
    lr=1e-3,
    weight_decay=0.05,
    schedule=EpochCosine(warmup=2, start=0.1, floor=0.01),
    objective=LightTraining(attack=PGD(eps=8 / 255, step_size=1.5 * 8 / 255 / 2, num_steps=2), warmup=5),
    smoothing=0.1,
    ema_decay=0.995,
    robust=Robust(num_images=100),
)

small_heavy = replace(small, mix=heavy.mix, auto_augment=heavy.auto_augment, erasing=heavy.erasing)

origin = Origin(
    code="dedeswim/vits-robustness-torch at 2f5a214, configs/xcit-adv-training.yaml and src/attacks.py",
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
        "objective",
        "smoothing",
        "interpolation",
        "color_jitter",
    ),
    ours={"robust": "PGD-10 with steps of a quarter of the radius, on 1,000 held-out images"},
    differs=(
        "contrast is jittered around the middle grey, theirs around the image's mean: DALI's operator is so",
        "images pass a layer that normalises, which theirs do not on ImageNet: one rule for all, radii stay in pixels",
        "they train on eight devices in batches of 64 each, whose batch norms see 64 images; with torchrun ours do too",
    ),
    variants={
        "heavy": Origin(
            code="dedeswim/vits-robustness-torch at 4f055f4, sweeps/data-augmentation-adv.yaml",
            from_code=("mix", "auto_augment", "erasing"),
            ours={"weight_decay": "that of the usual training; that the paper's has it is from memory"},
            differs=(
                "theirs erases before it mixes, and fills with normal noise; DALI's RandAugment lacks two of timm's "
                "operations: as in touvron2021training",
            ),
        ),
        "eps8": Origin(from_code=("objective",), ours={"robust": "the same within 8 / 255, steps of 2 / 255"}),
        "cifar": Origin(
            code="dedeswim/vits-robustness-torch at 2f5a214, configs/xcit-adv-finetuning.yaml",
            from_code=(
                "data",
                "model",
                "num_epochs",
                "batch_size",
                "lr",
                "schedule",
                "objective",
                "smoothing",
                "interpolation",
                "color_jitter",
            ),
            ours={"robust": "PGD-10 within 8 / 255, on 1,000 held-out images"},
            differs=(
                "theirs begins from the network of `eps8`, as `--weights` does; the recipe alone begins anew, so no "
                "number of the paper is shown",
                "images are not rotated by small angles, theirs are: no pipeline of ours rotates",
            ),
        ),
    },
)
