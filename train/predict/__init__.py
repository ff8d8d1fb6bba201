"""Predicting how well trained networks generalise, from labelled synthetic images.

Zhang, Gupta, Saunshi and Arora, "On Predicting Generalization using GANs", ICLR 2022, arXiv:2111.14212: a network's
accuracy on images of a class-conditional generator that was trained on the same training set predicts its accuracy on
the test set, with nothing to tune.

    python -m train.predict runs/*/last.pt --synthetic runs/generator/last.pt
"""

from train.predict.scores import conditional_mutual_information as conditional_mutual_information
from train.predict.scores import rank_correlations as rank_correlations
