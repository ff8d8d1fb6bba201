"""The claims of papers on attacks: IAT, augmentation, OAT, robust overfitting, generated data, AWP, robust ViTs."""

from docs.claims.declare import Claim, Comparison, System

IAT = System(
    name="Interpolated Adversarial Training",
    paper="1906.06784",
    recipe="lamb2022interpolated",
    measured=(
        ("robust", "IAT", "accuracy"),
        ("robust", "IAT", "AutoAttack"),
    ),
    claims=(
        Claim(
            text="Adversarial training's clean error falls from 12.3 to 6.5 %, and robustness is kept",
            tested=(Comparison("robust", "IAT", "accuracy", "AT"), Comparison("robust", "IAT", "AutoAttack", "AT")),
            commands=(
                "train lamb2022interpolated small --root CIFAR",
                "train madry2018towards small --root CIFAR",
                "train.evaluate runs/lamb2022interpolated-small --root CIFAR --parts clean pgd20",
            ),
        ),
        Claim(
            text="What adversarial training adds to the clean error falls from 178 to 45 % of it",
            commands=(
                "train baseline small_attacked --root CIFAR",
                "train.compare runs/baseline-small_attacked runs/madry2018towards-small "
                "runs/lamb2022interpolated-small",
            ),
            lacks="the share itself, which is to be divided by hand",
        ),
    ),
)

REBUFFI = System(
    name="Data augmentation can improve robustness",
    paper="2111.05328",
    recipe="rebuffi2021data",
    measured=(
        ("robust", "CutMix", "accuracy"),
        ("robust", "CutMix", "AutoAttack"),
    ),
    claims=(
        Claim(
            text="Augmentation together with averaged weights raises robust accuracy",
            tested=(
                Comparison("robust", "CutMix", "AutoAttack", "pad and crop"),
                Comparison("robust", "CutMix", "AutoAttack", "CutMix, no average"),
                Comparison("overfitting", "CutMix", "lost", "AT"),
            ),
            commands=(
                "train rebuffi2021data small --root CIFAR",
                "train rebuffi2021data small_unmixed --root CIFAR",
                "train.evaluate runs/rebuffi2021data-small --root CIFAR --parts clean pgd20",
            ),
            tried="seed 900, before the others were drawn: there CutMix withstood PGD-10 for 19.8 % of 500 images, pad "
            "and crop for 17.2",
        ),
        Claim(
            text="Compositions in space work best: CutMix before cutout before mixup",
            tested=(
                Comparison("robust", "CutMix", "AutoAttack", "cutout"),
                Comparison("robust", "CutMix", "AutoAttack", "mixup"),
            ),
            commands=(
                "train rebuffi2021data small --root CIFAR",
                "train rebuffi2021data small_cutout --root CIFAR",
                "train rebuffi2021data small_mixup --root CIFAR",
            ),
        ),
        Claim(
            text="60.07 % under attacks of 8/255 in Linf on CIFAR-10, by WRN-70-16",
            commands=("train rebuffi2021data small --root CIFAR",),
            lacks="the number itself, of `rebuffi2021data` with a WRN-70-16, which wants a GPU for days",
        ),
        Claim(
            text="Augmentation raises robust accuracy against attacks of 128/255 in L2 too",
            commands=(
                "train rebuffi2021data small --root CIFAR --objective.attack "
                "\"PGD(eps=128/255, norm='L2', step_size=15/255, num_steps=10)\"",
                "train.evaluate runs/rebuffi2021data-small --root CIFAR --parts pgd20 --norm L2 --eps 128/255",
            ),
        ),
        Claim(
            text="Augmentation raises robust accuracy on CIFAR-100, SVHN and Tiny-ImageNet too",
            commands=("train rebuffi2021data small --root CIFAR100", "train rebuffi2021data small --root SVHN"),
            lacks="Tiny-ImageNet, whose images are larger than a step against attacks on two cores bears",
        ),
    ),
)

OAT = System(
    name="Out-of-distribution Augmented Training",
    paper="2101.06639",
    recipe="lee2021removing",
    measured=(
        ("robust", "OAT", "accuracy"),
        ("robust", "OAT", "AutoAttack"),
    ),
    reported="86.63 % on CIFAR-10, 87.48 without the method: the authors' README, WRN-34-10; 58.89 % under PGD-10, "
    "51.93 without",
    claims=(
        Claim(
            text="Images of no class improve adversarial training, on CIFAR-10, CIFAR-100 and parts of ImageNet",
            tested=(Comparison("robust", "OAT", "AutoAttack", "AT"),),
            commands=(
                "train lee2021removing small --root CIFAR --streams.0.root CIFAR100",
                "train madry2018towards small --root CIFAR",
                "train.evaluate runs/lee2021removing-small --root CIFAR --parts clean pgd20",
            ),
            lacks="ImageNet",
        ),
        Claim(
            text="Images of no class improve standard training",
            tested=(Comparison("mixing", "images of no class", "accuracy", "ERM"),),
            commands=(
                "train lee2021removing small_standard --root CIFAR --streams.0.root CIFAR100",
                "train baseline small --root CIFAR",
            ),
        ),
        Claim(
            text="It is better than other augmentations, and adds to TRADES and RST",
            tested=(Comparison("robust", "TRADES with OAT", "AutoAttack", "TRADES"),),
            commands=(
                "train lee2021removing small_trades --root CIFAR --streams.0.root CIFAR100",
                "train zhang2019theoretically small --root CIFAR",
            ),
            lacks="RST, which is not here",
        ),
    ),
)

