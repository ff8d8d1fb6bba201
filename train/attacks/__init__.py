"""Adversarial attacks: images near the given ones, in [0, 1], on which a loss is large.

    adversarial = PGD(eps=8 / 255, step_size=2 / 255)(images, lambda x: cross_entropy(model(x), targets))

The loss gives one number for each image, (N,), and is what the attack maximises, so that one attack serves training and
evaluation, hard, soft and mixed targets. `attacked` says in which mode the network is meanwhile.
"""

from train.attacks.apgd import APGD as APGD
from train.attacks.apgd import attack_classes as attack_classes
from train.attacks.apgd import draw_starts as draw_starts
from train.attacks.attack import Attack as Attack
from train.attacks.attack import Loss as Loss
from train.attacks.attack import Misses as Misses
from train.attacks.fgsm import FGSM as FGSM
from train.attacks.losses import dlr as dlr
from train.attacks.losses import margin as margin
from train.attacks.losses import targeted_dlr as targeted_dlr
from train.attacks.network import BatchNorm as BatchNorm
from train.attacks.network import attacked as attacked
from train.attacks.parameters import ParameterAttack as ParameterAttack
from train.attacks.pgd import PGD as PGD
from train.attacks.robust import Robust as Robust
