"""Noisy Feature Mixup: mix the hidden values of a random layer, and add noise to the mixture.

Lim, Erichson, Utrera, Xu and Mahoney, "Noisy Feature Mixup", ICLR 2022, arXiv:2110.02180.

Settings of the authors' CIFAR-10 command: alpha 1, levels 0.4 (added) and 0.2 (multiplied), at the input or after the
first, second or third stage, SGD without Nesterov, weight decay 5e-4, batch 128; its rate falls at the end of the
epochs numbered 100, 150 and 180 from 0, so the epochs 101, 151 and 181 are the first to feel it. `noisy_input` mixes
and disturbs the input only, at their levels for it; `noise_only` has their tiny alpha, which mixes nothing; `imagenet`
their ImageNet defaults. `noisymix` is NoisyMix (Erichson, Lim, Xu, Utrera, Cao and Mahoney, arXiv:2202.01263) with the
settings of its code: two more views of each image by AugMix, levels 0.5, and a loss for predicting the views alike;
Nesterov and a cosine.
Differs: where a block keeps its shape their shortcut carries the active values, ours the block's input, and our network
ends in batch norm and ReLU before the pooling: the levels are in units of what passes there. NoisyMix's code normalises
with 0.5 and 0.5.
"""

from dataclasses import replace

from train.objectives import NoisyFeatureMixup, NoisyMix
from train.optim.optimizers import SGD
from train.optim.schedules import Cosine, Steps
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