RICE = System(
    name="Overfitting in adversarially robust deep learning",
    paper="2002.11569",
    recipe="rice2020overfitting",
    measured=(
        ("overfitting", "AT", "robust, best"),
        ("overfitting", "AT", "lost"),
    ),
    claims=(
        Claim(
            text="Accuracy under attack falls after its best epoch, on CIFAR-10",
            tested=(Comparison("overfitting", "AT", "lost"),),
            commands=(
                "train rice2020overfitting small_overfit --root CIFAR --num_images 300",
                "train.compare runs/rice2020overfitting-small_overfit",
            ),
        ),
        Claim(
            text="Accuracy under attack falls after its best epoch on CIFAR-100, SVHN and ImageNet too",
            commands=(
                "train rice2020overfitting small_overfit --root CIFAR100 --num_images 300",
                "train rice2020overfitting small_overfit --root SVHN --num_images 300",
            ),
            lacks="ImageNet; the paper's attack for SVHN is in `rice2020overfitting svhn`, which wants a GPU",
        ),
        Claim(
            text="Accuracy under attacks in L2 falls after its best epoch too",
            commands=(
                "train rice2020overfitting small_overfit --root CIFAR --num_images 300 --objective.attack "
                "\"PGD(eps=128/255, norm='L2', step_size=15/255, num_steps=10)\"",
            ),
            lacks="accuracy on the way under attacks in L2, which `--robust` sets",
        ),
        Claim(
            text="Stopped early, plain adversarial training is as good as TRADES and later methods",
            tested=(Comparison("overfitting", "AT", "robust, best", "TRADES"),),
            commands=(
                "train rice2020overfitting small --root CIFAR --validation 0.02",
                "train zhang2019theoretically small --root CIFAR",
                "train.evaluate runs/rice2020overfitting-small/best.pt --root CIFAR --parts pgd20",
            ),
        ),
        Claim(
            text="Double descent does not explain it: wider networks are better, and overfit all the same",
            tested=(
                Comparison("overfitting", "AT", "robust, best", "AT, width 8"),
                Comparison("overfitting", "AT", "lost"),
            ),
            commands=(
                "train rice2020overfitting small_overfit --root CIFAR --num_images 300 --model preact_resnet8_w16",
                "train rice2020overfitting small_overfit --root CIFAR --num_images 300 --model preact_resnet8_w64",
            ),
        ),
        Claim(
            text="L1, L2, cutout, mixup and further images without labels do not beat stopping early",
            tested=(
                Comparison("overfitting", "AT", "robust, best", "L1"),
                Comparison("overfitting", "AT", "robust, best", "weight decay"),
                Comparison("overfitting", "AT", "robust, best", "cutout"),
                Comparison("overfitting", "AT", "robust, best", "mixup"),
            ),
            commands=(
                "train rice2020overfitting small_overfit_l1 --root CIFAR --num_images 300",
                "train rice2020overfitting small_overfit_decay --root CIFAR --num_images 300",
            ),
            lacks="the 500,000 images without labels",
        ),
    ),
)

GOWAL = System(
    name="Improving robustness using generated data",
    paper="2110.09468",
    recipe="gowal2021improving",
    measured=(
        ("robust", "Gaussian images", "accuracy"),
        ("robust", "Gaussian images", "AutoAttack"),
    ),
    claims=(
        Claim(
            text="Generated images raise robust accuracy",
            tested=(Comparison("robust", "generated images", "AutoAttack", "training images alone"),),
            commands=(
                "train.generator --root CIFAR --flip",
                "train gowal2021improving small_generated --root CIFAR",
                "train gowal2021improving small_alone --root CIFAR",
            ),
            lacks="the paper's 1,000,000 images of a diffusion model",
        ),
        Claim(
            text="Even images drawn from a Gaussian of each class help",
            tested=(Comparison("robust", "Gaussian images", "AutoAttack", "training images alone"),),
            commands=(
                "train gowal2021improving small_gaussian --root CIFAR",
                "train gowal2021improving small_alone --root CIFAR",
                "train.evaluate runs/gowal2021improving-small_gaussian --root CIFAR --parts clean pgd20",
            ),
            tried="images of a GAN in place of Gaussian ones: the same direction, not resolved",
        ),
        Claim(
            text="Generated images help on CIFAR-100, SVHN and Tiny-ImageNet too, and in L2",
            commands=(
                "train gowal2021improving small_gaussian --root CIFAR100",
                "train gowal2021improving small_gaussian --root SVHN",
            ),
            lacks="Tiny-ImageNet, and images of a generator of these sets",
        ),
        Claim(
            text="There are conditions under which generated images must help",
            lacks="the conditions are of a proof; nothing here measures them",
        ),
    ),
)

