"""Wrong labels at several rates, and wrong pixels, on part of CIFAR-10.

The arms of CIFAR-10N read the people's labels from CIFAR-10_human.pt in the data's folder.
"""

from dataclasses import replace

from train.study.declare import Arm, Expected, Measure, Scale, Study
from train.study.scales import TINY

METHODS = {
    "ERM": "baseline small",
    "mixup": "zhang2017mixup small_corrupt",
    "SAT": "huang2020selfadaptive small",
    "NCR": "iscen2022learning small",
}
OTHERS = {"GCE": "zhang2018generalized small", "ELR": "liu2020early small"}
"""What these are compared with at one rate."""
STARTS = {"SAT": " --objective.start 15", "NCR": " --objective.start 15"}
"""Of 50 epochs."""
LABELS = {
    **{f"{rate} %": f"--noise.rate {rate / 100} --noise.to any" for rate in (0, 20, 40, 60)},
    "CIFAR-10N": "--noise.rate 0 --labels CIFAR-10_human.pt:worse_label",
}
PIXELS = {
    "normal numbers": "small_gaussian",
    "pixels in any order": "small_random_pixels",
    "pixels in one order": "small_shuffled_pixels",
}


def arm(method: str, recipe: str, words: str) -> Arm:
    """A method at some labels or pixels."""
    return Arm(recipe, words + STARTS.get(method, ""))


STUDY = Study(
    question="What does a network reach, and learn by heart, whose training labels or images are partly wrong?",
    arms={
        **{
            f"{method}, {labels}": arm(method, recipe, words)
            for labels, words in LABELS.items()
            for method, recipe in METHODS.items()
        },
        **{f"{method}, 40 %": arm(method, recipe, LABELS["40 %"]) for method, recipe in OTHERS.items()},
        **{
            f"{method}, {pixels}": arm(method, f"huang2020selfadaptive {variant}", words)
            for pixels, variant in PIXELS.items()
            for method, words in (("ERM", "--objective 'CrossEntropy()'"), ("SAT", ""))
        },
    },
    reference="ERM, 40 %",
    measures={
        "accuracy": Measure("run", ("accuracy",)),
        "learned, right": Measure("run", ("training, real labels",), everywhere=False),
        "learned, wrong": Measure("run", ("training, wrong labels",), "lower", everywhere=False),
    },
    scales={
        "cpu": replace(
            TINY,
            overrides=f"{TINY.overrides} --model preact_resnet8_w32 --num_images 600 --num_epochs 50 "
            "--evaluate_every 50 --batch_size 32 --ema_decay None",
            chosen=f"{TINY.chosen} So wide, and with so few images, that the baseline learns wrong labels by heart: "
            "with seed 900, 1,000 images and 40 epochs it gave 39 % of them.",
        ),
        "gpu-hour": Scale("--num_epochs 100 --model preact_resnet18 --evaluate_every 100 --ema_decay None"),
    },
    expected=(
        *(
            Expected("1710.09412", f"mixup {what} at {rate}", f"mixup, {rate}", measure, f"ERM, {rate}")
            for rate in ("20 %", "40 %", "60 %")
            for measure, what in (("accuracy", "generalises better"), ("learned, wrong", "learns fewer wrong labels"))
        ),
        *(
            Expected("2002.10319", f"SAT generalises better at {rate}", f"SAT, {rate}", "accuracy", f"ERM, {rate}")
            for rate in ("20 %", "40 %", "60 %", *PIXELS)
        ),
        *(
            Expected("2202.02200", f"NCR generalises better at {rate}", f"NCR, {rate}", "accuracy", f"ERM, {rate}")
            for rate in ("20 %", "40 %", "60 %", "CIFAR-10N")
        ),
        Expected("1805.07836", "GCE generalises better at 40 %", "GCE, 40 %", "accuracy", "ERM, 40 %"),
        Expected("2007.00151", "ELR generalises better at 40 %", "ELR, 40 %", "accuracy", "ERM, 40 %"),
    ),
)
