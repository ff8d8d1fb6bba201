"""Noisy Feature Mixup: mix the hidden values of a random layer, and add noise to the mixture.

Lim, Erichson, Utrera, Xu and Mahoney, "Noisy Feature Mixup", ICLR 2022, arXiv:2110.02180.

Settings of the authors' CIFAR-10 command: alpha 1, levels 0.4 (added) and 0.2 (multiplied), at the input or after the
first, second or third stage, SGD without Nesterov, weight decay 5e-4, batch 128; its rate falls at the end of the
epochs numbered 100, 150 and 180 from 0, so the epochs 101, 151 and 181 are the first to feel it. `noisy_input` mixes
and disturbs the input only, at their levels for it; `noise_only` has their tiny alpha, which mixes nothing; `imagenet`
their ImageNet defaults. `noisymix` is NoisyMix (Erichson, Lim, Xu, Utrera, Cao and Mahoney, arXiv:2202.01263) with the
settings of its code: two more views of each image by AugMix, levels 0.5, and a loss for predicting the views alike;
Nesterov and a cosine.
"""

from dataclasses import replace

from train.objectives import NoisyFeatureMixup, NoisyMix
from train.optim.optimizers import SGD
from train.optim.schedules import Cosine, Steps
from train.recipe import Origin
from train.recipes import baseline

objective = NoisyFeatureMixup(alpha=1.0, add_levels=(0.4,), mult_levels=(0.2,))

recipe = replace(
    baseline.recipe,
    paper="2110.02180",
    weight_decay=5e-4,
    schedule=Steps(at=(101, 151, 181)),
    objective=objective,
)

noisy_input = replace(recipe, objective=replace(objective, stages=("input",), add_levels=(0.2,), mult_levels=(0.1,)))

noise_only = replace(recipe, objective=replace(objective, alpha=1e-8))

# Three stages, of which the last is not mixed, as in the authors' networks of three stages; small networks on few
# epochs want a small alpha.
small = replace(
    baseline.small,
    paper=recipe.paper,
    objective=replace(objective, alpha=0.2, stages=("input", "stage1", "stage2")),
)

imagenet = replace(
    baseline.imagenet,
    paper=recipe.paper,
    num_epochs=200,
    schedule=Steps(at=(101, 151, 181)),
    objective=replace(objective, add_levels=(0.1,), mult_levels=(0.1,)),
)

noisymix = replace(
    recipe,
    paper="2202.01263",
    optimizer=SGD(nesterov=True),
    schedule=Cosine(),
    objective=NoisyMix(alpha=1.0, add_levels=(0.5,), mult_levels=(0.5,), sparsity=0.65, consistency=12.0),
)

small_noisymix = replace(
    baseline.small, paper=noisymix.paper, objective=NoisyMix(alpha=0.2, stages=("input", "stage1", "stage2"))
)

origin = Origin(
    code="erichson/NFM at ed22d5d, train_cifar.py, src/noisy_mixup.py and src/cifar_models",
    from_code=("data", "model", "num_epochs", "batch_size", "lr", "weight_decay", "schedule", "objective"),
    differs=(
        "where a block keeps its shape their shortcut carries the active values, ours the block's input, and our "
        "network ends in batch norm and ReLU before the pooling: the usual pre-activation network; the levels are in "
        "units of what passes there",
    ),
    variants={
        "noisy_input": Origin(from_code=("objective",)),
        "noise_only": Origin(from_code=("objective",)),
        "imagenet": Origin(
            code="erichson/NFM at ed22d5d, train_imagenet.py",
            from_code=("data", "model", "batch_size", "weight_decay", "objective"),
        ),
        "noisymix": Origin(
            code="erichson/NoisyMix at f76352e",
            from_code=("optimizer", "schedule", "objective"),
            differs=(
                "their code normalises with 0.5 and 0.5, ours with the data's own mean and deviation: one rule for all",
            ),
        ),
    },
)
