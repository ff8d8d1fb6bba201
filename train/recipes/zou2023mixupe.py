"""MixupE: mixup, with a regulariser that strengthens what mixup does to the directional derivatives of the loss.

Zou, Verma, Mittal, Tang, Pham, Kannala, Bengio, Solin and Kawaguchi, "MixupE: Understanding and Improving Mixup from
Directional Derivative Perspective", UAI 2023, arXiv:2212.13381.

Settings of the authors' command: version 3, alpha 2, eta 0.001, threshold 1, batch 100, Nesterov, weight decay 1e-4,
800 epochs with a tenth of the rate from 300 and 600 on. `exact` is version 1, which differentiates twice.
Differs: their network is PreActResNet50, ours PreActResNet18; their rate rises from 0.01 to 0.11 over the first ten
epochs, ours starts at 0.1; the mean image of `exact` is the mean of each channel.
"""

from dataclasses import replace

from train.objectives import MixupE
from train.optim.optimizers import SGD
from train.optim.schedules import Steps
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
