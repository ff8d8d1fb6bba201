"""DALI pipelines written out plainly: CIFAR pickles and folders of images, decoded, augmented and mixed.

from mixdali.pipelines import cifar
loader = cifar.train_loader("cifar-10-batches-py", batch_size=128, num_classes=10, mix=mixdali.MixUp())
for images, targets in loader:
    ...

An installed mixdali has this package as `mixdali.pipelines`. In a checkout it lies beside mixdali as `pipelines`, and
answers to both names.
"""

try:
    import nvidia.dali as _dali  # noqa: F401
except ImportError as error:
    raise ImportError(
        "the pipelines need NVIDIA DALI: pip install 'mixdali[cuda13]', or 'mixdali[cuda12]' for an older driver "
        "(Linux; a GPU is not needed)"
    ) from error
