"""Mixing methods against none: zhang2017mixup, yun2019cutmix and others, on part of CIFAR-10.

`images of no class` reads CIFAR-100 from a folder cifar-100-python.
"""

from train.study.declare import Arm, Expected, Measure, Scale, Study
from train.study.scales import OVERFITTED

STUDY = Study(
    question="Which mix helps, and in what: accuracy, likelihood, calibration, noise, FGSM, occlusion?",
    arms={
        "ERM": Arm("baseline small"),
        "label smoothing": Arm("baseline small_smoothed"),
        "mixup": Arm("zhang2017mixup small"),
        "mixup, per image": Arm("zhang2017mixup small", "--mix 'MixUp(alpha=0.2)'"),
        "CutMix": Arm("yun2019cutmix small"),
        "CutMix, per image": Arm("yun2019cutmix small", "--mix 'CutMix()'"),
        "ResizeMix": Arm("baseline small", "--mix 'ResizeMix()'"),
        "FMix": Arm("baseline small", "--mix 'FMix(per=\"batch\")'"),
        "images of no class": Arm("lee2021removing small_standard", "--weight_decay 5e-4"),
        "mixup or CutMix": Arm("baseline small", "--mix 'Choose([MixUp(), CutMix()])'"),
    },
    reference="ERM",
    measures={
        "accuracy": Measure("clean", ("accuracy",)),
        "NLL": Measure("calibration", ("nll",), "lower", "number"),
        "ECE": Measure("calibration", ("ece",), "lower"),
        "noise 0.05": Measure("noise", ("white", "0.05")),
        "FGSM 2/255": Measure("fgsm", ("2/255",)),
        "occlusion 0.5": Measure("occlusion", ("centre", "0.5")),
        "told from uniform noise": Measure("detection", ("uniform", "softmax", "auroc")),
        "told from normal noise": Measure("detection", ("gaussian", "softmax", "auroc")),
    },
    scales={
        "cpu": OVERFITTED,
        "gpu-hour": Scale("--num_epochs 60 --model preact_resnet18", "", (0, 1, 2)),
    },
    expected=(
        Expected("1710.09412", "mixup generalises better than ERM", "mixup", "accuracy", "ERM"),
        Expected("1710.09412", "mixup withstands one-step attacks better", "mixup", "FGSM 2/255", "ERM"),
        Expected("1905.04899", "CutMix generalises better than ERM", "CutMix", "accuracy", "ERM"),
        Expected("1905.04899", "CutMix generalises better than mixup", "CutMix", "accuracy", "mixup"),
        Expected("1905.04899", "CutMix withstands one-step attacks better", "CutMix", "FGSM 2/255", "ERM"),
        Expected("1905.04899", "CutMix withstands occlusion better", "CutMix", "occlusion 0.5", "ERM"),
        Expected(
            "2101.06639", "images of no class make training more accurate", "images of no class", "accuracy", "ERM"
        ),
        Expected("1905.04899", "CutMix withstands noise better", "CutMix", "noise 0.05", "ERM"),
        *(
            Expected("1905.04899", f"CutMix tells images from {noise} better", "CutMix", f"told from {noise}", "ERM")
            for noise in ("uniform noise", "normal noise")
        ),
    ),
)