AWP = System(
    name="Adversarial Weight Perturbation",
    paper="2004.05884",
    recipe="wu2020adversarial",
    measured=(
        ("robust", "AWP", "accuracy"),
        ("robust", "AWP", "AutoAttack"),
    ),
    reported="86.23 % on CIFAR-10: the authors' log, WRN-34-10; 53.97 % under AutoAttack",
    claims=(
        Claim(
            text="It makes the loss flatter around the weights",
            tested=(Comparison("overfitting", "AWP", "rise around the weights", "AT"),),
            commands=(
                "train wu2020adversarial small_overfit --root CIFAR --num_images 300",
                "train rice2020overfitting small_overfit --root CIFAR --num_images 300",
                "train.evaluate runs/wu2020adversarial-small_overfit --root CIFAR --parts landscape landscape_attacked",
                "train.evaluate runs/rice2020overfitting-small_overfit --root CIFAR --parts landscape "
                "landscape_attacked",
            ),
        ),
        Claim(
            text="It makes AT, TRADES, MART and RST more robust",
            tested=(
                Comparison("robust", "AWP", "AutoAttack", "AT"),
                Comparison("robust", "MART with AWP", "AutoAttack", "MART"),
                Comparison("overfitting", "AWP", "lost", "AT"),
            ),
            commands=(
                "train wu2020adversarial small --root CIFAR",
                "train wu2020adversarial small_overfit --root CIFAR --num_images 300",
                "train rice2020overfitting small_overfit --root CIFAR --num_images 300",
            ),
            lacks="RST, which is not here",
        ),
        Claim(
            text="The flatter the loss, the smaller the gap between training and test images under attack",
            commands=(
                "train.evaluate runs/rice2020overfitting-small_overfit --root CIFAR --parts landscape_attacked",
                "train.compare runs/rice2020overfitting-small_overfit runs/wu2020adversarial-small_overfit",
            ),
            lacks="the correlation itself, over more networks than these two",
        ),
    ),
)

VIT = System(
    name="A light recipe for robust vision transformers",
    paper="2209.07399",
    recipe="debenedetti2023light",
    measured=(
        ("vit", "light", "accuracy"),
        ("vit", "light", "AutoAttack"),
    ),
    claims=(
        Claim(
            text="Vision transformers become robust with light augmentation",
            tested=(Comparison("vit", "light", "AutoAttack", "light, no attack"),),
            commands=(
                "train debenedetti2023light small --root CIFAR",
                "train.evaluate runs/debenedetti2023light-small --root CIFAR --parts clean pgd20",
            ),
            lacks="ImageNet and XCiT",
        ),
        Claim(
            text="The heavy augmentation they are trained with otherwise makes them less robust",
            tested=(
                Comparison("vit", "light", "AutoAttack", "heavy"),
                Comparison("vit", "light", "accuracy", "heavy"),
            ),
            commands=(
                "train debenedetti2023light small_heavy --root CIFAR",
                "train debenedetti2023light small --root CIFAR",
            ),
        ),
        Claim(
            text="A radius that grows and strong weight decay help",
            tested=(
                Comparison("vit", "light", "AutoAttack", "light, whole radius at once"),
                Comparison("vit", "light, weight decay 0.5", "AutoAttack", "light"),
            ),
            commands=(
                "train debenedetti2023light small --root CIFAR --objective.warmup 0",
                "train debenedetti2023light small --root CIFAR --weight_decay 0.05",
            ),
        ),
        Claim(
            text="It carries over to other transformers and larger ones",
            commands=(
                "train debenedetti2023light small --root CIFAR --model "
                "'timm:deit_tiny_patch16_224(img_size=32, patch_size=4)'",
            ),
            lacks="the larger ones, which want a GPU",
        ),
        Claim(
            text="Strong attacks are easier to make for them in training than for ResNets",
            lacks="attacks of few and of many steps in training are not put side by side here",
        ),
        Claim(
            text="Perturbations of robust ViTs look more like the other class",
            lacks="no measure of what a perturbation looks like is here",
        ),
    ),
)
