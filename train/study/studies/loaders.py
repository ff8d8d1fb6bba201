"""One mix, made by three libraries: in the pipeline, and by timm and torchvision behind the loader."""

from dataclasses import replace

from train.study.declare import Arm, Expected, Measure, Scale, Study
from train.study.scales import OVERFITTED

AFTER = "train/study/arms/mixed_after.py"

STUDY = Study(
    question="Do batches that are mixed in the pipeline train a network as well as those of timm and torchvision?",
    arms={
        "mixup": Arm("baseline small", "--mix 'MixUp(per=\"batch\")'"),
        "mixup of timm": Arm(AFTER),
        "mixup of torchvision": Arm(f"{AFTER} torchvision_mixup"),
        "CutMix": Arm("baseline small", "--mix 'CutMix(per=\"batch\")'"),
        "CutMix of timm": Arm(f"{AFTER} timm_cutmix"),
        "CutMix of torchvision": Arm(f"{AFTER} torchvision_cutmix"),
    },
    reference="mixup",
    measures={
        "accuracy": Measure("clean", ("accuracy",)),
        "NLL": Measure("calibration", ("nll",), "lower", "number"),
    },
    scales={
        "cpu": replace(OVERFITTED, evaluate="--num_images 10000", seeds=(0, 1, 2, 3, 4)),
        "gpu-hour": Scale("--num_epochs 60 --model preact_resnet18", "", (0, 1, 2)),
    },
    expected=tuple(
        Expected("", f"{mix} in the pipeline is as good as {mix} of {peer}", mix, "accuracy", f"{mix} of {peer}", 0.02)
        for mix in ("mixup", "CutMix")
        for peer in ("timm", "torchvision")
    ),
)
