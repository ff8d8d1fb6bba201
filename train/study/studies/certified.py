"""Classifiers for randomized smoothing at two noises, and the radii that are certified of them, on part of CIFAR-10."""

from dataclasses import replace

from train.study.declare import Arm, Expected, Measure, Scale, Study
from train.study.scales import TINY

METHODS = {
    "Gaussian": "jeong2021smoothmix small_gaussian",
    "stability": "jeong2020consistency small_stability",
    "SmoothAdv": "jeong2021smoothmix small_smoothadv",
    "consistency": "jeong2020consistency small",
    "SmoothMix": "jeong2021smoothmix small",
    "SmoothMix, one step": "jeong2021smoothmix small_one_step",
}
# What else goes with a noise of 0.5: twice the step, and half the weight, as in the authors' commands.
AT_HALF = {
    "consistency": " --objective.consistency 10",
    "SmoothMix": " --objective.step_size 1.0",
    "SmoothMix, one step": " --objective.step_size 1.0",
}

STUDY = Study(
    question="Which training gives a smoothed classifier the largest certified radii?",
    arms={
        **{name: Arm(recipe, "--objective.sigma 0.25") for name, recipe in METHODS.items()},
        **{
            f"{name}, 0.5": Arm(recipe, "--objective.sigma 0.5" + AT_HALF.get(name, ""))
            for name, recipe in METHODS.items()
        },
    },
    reference="Gaussian",
    measures={
        "average radius": Measure("certify", ("average_certified_radius",), shown="number"),
        "certified at 0.5": Measure("certify", ("certified_accuracy", "0.50")),
        "smoothed accuracy": Measure("certify", ("calibration", "accuracy")),
        "ECE of the votes": Measure("certify", ("calibration", "ece"), "lower"),
    },
    scales={
        "cpu": replace(
            TINY,
            overrides=f"{TINY.overrides} --model preact_resnet8_w16 --num_images 1000 --num_epochs 20 "
            "--evaluate_every 20 --batch_size 64 --ema_decay 0.97",
            certify="--num_images 200 --n 1000",
        ),
        "gpu-hour": Scale(
            "--num_epochs 60 --evaluate_every 60 --model cifar_resnet20", certify="--num_images 500 --n 10000"
        ),
    },
    expected=(
        *(
            Expected(paper, f"{better} certifies larger radii than {than} at a noise of {sigma}", *places)
            for sigma, end in ((0.25, ""), (0.5, ", 0.5"))
            for paper, better, than in (
                ("2111.09277", "SmoothMix", "Gaussian"),
                ("2111.09277", "SmoothMix", "SmoothAdv"),
                ("2111.09277", "SmoothMix", "consistency"),
                ("2111.09277", "SmoothMix", "stability"),
                ("2006.04062", "consistency", "Gaussian"),
            )
            for places in ((better + end, "average radius", than + end),)
        ),
        *(
            Expected(
                "2111.09277",
                f"SmoothMix is less over-confident than {than} at a noise of {sigma}",
                f"SmoothMix{end}",
                "ECE of the votes",
                f"{than}{end}",
            )
            for sigma, end in ((0.25, ""), (0.5, ", 0.5"))
            for than in ("Gaussian", "SmoothAdv")
        ),
    ),
)
