"""DALI pipelines written out plainly: CIFAR pickles and folders of images, decoded, augmented and mixed.

from pipelines import cifar
for images, targets in cifar.train_loader("cifar-10-batches-py", batch_size=128, num_classes=10, mix=MixUp()): ...
"""
