"""Certified robustness by randomized smoothing.

Cohen, Rosenfeld and Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019, arXiv:1902.02918:
the class that a network gives most often to an image under Gaussian noise does not change within a radius in L2, which
follows from how often.

    python -m train.certify runs/jeong2021smoothmix/last.pt
"""

from train.certify.smoothing import ABSTAIN as ABSTAIN
from train.certify.smoothing import certificate as certificate
from train.certify.smoothing import certified_accuracy as certified_accuracy
from train.certify.smoothing import lower_bound as lower_bound
from train.certify.smoothing import prediction as prediction
