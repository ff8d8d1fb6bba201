"""A small vision transformer trained against attacks, on part of CIFAR-10: light and heavy augmentation. Needs timm."""

from dataclasses import replace

from train.study.declare import Arm, Expected, Measure, Scale, Study
from train.study.scales import GRADIENT_ATTACKS, TINY

SMALLER = "timm:vit_tiny_patch16_224(img_size=16, patch_size=4, embed_dim=64, depth=4, num_heads=4, mlp_ratio=2)"

STUDY = Study(
    question="Does a vision transformer get more robust with light augmentation, and what do its helpers bring?",
    arms={
        "light": Arm("debenedetti2023light small"),
        "heavy": Arm("debenedetti2023light small_heavy"),
        "light, whole radius at once": Arm("debenedetti2023light small", "--objective.warmup 0"),
        "light, weight decay 0.5": Arm("debenedetti2023light small", "--weight_decay 0.5"),
        "light, no attack": Arm("debenedetti2023light small", "--objective 'CrossEntropy()'"),
        "heavy, no attack": Arm("debenedetti2023light small_heavy", "--objective 'CrossEntropy()'"),
    },
    reference="light",
    measures={
        "accuracy": Measure("clean", ("accuracy",)),
        "PGD-50": Measure("pgd50", ("accuracy",)),
        "AutoAttack": Measure("autoattack", ("accuracy",)),
    },
    scales={
        "cpu": replace(
            TINY,
            overrides=f"{TINY.overrides} --model '{SMALLER}' --precision float32 --num_images 2000 --num_epochs 20 "
            "--evaluate_every 20 --ema_decay None",
            evaluate=f"--num_images 250 {GRADIENT_ATTACKS}",
            chosen=f"{TINY.chosen} Sixteen patches; of AutoAttack its two gradient attacks, on 250 images; float32, in "
            "which so small a transformer is four times as fast on a CPU.",
        ),
        "gpu-hour": Scale("--num_epochs 60 --evaluate_every 60", "--num_images 1000", (0, 1, 2)),
    },
    expected=(
        Expected("2209.07399", "light augmentation is more robust than heavy", "light", "AutoAttack", "heavy"),
        Expected("2209.07399", "light augmentation keeps more clean accuracy", "light", "accuracy", "heavy"),
        Expected(
            "2209.07399", "a radius that grows is more robust", "light", "AutoAttack", "light, whole radius at once"
        ),
        Expected(
            "2209.07399",
            "training against attacks makes the transformer robust",
            "light",
            "AutoAttack",
            "light, no attack",
        ),
        Expected("2209.07399", "more weight decay is more robust", "light, weight decay 0.5", "AutoAttack", "light"),
    ),
)
