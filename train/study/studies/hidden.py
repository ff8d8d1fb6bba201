"""Mixing behind the input, on part of CIFAR-10: hidden values, their noise, embeddings, and derivatives."""

from dataclasses import replace

from train.study.declare import Arm, Expected, Measure, Scale, Study
from train.study.scales import OVERFITTED

STUDY = Study(
    question="What does mixing hidden values bring beside mixing images, with and without what helps it?",
    arms={
        "ERM": Arm("baseline small"),
        "mixup": Arm("zhang2017mixup small"),
        "Manifold Mixup": Arm("verma2019manifold small"),
        "NFM": Arm("lim2022noisy small"),
        "MixupE": Arm("zou2023mixupe small"),
        "GenLabel": Arm("sohn2022genlabel small"),
        "MultiMix": Arm("venkataramanan2023multimix small"),
        "MultiMix, dense": Arm("venkataramanan2023multimix small_dense"),
        "MultiMix alone": Arm("venkataramanan2023multimix small", "--objective.input_prob 0"),
    },
    reference="mixup",
    measures={
        "accuracy": Measure("clean", ("accuracy",)),
        "NLL": Measure("calibration", ("nll",), "lower", "number"),
        "ECE": Measure("calibration", ("ece",), "lower"),
        "noise 0.05": Measure("noise", ("white", "0.05")),
        "FGSM 2/255": Measure("fgsm", ("2/255",)),
        "PGD-20": Measure("pgd20", ("accuracy",)),
        "rotated by 40": Measure("deformations", ("rotation", "40")),
        "directions": Measure("spectrum", ("stage1", "needed"), "lower", "number"),
        "alignment": Measure("embedding", ("alignment",), "lower", "number"),
        "told from uniform noise": Measure("detection", ("uniform", "softmax", "auroc")),
        "told from normal noise": Measure("detection", ("gaussian", "softmax", "auroc")),
        "uniformity": Measure("embedding", ("uniformity",), "lower", "number"),
    },
    scales={
        "cpu": replace(OVERFITTED, evaluate="--num_images 1000"),
        "gpu-hour": Scale("--num_epochs 60 --model preact_resnet18", "", (0, 1, 2)),
    },
    expected=(
        Expected("1806.05236", "Manifold Mixup generalises better than ERM", "Manifold Mixup", "accuracy", "ERM"),
        Expected("1806.05236", "Manifold Mixup generalises better than mixup", "Manifold Mixup", "accuracy", "mixup"),
        Expected("1806.05236", "Manifold Mixup has the better likelihood", "Manifold Mixup", "NLL", "ERM"),
        Expected("1806.05236", "Manifold Mixup withstands one step better", "Manifold Mixup", "FGSM 2/255", "ERM"),
        Expected(
            "1806.05236", "Manifold Mixup has fewer directions of variance", "Manifold Mixup", "directions", "ERM"
        ),
        Expected("1806.05236", "Manifold Mixup withstands rotations better", "Manifold Mixup", "rotated by 40", "ERM"),
        Expected("2110.02180", "NFM withstands noise better than mixup", "NFM", "noise 0.05", "mixup"),
        Expected("2110.02180", "NFM keeps clean accuracy", "NFM", "accuracy", "ERM"),
        Expected("2212.13381", "MixupE generalises better than mixup", "MixupE", "accuracy", "mixup"),
        Expected("2201.02354", "GenLabel withstands attacks better than mixup", "GenLabel", "PGD-20", "mixup"),
        Expected("2201.02354", "GenLabel withstands one step better than mixup", "GenLabel", "FGSM 2/255", "mixup"),
        Expected("2311.05538", "MultiMix generalises better than mixup", "MultiMix", "accuracy", "mixup"),
        Expected("2311.05538", "MultiMix's classes are tighter", "MultiMix", "alignment", "mixup"),
        Expected("2311.05538", "MultiMix's embeddings are more even", "MultiMix", "uniformity", "mixup"),
        Expected("2311.05538", "MultiMix withstands attacks better", "MultiMix", "FGSM 2/255", "mixup"),
        *(
            Expected(
                "2311.05538", f"MultiMix tells images from {noise} better", "MultiMix", f"told from {noise}", "mixup"
            )
            for noise in ("uniform noise", "normal noise")
        ),
    ),
)
