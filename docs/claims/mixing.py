"""The claims of papers on mixing: mixup, Manifold Mixup, MixupE, NFM, CutMix, GenLabel, MultiMix, AugRmixAT."""

from docs.claims.declare import Claim, Comparison, System

TABLES = ("iris", "wine", "breast cancer", "digits")
"""Of the study `tables`."""

MIXUP = System(
    name="mixup",
    paper="1710.09412",
    recipe="zhang2017mixup",
    measured=(("mixing", "mixup", "accuracy"),),
    claims=(
        Claim(
            text="It generalises better than ERM on CIFAR-10 and CIFAR-100",
            tested=(Comparison("mixing", "mixup", "accuracy", "ERM"),),
            lacks="CIFAR-100, which is another `--root`",
        ),
        Claim(
            text="It generalises better than ERM on ImageNet",
            commands=(
                "train zhang2017mixup small_imagenet --root IMAGES",
                "train baseline small_imagenet --root IMAGES",
            ),
            lacks="ImageNet itself, `zhang2017mixup imagenet`, which wants a GPU",
        ),
        Claim(
            text="It generalises better on spoken commands",
            commands=(
                "train.tables speech_commands --root SPEECH --mix 'MixUp(alpha=0.2)'",
                "train.tables speech_commands --root SPEECH",
            ),
            needs="Google's speech commands; SPEECH is their folder",
        ),
        Claim(
            text="It generalises better on tables (UCI)",
            tested=tuple(Comparison("tables", "mixup, alpha 0.2", name, "ERM") for name in TABLES),
            lacks="the tables of the paper itself; these are of the same repository",
        ),
        Claim(
            text="It memorises corrupt labels less",
            tested=(
                Comparison("noise", "mixup, 20 %", "accuracy", "ERM, 20 %"),
                Comparison("noise", "mixup, 20 %", "learned, wrong", "ERM, 20 %"),
                Comparison("noise", "mixup, 40 %", "accuracy", "ERM, 40 %"),
                Comparison("noise", "mixup, 40 %", "learned, wrong", "ERM, 40 %"),
                Comparison("noise", "mixup, 60 %", "accuracy", "ERM, 60 %"),
                Comparison("noise", "mixup, 60 %", "learned, wrong", "ERM, 60 %"),
            ),
            commands=(
                "train zhang2017mixup small_corrupt --root CIFAR",
                "train baseline small --noise.rate 0.4 --root CIFAR",
                "train.compare runs/zhang2017mixup-small_corrupt runs/baseline-small",
            ),
            lacks="mixup together with dropout",
        ),
        Claim(
            text="It withstands adversarial examples better",
            tested=(Comparison("mixing", "mixup", "FGSM 2/255", "ERM"),),
            commands=(
                "train.evaluate runs/zhang2017mixup-small --root CIFAR --parts fgsm pgd20 transfer --source "
                "runs/baseline-small/last.pt",
            ),
        ),
        Claim(
            text="It makes the training of GANs more stable",
            tested=tuple(
                Comparison("gan", "mixup", measure, "no mixup")
                for measure in ("modes found", "good samples", "fewest modes, second half")
            ),
            commands=("train.generator --mixup 0.2", "train.generator"),
            lacks="the paper's width of 512 and 20,000 steps, which are the study's scale `paper`",
        ),
    ),
)

MANIFOLD = System(
    name="Manifold Mixup",
    paper="1806.05236",
    recipe="verma2019manifold",
    measured=(("hidden", "Manifold Mixup", "accuracy"),),
    claims=(
        Claim(
            text="It is more accurate than input mixup and ERM",
            tested=(
                Comparison("hidden", "Manifold Mixup", "accuracy", "ERM"),
                Comparison("hidden", "Manifold Mixup", "accuracy", "mixup"),
            ),
            commands=("train verma2019manifold small --root CIFAR", "train baseline small --root CIFAR"),
            lacks="the paper's 2,000 epochs",
        ),
        Claim(
            text="Its test log-likelihood is better",
            tested=(Comparison("hidden", "Manifold Mixup", "NLL", "ERM"),),
            commands=("train.evaluate runs/verma2019manifold-small --root CIFAR --parts calibration",),
        ),
        Claim(
            text="It withstands one-step attacks better",
            tested=(Comparison("hidden", "Manifold Mixup", "FGSM 2/255", "ERM"),),
            commands=("train.evaluate runs/verma2019manifold-small --root CIFAR --parts fgsm",),
        ),
        Claim(
            text="Its class representations have fewer directions of variance",
            tested=(Comparison("hidden", "Manifold Mixup", "directions", "ERM"),),
            commands=(
                "train verma2019manifold small --root CIFAR",
                "train.evaluate runs/verma2019manifold-small --root CIFAR --parts spectrum",
                "train.evaluate runs/baseline-small --root CIFAR --parts spectrum",
            ),
        ),
        Claim(
            text="Its decision boundaries are smoother, and novel deformations (rotation, shear, zoom) hurt it less",
            tested=(Comparison("hidden", "Manifold Mixup", "rotated by 40", "ERM"),),
            lacks="decision boundaries, and shear and zoom, which `--parts deformations` has too",
        ),
    ),
)

