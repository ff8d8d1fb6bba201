"""A small convolutional autoencoder at 32 px, whose weights `AdversarialAugment` moves.

python -m train.autoencoder [--root CIFAR] [--field value ...]
"""

from train.models.autoencoder import Autoencoder as Autoencoder
from train.objectives.parts.image_networks import load_network as load_network
