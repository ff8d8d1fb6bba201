"""The recipes at their papers' own settings, on CIFAR-10: what only a GPU, or several, can fill in."""

from train.study.declare import Arm, Measure, Scale, Study

STUDY = Study(
    question="Do the recipes reach their papers' numbers at the papers' own settings?",
    arms={
        "ERM": Arm("baseline"),
        "mixup": Arm("zhang2017mixup"),
        "Manifold Mixup": Arm("verma2019manifold"),
        "MixupE": Arm("zou2023mixupe"),
        "Noisy Feature Mixup": Arm("lim2022noisy"),
        "Interpolated Adversarial Training": Arm("lamb2022interpolated"),
        "AdA": Arm("calian2022defending"),
        "Self-Adaptive Training": Arm("huang2020selfadaptive"),
        "data augmentation": Arm("rebuffi2021data"),
        "CutMix": Arm("yun2019cutmix"),
        "NCR": Arm("iscen2022learning cifar"),
        "OAT": Arm("lee2021removing"),
        "AugRmixAT": Arm("liu2022augrmixat"),
        "GenLabel": Arm("sohn2022genlabel"),
        "robust overfitting": Arm("rice2020overfitting"),
        "generated data": Arm("gowal2021improving"),
        "AWP": Arm("wu2020adversarial"),
        "light recipe": Arm("debenedetti2023light cifar"),
        "MultiMix": Arm("venkataramanan2023multimix"),
    },
    reference="ERM",
    measures={
        "accuracy": Measure("clean", ("accuracy",)),
        "AutoAttack": Measure("autoattack", ("accuracy",)),
    },
    scales={"paper": Scale(seeds=(0,), chosen="Settings of the papers and their codes; nothing was chosen here.")},
)
