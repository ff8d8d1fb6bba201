"""Out-of-distribution Augmented Training: images of no class, attacked too, for which every class is as likely.

Lee, Park, Lee, Yi, Lee and Yoon, "Removing Undesirable Feature Contributions Using Out-of-Distribution Data", ICLR
2021, arXiv:2101.06639.

`recipe` is the authors' adversarial training: 64 training images and 64 others in a batch of 128, both with weight 1,
8 / 255 in Linf with 10 steps of 2 / 255 on the statistics of the batch; 80,000 steps, a tenth of the rate from 40,000
and 60,000 on; only the weights of convolutions and linear layers decay. `trades` is their TRADES: 32 and 32 in a batch
of 64, 50 epochs, which are as many steps as 100 without further images; radius 0.031, beta 6, a tenth of the rate from
epochs 37 and 45 on (counted from 1). The images of no class come from CIFAR-100, whose classes are others than
CIFAR-10's: a folder cifar-100-python, or `--streams.0.root`. `standard` is training without an attack beside the same
images.
"""

from dataclasses import replace

from train.attacks import PGD
from train.attacks.robust import SELECTING
from train.data.streams import Stream
from train.objectives import OutOfDistributionCrossEntropy, OutOfDistributionTRADES, OutOfDistributionTraining
from train.optim.schedules import Steps
from train.recipe import Origin, Recipe
from train.recipes import baseline

others = Stream(root="cifar-100-python", share=0.5, smoothing=1.0, weight=1.0)

recipe = Recipe(
    paper="2101.06639",
    data="cifar",
    model="wide_resnet34_10",
    num_epochs=102,
    batch_size=128,
    lr=0.1,
    weight_decay=2e-4,
    decayed="matrices",
    schedule=Steps(at=(51, 77)),
    objective=OutOfDistributionTraining(attack=PGD(eps=8 / 255, step_size=2 / 255, num_steps=10), batch_norm="frozen"),
    streams=(others,),
    robust=SELECTING,
)

trades = replace(
    recipe,
    num_epochs=50,
    batch_size=64,
    decayed="all",
    schedule=Steps(at=(36, 44)),
    objective=OutOfDistributionTRADES(
        beta=6.0, attack=PGD(eps=0.031, step_size=0.007, num_steps=10, start="gaussian", project_start=False)
    ),
)

# No attack, so no accuracy under one: the epoch is chosen by that of the images as they are.
standard = replace(recipe, objective=OutOfDistributionCrossEntropy(), robust=None)

small = replace(
    baseline.small_attacked, paper=recipe.paper, weight_decay=2e-4, objective=recipe.objective, streams=recipe.streams
)

small_trades = replace(
    baseline.small_attacked, paper=recipe.paper, weight_decay=2e-4, objective=trades.objective, streams=recipe.streams
)

small_standard = replace(
    baseline.small,
    paper=recipe.paper,
    weight_decay=2e-4,
    objective=standard.objective,
    streams=recipe.streams,
)

origin = Origin(
    code="Saehyung-Lee/OAT at 0fcd5c3, AT/config.json, train.py and model.py",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "weight_decay", "decayed", "schedule", "objective"),
    ours={
        "streams": "halves of a batch and their weights are the code's; the images are CIFAR-100's, of other classes "
        "than CIFAR-10's: theirs are 1,000,000 of the 80 Million Tiny Images, which were withdrawn, so the paper's "
        "number is not one for these data",
        "robust": "the epoch is chosen by accuracy under attack; theirs is the last",
    },
    differs=(
        "their adversarial training pads images by 2 pixels a side, ours by 4, and standardises each image by its "
        "own mean and deviation, ours by those of the data: as in madry2018towards, whose code it is",
        "their network has leaky ReLUs (0.1) and shortcuts without parameters, ours the usual ones of a wide ResNet",
    ),
    variants={
        "standard": Origin(
            from_paper=("objective",),
            ours={"robust": "there is no attack"},
            differs=("the code has no standard training; batches and epochs are those of its adversarial one",),
        ),
        "trades": Origin(
            code="Saehyung-Lee/OAT at 0fcd5c3, TRADES/",
            from_code=("num_epochs", "batch_size", "decayed", "schedule", "objective"),
            differs=("their TRADES network sees images as they are, ours has a layer that normalises",),
        ),
    },
)
