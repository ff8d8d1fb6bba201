"""A small class-conditional GAN at 32 px: labelled images for whoever has too few, or wants to test on fresh ones.

python -m train.generator [--root CIFAR] [--field value ...]
python -m train.generator.draw runs/generator/last.pt --num_images 10000
"""

from train.data.streams.samples import generate as generate
from train.data.streams.samples import generated_source as generated_source
from train.data.streams.samples import read_samples as read_samples
