"""Robust overfitting on a few images of CIFAR-10: the best epoch against the last, over widths, and what lessens it."""

from dataclasses import replace

from train.study.declare import Arm, Expected, Measure, Study
from train.study.scales import THREE_STEPS, TINY, WITHIN

AT = "rice2020overfitting small_overfit"

STUDY = Study(
    question="How much robust accuracy is lost after the best epoch, and does anything beat stopping there?",
    arms={
        "AT": Arm(AT),
        "AT, width 8": Arm(AT, "--model preact_resnet8_w8"),
        "AT, width 16": Arm(AT, "--model preact_resnet8_w16"),
        "L1": Arm(f"{AT}_l1", attack=WITHIN),
        "weight decay": Arm(f"{AT}_decay"),
        "cutout": Arm(f"{AT}_cutout"),
        "mixup": Arm(f"{AT}_mixup"),
        "TRADES": Arm(AT, "--objective 'TRADES(beta=6.0)'"),
        "AWP": Arm("wu2020adversarial small_overfit", attack=WITHIN),
        "CutMix": Arm("rebuffi2021data small_overfit"),
    },
    reference="AT",
    measures={
        "robust, best": Measure("pgd20", ("accuracy",), of="best"),
        "robust, last": Measure("pgd20", ("accuracy",)),
        "lost": Measure("pgd20", ("accuracy",), "lower", "points", of="best - last"),
        "robust gap": Measure("run", ("robust gap",), "lower", "points"),
        "rise around the weights": Measure("landscape_attacked", ("rise",), "lower", "number"),
    },
    scales={
        "cpu": replace(
            TINY,
            overrides=f"{TINY.overrides} --model preact_resnet8_w32 --num_images 300 --num_epochs 40 "
            "--schedule.at 20 30 --evaluate_every 5 --ema_decay None --robust.num_images 128 "
            f"{THREE_STEPS}",
            evaluate="--num_images 300",
            chosen=f"{TINY.chosen} With seed 900, 300 images and three steps of the attack, 15 % of the held-out "
            "images withstand PGD-10 in the fifth epoch and 6 % in the last ones, in which 98 % of the training images "
            "are named right under attack.",
        ),
    },
    expected=(
        *(
            Expected("2002.11569", f"{name} brings no more than stopping early", "AT", "robust, best", name, 0.02)
            for name in ("L1", "weight decay", "cutout", "mixup")
        ),
        Expected("2002.11569", "early stopping is as good as TRADES", "AT", "robust, best", "TRADES", 0.02),
        Expected("2002.11569", "a wider network is more robust at best", "AT", "robust, best", "AT, width 8"),
        Expected("2002.11569", "a wider network is no worse at best", "AT", "robust, best", "AT, width 16", 0.02),
        Expected("2004.05884", "AWP loses less after the best epoch", "AWP", "lost", "AT"),
        Expected("2004.05884", "AWP makes the loss flatter around the weights", "AWP", "rise around the weights", "AT"),
        Expected("2004.05884", "AWP has the smaller robust gap", "AWP", "robust gap", "AT"),
        Expected("2111.05328", "CutMix loses less after the best epoch", "CutMix", "lost", "AT"),
    ),
)