MIXUPE = System(
    name="MixupE",
    paper="2212.13381",
    recipe="zou2023mixupe",
    measured=(("hidden", "MixupE", "accuracy"),),
    reported="0.8 points above mixup on ImageNet: the abstract",
    claims=(
        Claim(
            text="It is more accurate than mixup on images, by 0.8 points on ImageNet",
            tested=(Comparison("hidden", "MixupE", "accuracy", "mixup"),),
            commands=("train zou2023mixupe small --root CIFAR", "train zhang2017mixup small --root CIFAR"),
            lacks="ImageNet and the paper's networks",
        ),
        Claim(
            text="It is more accurate than mixup on tables, speech and graphs",
            tested=tuple(Comparison("tables", "MixupE", name, "mixup") for name in (*TABLES, "control charts")),
            lacks="speech, for which a set of sequences stands, and graphs",
            tried="eta 0.01 in place of 0.001, on iris, wine and breast cancer with other seeds: the same",
        ),
    ),
)

NFM = System(
    name="Noisy Feature Mixup",
    paper="2110.02180",
    recipe="lim2022noisy",
    measured=(
        ("hidden", "NFM", "accuracy"),
        ("corruption", "NFM", "corruptions"),
    ),
    claims=(
        Claim(
            text="Its trade-off between clean accuracy and robustness to noise and attacks is better, of ResNets",
            tested=(
                Comparison("hidden", "NFM", "noise 0.05", "mixup"),
                Comparison("hidden", "NFM", "accuracy", "ERM"),
                Comparison("corruption", "NFM", "noise 0.1", "mixup"),
                Comparison("corruption", "NFM", "accuracy", "ERM"),
            ),
            commands=(
                "train lim2022noisy small --root CIFAR",
                "train.evaluate runs/lim2022noisy-small --root CIFAR --parts clean noise fgsm",
            ),
        ),
        Claim(
            text="Its trade-off is better for vision transformers too",
            commands=(
                "train lim2022noisy small --root CIFAR --model "
                "'timm:vit_tiny_patch16_224(img_size=32, patch_size=4)' --objective.stages input",
            ),
            lacks="the paper's sizes and length; a transformer is mixed at its input alone",
        ),
        Claim(
            text="Mixup and Manifold Mixup are special cases of it",
            commands=(
                "train lim2022noisy small --root CIFAR --objective.add_levels 0 --objective.mult_levels 0",
                "train verma2019manifold small --root CIFAR",
            ),
        ),
        Claim(
            text="It helps on several benchmarks, CIFAR-100 and ImageNet too",
            commands=("train lim2022noisy small --root CIFAR100",),
            lacks="ImageNet: `lim2022noisy imagenet`, which wants a GPU",
        ),
    ),
)

CUTMIX = System(
    name="CutMix",
    paper="1905.04899",
    recipe="yun2019cutmix",
    measured=(("mixing", "CutMix", "accuracy"),),
    claims=(
        Claim(
            text="It is more accurate than other augmentations on CIFAR",
            tested=(
                Comparison("mixing", "CutMix", "accuracy", "mixup"),
                Comparison("mixing", "CutMix", "accuracy", "ERM"),
            ),
            lacks="PyramidNet-200, `yun2019cutmix`, which wants a GPU",
        ),
        Claim(
            text="It is more accurate than other augmentations on ImageNet",
            commands=(
                "train yun2019cutmix small_imagenet --root IMAGES",
                "train zhang2017mixup small_imagenet --root IMAGES",
            ),
            lacks="ImageNet itself, `yun2019cutmix imagenet`, which wants a GPU",
        ),
        Claim(
            text="It localises objects better, trained by labels alone",
            tested=(
                Comparison("localisation", "CutMix", "localised", "ERM"),
                Comparison("localisation", "CutMix", "localised", "mixup"),
            ),
            commands=(
                "train yun2019cutmix small",
                "train baseline small",
                "train.evaluate runs/yun2019cutmix-small --parts localisation",
                "train.evaluate runs/baseline-small --parts localisation",
            ),
            lacks="birds and ImageNet: digits, whose boxes are known, stand for them; `--boxes FILE` takes others",
            tried="the best threshold of each network in place of 0.2: the same direction, not resolved",
        ),
        Claim(
            text="Its weights are a better start for detection (VOC) and captions (COCO)",
            lacks="no detector and no captions are trained here; `train.export` hands the network to what does",
        ),
        Claim(
            text="It withstands corruptions of the input better",
            tested=(
                Comparison("corruption", "CutMix", "corruptions", "ERM"),
                Comparison("mixing", "CutMix", "noise 0.05", "ERM"),
                Comparison("mixing", "CutMix", "occlusion 0.5", "ERM"),
            ),
            commands=(
                "train yun2019cutmix small --root CIFAR",
                "train.evaluate runs/yun2019cutmix-small --root CIFAR --parts corruptions noise occlusion",
            ),
        ),
        Claim(
            text="It tells images of other classes from its own better",
            tested=tuple(
                Comparison("mixing", "CutMix", f"told from {noise}", "ERM")
                for noise in ("uniform noise", "normal noise")
            ),
            lacks="the photographs of other sets, which `--ood FOLDER` takes: images of noise stand for them",
            commands=("train.evaluate runs/yun2019cutmix-small --root CIFAR --parts detection --ood FOLDER",),
        ),
    ),
)

