"""A small vision transformer trained against attacks, on part of CIFAR-10: light and heavy augmentation. Needs timm."""

from train.study.declare import Arm, Expected, Measure, Scale, Study

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
        "cpu": Scale("--num_images 5000 --num_epochs 30 --evaluate_every 30", "--num_images 1000", (0, 1, 2)),
        "gpu-hour": Scale("--num_epochs 60 --evaluate_every 60", "--num_images 1000", (0, 1, 2)),
    },
    expected=(
        Expected("2209.07399", "light augmentation is more robust than heavy", "light", "AutoAttack", "heavy"),
        Expected("2209.07399", "light augmentation keeps more clean accuracy", "light", "accuracy", "heavy"),
        Expected(
            "2209.07399", "a radius that grows is more robust", "light", "AutoAttack", "light, whole radius at once"
        ),
        Expected("2209.07399", "more weight decay is more robust", "light, weight decay 0.5", "AutoAttack", "light"),
    ),
)
