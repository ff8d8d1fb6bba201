"""Consistency regularisation: a classifier for randomized smoothing that predicts an image alike under any noise.

Jeong and Shin, "Consistency Regularization for Certified Robustness of Smoothed Classifiers", NeurIPS 2020,
arXiv:2006.04062.

    python -m train jeong2020consistency
    python -m train.certify runs/jeong2020consistency/last.pt

Settings of the authors' code for CIFAR-10: two noises, weight 20 for a noise of 0.25 (`recipe`) and 10 for 0.5
(`sigma50`) and 1 (`sigma100`), entropy 0.5. `stability` is stability training (Li et al., NeurIPS 2019,
arXiv:1809.03113) with the settings of the same code. The training is that of jeong2021smoothmix, by the same authors.
"""

from dataclasses import replace

from train.objectives import ConsistencyTraining, StabilityTraining
from train.recipe import Origin
from train.recipes import baseline, jeong2021smoothmix

objective = ConsistencyTraining(sigma=0.25, num_noises=2, consistency=20.0, entropy=0.5)

recipe = replace(jeong2021smoothmix.recipe, paper="2006.04062", objective=objective)

sigma50 = replace(recipe, objective=replace(objective, sigma=0.5, consistency=10.0))

sigma100 = replace(recipe, objective=replace(objective, sigma=1.0, consistency=10.0))

stability = replace(
    jeong2021smoothmix.gaussian, paper="1809.03113", objective=StabilityTraining(sigma=0.25, stability=2.0)
)

small = replace(baseline.small, paper=recipe.paper, weight_decay=1e-4, objective=objective)

small_stability = replace(small, paper=stability.paper, objective=stability.objective)

origin = Origin(
    code="jh-jeong/smoothing-consistency at 1cfd48a, code/train_consistency.py, code/consistency.py, and "
    "the names of its logs in data/certify/cifar10",
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
        "stability": Origin(
            code="jh-jeong/smoothing-consistency at bed8ff9, code/train_stab.py",
            from_code=("num_epochs", "batch_size", "schedule", "objective"),
        ),
    },
)
