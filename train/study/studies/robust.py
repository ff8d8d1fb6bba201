"""Adversarial training in its forms, on part of CIFAR-10, under attacks that none of them was trained on.

`OAT` reads CIFAR-100 from a folder cifar-100-python, `generated images` what `python -m train.generator` has learned,
runs/generator/last.pt.
"""

from dataclasses import replace

from train.study.declare import Arm, Expected, Measure, Scale, Study
from train.study.scales import GRADIENT_ATTACKS, THREE_STEPS, TINY, WITHIN

STUDY = Study(
    question="Which form of adversarial training withstands attacks best, and what does it cost in clean accuracy?",
    arms={
        "AT": Arm("madry2018towards small"),
        "TRADES": Arm("zhang2019theoretically small"),
        "MART": Arm("wang2020improving small"),
        "IAT": Arm("lamb2022interpolated small"),
        "AWP": Arm("wu2020adversarial small", attack=WITHIN),
        "MART with AWP": Arm("wu2020adversarial small_mart", attack=WITHIN),
        "TRADES with SAT": Arm("huang2020selfadaptive small_trades", "--objective.start 8"),
        "OAT": Arm("lee2021removing small"),
        "TRADES with OAT": Arm("lee2021removing small_trades"),
        "AugRmixAT": Arm("liu2022augrmixat small"),
        "pad and crop": Arm("rebuffi2021data small_unmixed"),
        "cutout": Arm("rebuffi2021data small_cutout"),
        "mixup": Arm("rebuffi2021data small_mixup"),
        "CutMix": Arm("rebuffi2021data small"),
        "CutMix, no average": Arm("rebuffi2021data small", "--ema_decay None"),
        "training images alone": Arm("gowal2021improving small_alone"),
        "Gaussian images": Arm("gowal2021improving small_gaussian"),
        "generated images": Arm("gowal2021improving small_generated"),
    },
    reference="AT",
    measures={
        "accuracy": Measure("run", ("accuracy",)),
        "PGD-50": Measure("pgd50", ("accuracy",)),
        "AutoAttack": Measure("autoattack", ("accuracy",)),
        "noise 0.05": Measure("noise", ("white", "0.05")),
        "occlusion 0.5": Measure("occlusion", ("centre", "0.5")),
    },
    scales={
        "cpu": replace(
            TINY,
            overrides=f"{TINY.overrides} --model preact_resnet8_w16 --num_images 800 --num_epochs 30 "
            "--evaluate_every 30 --batch_size 64 --ema_decay 0.97 --robust.num_images 500 "
            f"{THREE_STEPS}",
            evaluate=f"--num_images 250 --weights kept {GRADIENT_ATTACKS}",
            chosen=f"{TINY.chosen} Three steps of the attack in training, and of AutoAttack its two gradient attacks, "
            "on 250 images. With seed 900 adversarial training withstands PGD-10 for 22 % of the images.",
        ),
        "gpu-hour": Scale(
            "--num_epochs 30 --evaluate_every 30 --model preact_resnet18", "--num_images 1000", (0, 1, 2)
        ),
    },
    expected=(
        Expected("1901.08573", "TRADES withstands attacks better than adversarial training", "TRADES", "PGD-50", "AT"),
        Expected("2002.10319", "SAT makes TRADES more robust", "TRADES with SAT", "AutoAttack", "TRADES"),
        Expected("2101.06639", "images of no class make TRADES more robust", "TRADES with OAT", "AutoAttack", "TRADES"),
        Expected("1906.06784", "mixup in adversarial training keeps robustness", "IAT", "AutoAttack", "AT", 0.02),
        Expected("1906.06784", "mixup in adversarial training gains clean accuracy", "IAT", "accuracy", "AT"),
        Expected("2004.05884", "AWP makes adversarial training more robust", "AWP", "AutoAttack", "AT"),
        Expected("2004.05884", "AWP makes MART more robust", "MART with AWP", "AutoAttack", "MART"),
        Expected("2101.06639", "images of no class make adversarial training more robust", "OAT", "AutoAttack", "AT"),
        Expected("2207.10290", "AugRmixAT gains clean accuracy", "AugRmixAT", "accuracy", "AT"),
        Expected("2207.10290", "AugRmixAT withstands attacks better", "AugRmixAT", "PGD-50", "AT"),
        Expected("2207.10290", "AugRmixAT withstands occlusion better", "AugRmixAT", "occlusion 0.5", "AT"),
        Expected("2111.05328", "CutMix with averaged weights is more robust", "CutMix", "AutoAttack", "pad and crop"),
        Expected("2111.05328", "CutMix is more robust than cutout", "CutMix", "AutoAttack", "cutout"),
        Expected("2111.05328", "CutMix is more robust than mixup", "CutMix", "AutoAttack", "mixup"),
        Expected(
            "2111.05328", "averaging the weights makes CutMix more robust", "CutMix", "AutoAttack", "CutMix, no average"
        ),
        Expected("2110.09468", "even Gaussian images help", "Gaussian images", "AutoAttack", "training images alone"),
        Expected(
            "2110.09468", "generated images raise robustness", "generated images", "AutoAttack", "training images alone"
        ),
    ),
)
