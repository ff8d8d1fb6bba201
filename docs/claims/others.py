"""The claims of the other papers: AdA, Self-Adaptive Training, NCR, SmoothMix, the GAN predictor."""

from docs.claims.declare import Claim, Comparison, System

ADA = System(
    name="AdA",
    paper="2104.01086",
    recipe="calian2022defending",
    measured=(
        ("corruption", "AdA", "accuracy"),
        ("corruption", "AdA", "corruptions"),
    ),
    reported="94.93 % on CIFAR-10, 92.17 % on CIFAR-10-C: RobustBench's list of models",
    claims=(
        Claim(
            text="It withstands common corruptions better (CIFAR-10-C)",
            tested=(
                Comparison("corruption", "AdA", "corruptions", "ERM"),
                Comparison("corruption", "AdA with AugMix", "corruptions", "AugMix"),
            ),
            commands=(
                "train calian2022defending small --root CIFAR",
                "train.evaluate runs/calian2022defending-small --root CIFAR --parts clean corruptions",
            ),
            lacks="the paper's four image-to-image networks, for which a small autoencoder stands",
            tried="60 epochs in place of 30, one seed: 29.1 % of the corrupted images, and 29.9 % without AdA",
        ),
        Claim(
            text="It withstands attacks in Lp balls too, on CIFAR-10 and ImageNet",
            tested=(Comparison("corruption", "AdA", "FGSM 2/255", "ERM"),),
            commands=("train.evaluate runs/calian2022defending-small --root CIFAR --parts pgd20",),
            lacks="ImageNet",
        ),
        Claim(
            text="It withstands shifts of the data: CIFAR-10.1, ImageNet-R, ImageNet-V2",
            commands=("train.evaluate runs/calian2022defending-small --root CIFAR --parts variants --variants FOLDER",),
            needs="the folders of these sets",
        ),
    ),
)

SAT = System(
    name="Self-Adaptive Training",
    paper="2002.10319",
    recipe="huang2020selfadaptive",
    measured=(("noise", "SAT, 40 %", "accuracy"),),
    claims=(
        Claim(
            text="It generalises better under wrong labels, on CIFAR and ImageNet",
            tested=(
                Comparison("noise", "SAT, 20 %", "accuracy", "ERM, 20 %"),
                Comparison("noise", "SAT, 40 %", "accuracy", "ERM, 40 %"),
                Comparison("noise", "SAT, 60 %", "accuracy", "ERM, 60 %"),
            ),
            commands=(
                "train huang2020selfadaptive small --root CIFAR",
                "train baseline small --noise.rate 0.4 --root CIFAR",
                "train.compare runs/huang2020selfadaptive-small runs/baseline-small",
            ),
            lacks="ImageNet",
        ),
        Claim(
            text="It generalises better where the images are noise (Gaussian, random or shuffled pixels)",
            tested=(
                Comparison("noise", "SAT, normal numbers", "accuracy", "ERM, normal numbers"),
                Comparison("noise", "SAT, pixels in any order", "accuracy", "ERM, pixels in any order"),
                Comparison("noise", "SAT, pixels in one order", "accuracy", "ERM, pixels in one order"),
            ),
        ),
        Claim(
            text="It improves adversarial training",
            tested=(Comparison("robust", "TRADES with SAT", "AutoAttack", "TRADES"),),
            commands=(
                "train huang2020selfadaptive small_trades --root CIFAR",
                "train zhang2019theoretically small --root CIFAR",
                "train.evaluate runs/huang2020selfadaptive-small_trades --root CIFAR --parts clean pgd20",
            ),
        ),
        Claim(
            text="It is less often wrong where it answers (CIFAR, SVHN, Dogs and Cats)",
            tested=(
                Comparison("selective", "SAT", "area under risk", "softmax response"),
                Comparison("selective", "SAT", "area under risk", "Deep Gamblers"),
            ),
            commands=(
                "train huang2020selfadaptive small_selective --root CIFAR",
                "train.selective runs/huang2020selfadaptive-small_selective --root CIFAR",
                "train liu2019deep small --root CIFAR",
                "train.selective runs/liu2019deep-small --root CIFAR",
            ),
            lacks="Dogs and Cats",
        ),
        Claim(
            text="It learns representations without labels (CIFAR, STL, ImageNet)",
            commands=(
                "train huang2020selfadaptive small_selfsupervised --root CIFAR",
                "train huang2020selfadaptive small_linear --root CIFAR --weights "
                "runs/huang2020selfadaptive-small_selfsupervised/last.pt",
            ),
            lacks="ImageNet",
        ),
        Claim(
            text="It explains the double descent of the test error, which vanishes",
            commands=(
                "train baseline small --root CIFAR --noise.rate 0.4 --model preact_resnet8_w4",
                "train huang2020selfadaptive small --root CIFAR --model preact_resnet8_w4",
            ),
            lacks="the curve over widths, a run for each",
        ),
    ),
)

