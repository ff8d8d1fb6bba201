"""Fast adversarial training: one step from a random start, and a monitor that sees when it collapses.

Wong, Rice and Kolter, "Fast is better than free: Revisiting adversarial training", ICLR 2020, arXiv:2001.03994.

Settings of the authors' CIFAR-10 script: 8 / 255 with one step of 10 / 255 in training mode, 15 epochs, the rate rises
to 0.2 and falls again. `n_fgsm` starts from twice the noise and is not brought back into the ball (de Jorge et al.,
"Make Some Noise: Reliable and Efficient Single-Step Adversarial Training", NeurIPS 2022, arXiv:2202.01181), with the 30
epochs of its script.
"""

from dataclasses import replace

from train.attacks import FGSM
from train.attacks.robust import SELECTING, Robust
from train.objectives import FastAdversarialTraining
from train.optim.schedules import OneCycle
from train.recipe import Origin, Recipe
from train.recipes import baseline

recipe = Recipe(
    paper="2001.03994",
    data="cifar",
    model="preact_resnet18",
    num_epochs=15,
    batch_size=128,
    lr=0.2,
    weight_decay=5e-4,
    schedule=OneCycle(warmup=0.5, start=0.0),
    objective=FastAdversarialTraining(attack=FGSM(eps=8 / 255, step_size=10 / 255)),
    robust=SELECTING,
)

n_fgsm = replace(
    recipe,
    paper="2202.01181",
    num_epochs=30,
    objective=FastAdversarialTraining(attack=FGSM(eps=8 / 255, step_size=8 / 255, noise=2.0, project=False)),
)

# Few images, because the attack that is measured takes ten times the steps of the training.
small = replace(baseline.small_attacked, paper=recipe.paper, objective=recipe.objective, robust=Robust(num_images=100))

origin = Origin(
    code="locuslab/fast_adversarial at e9ccb17, CIFAR10/train_fgsm.py",
    from_paper=("data",),
    from_code=("model", "num_epochs", "batch_size", "lr", "weight_decay", "schedule", "objective"),
    ours={"robust": "the epoch is chosen by accuracy under attack; theirs is the last"},
    differs=(
        "their early stopping compares the accuracy under PGD-5 of one epoch with that of the next, on one batch; "
        "ours looks every 50 steps and compares it with that under the single step: a collapse is seen within the "
        "epoch",
    ),
    variants={
        "n_fgsm": Origin(code="pdejorge/N-FGSM at d1cf004, train.py", from_code=("num_epochs", "objective")),
    },
)
