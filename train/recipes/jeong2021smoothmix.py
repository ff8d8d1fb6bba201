"""SmoothMix: a classifier for randomized smoothing, not too sure on the way to its adversaries.

Jeong, Park, Kim, Lee, Kim and Shin, "SmoothMix: Training Confidence-calibrated Smoothed Classifiers for Certified
Robustness", NeurIPS 2021, arXiv:2111.09277.

    python -m train jeong2021smoothmix
    python -m train.certify runs/jeong2021smoothmix/last.pt

Settings of the authors' commands for CIFAR-10: two noises, four steps, eta 5, steps of 0.5, 1 and 2 for noise of 0.25
(`recipe`), 0.5 (`sigma50`) and 1 (`sigma100`); `one_step` mixes from the one-step adversary. 150 epochs at 0.1, a tenth
of the rate from 51 and from 101 on, since their rate falls an epoch late. `gaussian` is the training of Cohen et al.
(arXiv:1902.02918) with the settings of its code; `smoothadv` is SmoothAdv (Salman et al., arXiv:1906.04584) with its
authors' example: 64 / 256 in L2, ten steps of a fifth of that, two noises, both trained on, at our noise of 0.25, not
0.12. The average certified radius of the authors' logs, noise 0.25, ResNet-110: SmoothMix 0.553, one-step 0.548.
Differs: they load 256 images and cut them into two, with an optimiser's step for each, which is a batch of 128 here,
but for the last of an epoch; their network is ResNet-110, ours the pre-activation ResNet-18; the images measured in
training are without noise here, so take last.pt to certify, not best.pt; where a gradient is exactly 0 SmoothAdv's step
goes somewhere at random, ours nowhere.
"""

from dataclasses import replace

from train.attacks import PGD
from train.objectives import GaussianTraining, SmoothAdv, SmoothMixTraining
from train.optim.schedules import Steps
from train.recipe import Recipe
from train.recipes import baseline

objective = SmoothMixTraining(sigma=0.25, num_noises=2, step_size=0.5, num_steps=4, eta=5.0, warmup=10)

recipe = Recipe(
    paper="2111.09277",
    data="cifar",
    model="cifar_resnet110",
    num_epochs=150,
    batch_size=128,
    lr=0.1,
    weight_decay=1e-4,
    schedule=Steps(at=(51, 101)),
    objective=objective,
)

sigma50 = replace(recipe, objective=replace(objective, sigma=0.5, step_size=1.0))

sigma100 = replace(recipe, objective=replace(objective, sigma=1.0, step_size=2.0))

one_step = replace(recipe, objective=replace(objective, mix_step=1))

gaussian = replace(
    recipe,
    paper="1902.02918",
    num_epochs=90,
    batch_size=256,
    schedule=Steps(at=(30, 60)),
    objective=GaussianTraining(sigma=0.25),
)

smoothadv = replace(
    recipe,
    paper="1906.04584",
    schedule=Steps(at=(50, 100)),
    objective=SmoothAdv(
        sigma=0.25,
        num_noises=2,
        warmup=10,
        attack=PGD(norm="L2", eps=64 / 256, step_size=2 * (64 / 256) / 10, num_steps=10, start="none", box_first=True),
    ),
)

# An epoch of SmoothMix costs as much as a dozen plain ones.
small = replace(baseline.small, paper=recipe.paper, weight_decay=1e-4, objective=replace(objective, warmup=4))

small_one_step = replace(small, objective=replace(objective, mix_step=1, warmup=4))

small_gaussian = replace(small, paper=gaussian.paper, objective=gaussian.objective)

small_smoothadv = replace(
    small,
    paper=smoothadv.paper,
    objective=SmoothAdv(
        sigma=0.25,
        num_noises=2,
        warmup=4,
        attack=PGD(norm="L2", eps=64 / 256, step_size=2 * (64 / 256) / 4, num_steps=4, start="none", box_first=True),
    ),
)
