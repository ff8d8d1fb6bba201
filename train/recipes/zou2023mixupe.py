"""MixupE: mixup, with a regulariser that strengthens what mixup does to the directional derivatives of the loss.

Zou, Verma, Mittal, Tang, Pham, Kannala, Bengio, Solin and Kawaguchi, "MixupE: Understanding and Improving Mixup from
Directional Derivative Perspective", UAI 2023, arXiv:2212.13381.

Settings of the authors' command: version 3, alpha 2, eta 0.001, threshold 1, batch 100, Nesterov, weight decay 1e-4,
800 epochs with a tenth of the rate from 300 and 600 on. `exact` is version 1, which differentiates twice.
"""

from dataclasses import replace

from train.objectives import MixupE
from train.optim.optimizers import SGD
from train.optim.schedules import Steps
from train.recipe import Origin
from train.recipes import baseline

objective = MixupE(version=3, alpha=2.0, eta=0.001, threshold=1.0)

recipe = replace(
    baseline.recipe,
    paper="2212.13381",
    model="preact_resnet50",
    num_epochs=800,
    batch_size=100,
    optimizer=SGD(nesterov=True),
    schedule=Steps(at=(300, 600), warmup=9, start=0.1),
    objective=objective,
)

exact = replace(recipe, objective=replace(objective, version=1))

# Small networks on few epochs want a small alpha.
small = replace(baseline.small, paper=recipe.paper, objective=MixupE(alpha=0.2))

origin = Origin(
    code="oneHuster/MixupE at 64ba406, main.py and mixup.py, the command of the README",
    from_code=("model", "num_epochs", "batch_size", "lr", "optimizer", "weight_decay", "schedule", "objective"),
    ours={"data": "CIFAR's pickles; their command is for CIFAR-100, which goes by --root"},
    differs=(
        "the rate rises with every step from 0.01 to 0.1 over nine epochs; theirs rises by 0.01 an epoch, to 0.11 in "
        "the tenth, and falls back to 0.1: one rule for all warm-ups",
        "the mean image of `exact` is the mean of each channel: all it needs of the data is known before the first "
        "step",
    ),
    variants={"exact": Origin(from_code=("objective",))},
)