GENLABEL = System(
    name="GenLabel",
    paper="2201.02354",
    recipe="sohn2022genlabel",
    measured=(("hidden", "GenLabel", "accuracy"),),
    claims=(
        Claim(
            text="It repairs mixup where its labels are wrong",
            tested=(
                Comparison("tables", "ERM", "circles", "mixup"),
                Comparison("tables", "GenLabel", "circles", "mixup"),
            ),
            commands=(
                "train.tables.boundaries circles",
                "train sohn2022genlabel small --root CIFAR",
            ),
        ),
        Claim(
            text="It withstands attacks better",
            tested=(
                Comparison("hidden", "GenLabel", "PGD-20", "mixup"),
                Comparison("hidden", "GenLabel", "FGSM 2/255", "mixup"),
            ),
            commands=("train.evaluate runs/sohn2022genlabel-small --root CIFAR --parts fgsm pgd20",),
        ),
        Claim(
            text="It is more accurate on low-dimensional sets and tables (OpenML)",
            tested=tuple(Comparison("tables", "GenLabel", name, "mixup") for name in TABLES),
            lacks="OpenML's tables, any of which `python -m train.tables FILE.csv:COLUMN` reads",
        ),
    ),
)

MULTIMIX = System(
    name="MultiMix",
    paper="2311.05538",
    recipe="venkataramanan2023multimix",
    measured=(("hidden", "MultiMix", "accuracy"),),
    claims=(
        Claim(
            text="It is more accurate than other mixes on four benchmarks",
            tested=(Comparison("hidden", "MultiMix", "accuracy", "mixup"),),
            commands=(
                "train venkataramanan2023multimix small --root CIFAR",
                "train venkataramanan2023multimix small_dense --root CIFAR",
            ),
            lacks="ImageNet and the paper's length",
        ),
        Claim(
            text="Classes are tighter and more uniform in its embedding",
            tested=(
                Comparison("hidden", "MultiMix", "alignment", "mixup"),
                Comparison("hidden", "MultiMix", "uniformity", "mixup"),
            ),
            commands=(
                "train venkataramanan2023multimix small --root CIFAR",
                "train.evaluate runs/venkataramanan2023multimix-small --root CIFAR --parts embedding",
                "train.evaluate runs/baseline-small --root CIFAR --parts embedding",
            ),
        ),
        Claim(
            text="It has many times the loss terms at little cost",
            commands=("train.bench venkataramanan2023multimix small", "train.bench zhang2017mixup small"),
        ),
        Claim(
            text="It withstands attacks better, and tells images of other classes better",
            tested=tuple(
                Comparison("hidden", "MultiMix", measure, "mixup")
                for measure in ("FGSM 2/255", "told from uniform noise", "told from normal noise")
            ),
            commands=(
                "train.evaluate runs/venkataramanan2023multimix-small --root CIFAR --parts fgsm pgd20 detection",
            ),
        ),
    ),
)

AUGRMIXAT = System(
    name="AugRmixAT",
    paper="2207.10290",
    recipe="liu2022augrmixat",
    measured=(
        ("robust", "AugRmixAT", "accuracy"),
        ("robust", "AugRmixAT", "AutoAttack"),
    ),
    claims=(
        Claim(
            text="It improves clean accuracy and robustness to white-box and black-box attacks, corruptions and "
            "occlusion at once",
            tested=(
                Comparison("robust", "AugRmixAT", "accuracy", "AT"),
                Comparison("robust", "AugRmixAT", "PGD-50", "AT"),
                Comparison("robust", "AugRmixAT", "occlusion 0.5", "AT"),
            ),
            commands=(
                "train liu2022augrmixat small --root CIFAR",
                "train.evaluate runs/liu2022augrmixat-small --root CIFAR --parts clean pgd20 transfer corruptions "
                "occlusion --source runs/baseline-small/last.pt",
            ),
            lacks="no code of the paper is public: it is built from its text",
            tried="AutoAttack in place of PGD-50: the same direction, not resolved; clean accuracy is gained",
        ),
        Claim(
            text="It improves accuracy and robustness on CIFAR-100 and Tiny-ImageNet too",
            commands=("train liu2022augrmixat small --root CIFAR100",),
            lacks="Tiny-ImageNet, whose images are larger than a step against attacks on two cores bears",
        ),
    ),
)
