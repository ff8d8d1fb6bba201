"""Scales that several studies share."""

from train.study.declare import Scale

WITHIN = "objective.objective.attack"
"""`Arm.attack` of an objective around another one, as weight perturbation and the L1 penalty are."""
THREE_STEPS = "--{attack}.num_steps 3 --{attack}.step_size 4/255"
"""Attacks in training that two cores can pay."""
GRADIENT_ATTACKS = "--version custom --attacks apgd-ce apgd-t"
"""Of AutoAttack, in an evaluation, those that two cores can pay."""

OVERFITTED = Scale(
    "--num_images 2000 --num_epochs 60 --evaluate_every 60 --ema_decay None",
    "--num_images 2000",
    seeds=(0, 1, 2),
    chosen="The setting was chosen with seed 900 so that the baseline overfits: with 2,000 images of CIFAR-10, 60 "
    "epochs and no averaged weights it names 91 % of the training images and 62 % of the test images.",
)
"""A small network on few images of CIFAR-10: two minutes of CPU for a run."""

TINY = Scale(
    "--size 16 16",
    seeds=(0, 1, 2),
    chosen="CIFAR-10 at 16 pixels, a quarter of the work, so that a run is done in a minute or two.",
)
"""What studies of many runs begin with."""
