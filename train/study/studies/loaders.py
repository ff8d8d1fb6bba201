"""One mix, made by three libraries: in the pipeline, and by timm and torchvision behind the loader."""

from dataclasses import replace

from train.study.declare import Arm, Expected, Measure, Scale, Study
from train.study.scales import TINY

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
        "accuracy": Measure("run", ("accuracy",)),
        "training accuracy": Measure("run", ("training",)),
    },
    scales={
        "cpu": replace(
            TINY,
            overrides=f"{TINY.overrides} --model preact_resnet8_w16 --num_images 1000 --num_epochs 30 "
            "--evaluate_every 30 --batch_size 64 --ema_decay None",
            seeds=tuple(range(10)),
        ),
        "gpu-hour": Scale("--num_epochs 60 --model preact_resnet18", "", (0, 1, 2)),
    },
    expected=tuple(
        Expected("", f"{mix} in the pipeline is as good as {mix} of {peer}", mix, "accuracy", f"{mix} of {peer}", 0.02)
        for mix in ("mixup", "CutMix")
        for peer in ("timm", "torchvision")
    ),
)
