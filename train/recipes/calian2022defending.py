"""AdA: train on images that an image-to-image network corrupts, with weights moved to where the loss is larger.

Calian, Stimberg, Wiles, Rebuffi, Gyorgy, Mann and Gowal, "Defending Against Image Corruptions Through Adversarial
Augmentations", ICLR 2022, arXiv:2104.01086.

No code is public. That each image has a move of the network's weights of its own, found by an attack of the
classifier, is the paper's; the ball for each layer, of a share of its length, is so from memory; radius, steps and
network are ours: a small autoencoder (`python -m train.autoencoder`, trained on CIFAR-10) that lies here, a move of
0.5 % of each tensor's length and three steps of 0.4 %, by which images change their colours and get a pattern; at 2 %
little is left of some. `alike` moves by up to 1 % and keeps a structural similarity of 0.3, from memory the paper's for
some of its networks; `beside_clean` takes half of the loss from the images as they are; `augmix` corrupts what AugMix
makes of the images.
"""

from dataclasses import replace

from train.attacks import ParameterAttack
from train.objectives import AdversarialAugment
from train.optim.optimizers import SGD
from train.optim.schedules import Cosine
from train.recipe import Origin, Recipe
from train.recipes import baseline

attack = ParameterAttack(eps=0.005, step_size=0.004, num_steps=3)

recipe = Recipe(
    paper="2104.01086",
    data="cifar",
    model="preact_resnet50",
    num_epochs=200,
    batch_size=128,
    lr=0.1,
    optimizer=SGD(nesterov=True),
    weight_decay=5e-4,
    schedule=Cosine(warmup=5),
    objective=AdversarialAugment(attack=attack),
)

alike = replace(recipe, objective=AdversarialAugment(attack=replace(attack, eps=0.01, step_size=0.008, least_ssim=0.3)))

beside_clean = replace(recipe, objective=AdversarialAugment(attack=attack, clean=0.5))

augmix = replace(recipe, objective=AdversarialAugment(attack=attack, corrupts="view1"))

small = replace(baseline.small, paper=recipe.paper, objective=recipe.objective)

small_augmix = replace(small, objective=augmix.objective)

origin = Origin(
    from_paper=("data", "model"),
    ours={
        "num_epochs": "usual for the network",
        "batch_size": "usual for the network",
        "lr": "usual for the network",
        "optimizer": "usual for the network",
        "weight_decay": "usual for the network",
        "schedule": "usual for the network",
        "objective": "that each image moves the weights of an image-to-image network its own way is the paper's, the "
        "ball for each layer is so from memory; radius, steps and the network, a small autoencoder that lies in the "
        "checkout, are ours: at a radius of 2 % little is left of some images",
    },
    differs=(
        "theirs are four larger image-to-image networks (among them EDSR and an autoencoder of DeepAugment): none is "
        "public with its weights",
    ),
    variants={
        "alike": Origin(
            ours={"objective": "the least similarity of 0.3 is the paper's for some of its networks, from memory"}
        ),
        "augmix": Origin(
            ours={"objective": "AugMix comes first, in the pipeline; in the paper, from memory, after the network"}
        ),
        "beside_clean": Origin(ours={"objective": "half of the loss of the images as they are"}),
    },
)
