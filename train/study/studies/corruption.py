"""Training for images that are corrupted later, on part of CIFAR-10: by augmentation, by a network, by noise."""

from train.study.declare import Arm, Expected, Measure, Scale, Study

STUDY = Study(
    question="Which training withstands common corruptions, and what does it cost on images as they are?",
    arms={
        "ERM": Arm("baseline small"),
        "mixup": Arm("zhang2017mixup small"),
        "CutMix": Arm("yun2019cutmix small"),
        "AugMix": Arm("hendrycks2020augmix small"),
        "AdA": Arm("calian2022defending small"),
        "AdA with AugMix": Arm("calian2022defending small_augmix"),
        "NFM": Arm("lim2022noisy small"),
        "NoisyMix": Arm("lim2022noisy small_noisymix"),
    },
    reference="ERM",
    measures={
        "accuracy": Measure("clean", ("accuracy",)),
        "corruptions": Measure("corruptions", ("mean",)),
        "noise 0.1": Measure("noise", ("white", "0.1")),
        "salt and pepper 0.05": Measure("noise", ("salt_and_pepper", "0.05")),
        "FGSM 2/255": Measure("fgsm", ("2/255",)),
    },
    scales={
        "cpu": Scale(
            "--num_images 1000 --num_epochs 30 --evaluate_every 30 --batch_size 64 --ema_decay None",
            "--num_images 400",
            chosen="Half of the images and epochs of the study `mixing`, since AugMix takes ten times as long.",
        ),
        "gpu-hour": Scale("--num_epochs 60 --model preact_resnet18", "--num_images 2000", (0, 1, 2)),
    },
    expected=(
        Expected("2104.01086", "AdA withstands common corruptions better", "AdA", "corruptions", "ERM"),
        Expected("2104.01086", "AdA withstands worst cases better", "AdA", "FGSM 2/255", "ERM"),
        Expected("2104.01086", "AdA adds to AugMix", "AdA with AugMix", "corruptions", "AugMix"),
        Expected("1912.02781", "AugMix withstands common corruptions better", "AugMix", "corruptions", "ERM"),
        Expected("1905.04899", "CutMix withstands corruptions better", "CutMix", "corruptions", "ERM"),
        Expected("2110.02180", "NFM withstands noise better than mixup", "NFM", "noise 0.1", "mixup"),
        Expected("2110.02180", "NFM keeps clean accuracy", "NFM", "accuracy", "ERM"),
        Expected("2202.01263", "NoisyMix withstands corruptions better than NFM", "NoisyMix", "corruptions", "NFM"),
    ),
)
