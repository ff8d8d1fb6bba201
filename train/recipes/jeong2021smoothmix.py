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
"""

from dataclasses import replace

from train.attacks import PGD
from train.objectives import GaussianTraining, SmoothAdv, SmoothMixTraining
from train.optim.schedules import Steps
from train.recipe import Origin, Recipe
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

origin = Origin(
    code="jh-jeong/smoothmix at cb1fd33, code/train.py and EXPERIMENTS.MD",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "weight_decay", "schedule", "objective"),
    differs=(
        "they load 256 images and cut them into two, with an optimiser's step for each, which is a batch of 128 "
        "here, but for the last of an epoch",
        "the images measured in training are without noise: take last.pt to certify, not best.pt",
    ),
    variants={
        "sigma50": Origin(from_code=("objective",)),
        "sigma100": Origin(from_code=("objective",)),
        "one_step": Origin(from_code=("objective",)),
        "gaussian": Origin(
            code="locuslab/smoothing at 78a4d94, code/train.py",
            from_code=("num_epochs", "batch_size", "schedule", "objective"),
        ),
        "smoothadv": Origin(
            code="Hadisalman/smoothing-adversarial at cc80077, the README's example",
            from_code=("schedule",),
            ours={"objective": "the example's attack and noises, at our noise of 0.25, not 0.12"},
            differs=(
                "where a gradient is exactly 0 their step goes somewhere at random, ours nowhere: a step that draws "
                "would not be given by its draws",
            ),
        ),
    },
)
