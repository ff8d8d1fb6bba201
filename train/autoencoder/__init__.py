"""A small convolutional autoencoder at 32 px, whose weights `AdversarialAugment` moves.

python -m train.autoencoder [--root CIFAR] [--field value ...]
"""

from train.autoencoder.load import load_network as load_network
from train.autoencoder.network import Autoencoder as Autoencoder
