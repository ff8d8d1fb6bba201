"""Where a network looks, on the embedded digits on photographs, whose boxes are known; without --root."""

from train.study.declare import Arm, Expected, Measure, Scale, Study

STUDY = Study(
    question="Does a network that is trained on cut and mixed images find objects better, by labels alone?",
    arms={
        "ERM": Arm("baseline small"),
        "mixup": Arm("zhang2017mixup small"),
        "CutMix": Arm("yun2019cutmix small"),
    },
    reference="ERM",
    measures={
        "localised": Measure("localisation", ("localised",)),
        "localised, best threshold": Measure("localisation", ("best",)),
        "overlap": Measure("localisation", ("iou",)),
        "accuracy": Measure("clean", ("accuracy",)),
    },
    scales={
        "cpu": Scale(
            "--num_images 3000 --num_epochs 15 --evaluate_every 15 --ema_decay None",
            "--num_images 1000",
            seeds=(0, 1, 2, 3, 4),
            chosen="Digits of some 10 to 20 pixels on photographs of 32, whose boxes follow from how they were laid "
            "there; a minute for a run.",
        ),
    },
    expected=(
        Expected("1905.04899", "CutMix localises better than ERM", "CutMix", "localised", "ERM"),
        Expected("1905.04899", "CutMix localises better than mixup", "CutMix", "localised", "mixup"),
        Expected("1905.04899", "mixup localises worse than ERM", "ERM", "localised", "mixup"),
    ),
)
