"""Adversarial training with generated images in every batch.

Gowal, Rebuffi, Wiles, Stimberg, Calian and Mann, "Improving Robustness using Generated Data", NeurIPS 2021,
arXiv:2110.09468.

Settings of the authors' code: three tenths of a batch are training images, the others generated ones with a label
smoothing of 0.1, training images with none; the step of rebuffi2021data without CutMix, whose attack leads away from
the prediction; 400 epochs, each of as many steps as without generated images, so that a training image is seen in three
of ten. `recipe` reads the 1,000,000 images of a diffusion model that they published, cifar10_ddpm.npz; any .npz with
`image` and `label`, a folder or a generator's last.pt goes by `--streams.0.root`. `gaussian` draws from a Gaussian
fitted to each class, the simplest source of the paper. `cutmix` cuts training images and generated ones into each
other; `resnet18` has the smaller network of the authors' table; `l2` is within 128 / 255 in L2, `cifar100` on CIFAR-100
with cifar100_ddpm.npz. The small ones are `small_gaussian`, `small_generated` with what `python -m train.generator` has
learned, and `small_alone` without generated images.
"""

from dataclasses import replace

from train.data.streams import Stream
from train.objectives import BatchTRADES
from train.recipe import Claim, Origin
from train.recipes import rebuffi2021data

objective = BatchTRADES(attack=rebuffi2021data.attack, beta=6.0)
published = Stream(root="cifar10_ddpm.npz", share=0.7, smoothing=0.1)

recipe = replace(
    rebuffi2021data.generated,
    paper="2110.09468",
    mix=None,
    objective=objective,
    streams=(published,),
).claiming(
    Claim(
        data="CIFAR-10",
        accuracy=85.97,
        where="the README of the authors' workshop paper, WRN-28-10; 60.73 % under AutoAttack",
        stream_images=(1_000_000,),
    )
)

gaussian = replace(recipe, streams=(replace(published, root="gaussian"),))

cutmix = replace(rebuffi2021data.generated, paper=recipe.paper)

resnet18 = replace(
    recipe,
    model=f'preact_resnet18({rebuffi2021data.SETTINGS}, shortcut="3x3")',
).claiming(
    Claim(
        data="CIFAR-10",
        accuracy=83.53,
        where="the authors' README, ResNet-18 with 1,000,000 generated images; 56.66 % under AutoAttack",
        stream_images=(1_000_000,),
    )
)

l2 = replace(
    recipe,
    objective=BatchTRADES(attack=rebuffi2021data.within_l2, beta=6.0),
    robust=rebuffi2021data.robust_l2,
).claiming(
    Claim(
        data="CIFAR-10",
        accuracy=90.24,
        where="the README of the authors' workshop paper, WRN-28-10; 77.44 % under AutoAttack in L2",
        stream_images=(1_000_000,),
    )
)

cifar100 = replace(recipe, streams=rebuffi2021data.generated_cifar100.streams).claiming(
    Claim(
        data="CIFAR-100",
        accuracy=59.18,
        where="the README of the authors' workshop paper, WRN-28-10; 30.81 % under AutoAttack",
        stream_images=(1_000_000,),
    )
)

small_gaussian = replace(
    rebuffi2021data.small,
    paper=recipe.paper,
    mix=None,
    objective=objective,
    streams=gaussian.streams,
    whole_epochs=False,
)

small_generated = replace(small_gaussian, streams=(replace(published, root="runs/generator/last.pt"),))

# The same steps on training images alone.
small_alone = replace(small_gaussian, streams=(), whole_epochs=True)

origin = Origin(
    code="google-deepmind/deepmind-research at f5de0ed, adversarial_robustness/jax/experiment.py and datasets.py",
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
        "ema_decay",
        "ema_warmup",
        "ema_buffers",
        "streams",
        "whole_epochs",
    ),
    ours={"robust": "as in rebuffi2021data"},
    differs=(
        "as in rebuffi2021data: whole steps, sign steps in the selection, each image once a batch, the numbers of the "
        "first layer",
        "where a batch is shared by workers theirs rounds the number of training images for each worker, ours once",
    ),
    variants={
        "gaussian": Origin(from_paper=("streams",)),
        "cutmix": Origin(from_code=("mix", "objective")),
        "l2": Origin(
            ours={"objective": "as in rebuffi2021data `l2`", "robust": "as in rebuffi2021data `l2`"},
            differs=(
                "the README's table has a radius of 8 / 255 beside this number, a slip: the paper's is 128 / 255",
            ),
        ),
        "cifar100": Origin(
            from_code=("streams",),
            differs=("the first layer normalises as on CIFAR-10, theirs by the numbers of CIFAR-100",),
        ),
        "resnet18": Origin(
            code="google-deepmind/deepmind-research at f5de0ed, adversarial_robustness/pytorch/model_zoo.py",
            from_code=("model",),
        ),
    },
)