NCR = System(
    name="Neighbor Consistency Regularization",
    paper="2202.02200",
    recipe="iscen2022learning cifar",
    measured=(("noise", "NCR, 40 %", "accuracy"),),
    reported="76.6 % on CIFAR-100, 20 % of the labels redrawn: the paper",
    claims=(
        Claim(
            text="It is competitive under synthetic noise, on CIFAR-10 and CIFAR-100",
            tested=(
                Comparison("noise", "NCR, 20 %", "accuracy", "ERM, 20 %"),
                Comparison("noise", "NCR, 40 %", "accuracy", "ERM, 40 %"),
                Comparison("noise", "NCR, 60 %", "accuracy", "ERM, 60 %"),
            ),
            commands=(
                "train iscen2022learning small --root CIFAR",
                "train baseline small --noise.rate 0.4 --root CIFAR",
                "train.compare runs/iscen2022learning-small runs/baseline-small",
            ),
        ),
        Claim(
            text="It is better on real noise: mini-ImageNet-Red, mini-WebVision, WebVision, Clothing1M",
            tested=(Comparison("noise", "NCR, CIFAR-10N", "accuracy", "ERM, CIFAR-10N"),),
            commands=("train iscen2022learning small_imagenet --root IMAGES --noise.rate 0.4",),
            lacks="these sets: people's labels of CIFAR-10 stand for them",
        ),
    ),
)

SMOOTHMIX = System(
    name="SmoothMix",
    paper="2111.09277",
    recipe="jeong2021smoothmix",
    measured=(("certified", "SmoothMix", "average radius"),),
    reported="average certified radius 0.553 under noise of 0.25 on CIFAR-10: the authors' certificates",
    claims=(
        Claim(
            text="Its certified radii in L2 are larger than those of earlier ways to train",
            tested=tuple(
                Comparison("certified", f"SmoothMix{at}", "average radius", f"{other}{at}")
                for at in ("", ", 0.5")
                for other in ("Gaussian", "stability", "consistency", "SmoothAdv")
            ),
            commands=(
                "train jeong2021smoothmix small --root CIFAR",
                "train jeong2021smoothmix small_gaussian --root CIFAR",
                "train jeong2021smoothmix small_smoothadv --root CIFAR",
                "train jeong2020consistency small --root CIFAR",
                "train.certify runs/jeong2021smoothmix-small --root CIFAR --num_images 500 --n 2000",
            ),
            lacks="MACER; ResNet-110 and ImageNet",
        ),
        Claim(
            text="It is less over-confident under noise",
            tested=tuple(
                Comparison("certified", f"SmoothMix{at}", "ECE of the votes", f"{other}{at}")
                for at in ("", ", 0.5")
                for other in ("Gaussian", "SmoothAdv")
            ),
            commands=(
                "train.certify runs/jeong2021smoothmix-small --root CIFAR --num_images 500 --n 2000",
                "train.certify runs/jeong2021smoothmix-small_gaussian --root CIFAR --num_images 500 --n 2000",
            ),
            tried="a noise of 0.25 in place of 0.5: against SmoothAdv it holds, against Gaussian it is not resolved",
        ),
    ),
)

GRID = "grid of networks"

PREDICTOR = System(
    name="Predicting generalization using GANs",
    paper="2111.14212",
    command="train.predict runs/grid-* --synthetic runs/generator/last.pt --root CIFAR",
    measured=(
        ("generalization", GRID, "PGDL, synthetic"),
        ("generalization", GRID, "Kendall, synthetic"),
        ("generalization", GRID, "error, synthetic"),
    ),
    claims=(
        Claim(
            text="The test error is predicted from images of a GAN, without tuning",
            tested=tuple(
                Comparison("generalization", GRID, measure, GRID)
                for measure in ("PGDL, synthetic", "Kendall, synthetic", "error, synthetic")
            ),
            commands=(
                "train.generator --root CIFAR --flip",
                "train.predict runs/grid-* --synthetic runs/generator/last.pt --root CIFAR",
            ),
            lacks="BigGAN, for which a small network of ours stands",
        ),
        Claim(
            text="It is better than the winners of the PGDL competition, and so on DEMOGEN",
            commands=("train.predict runs/grid-* --synthetic runs/generator/last.pt --root CIFAR",),
            lacks="the networks of PGDL and DEMOGEN, and what won: the score is of networks trained here",
        ),
        Claim(
            text="It works with several GANs, though they lose modes",
            commands=("train.predict runs/grid-* --synthetic FILE.npz --root CIFAR",),
            needs="images of other GANs, in an .npz",
        ),
        Claim(
            text="The generated images are nearer to the test images than the training images are, class by class",
            tested=(Comparison("generalization", GRID, "distance, synthetic", GRID),),
            commands=(
                "train baseline small --root CIFAR",
                "train.predict.frechet runs/baseline-small --synthetic runs/generator/last.pt --root CIFAR",
            ),
            lacks="BigGAN, for which a small network of ours stands",
            tried="features of a network after 2 epochs in place of 20, of one grid of another seed: 2.5 against 0.3",
        ),
    ),
)
