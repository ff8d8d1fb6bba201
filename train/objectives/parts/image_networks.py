"""Image-to-image networks by name."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from train.files import checkpoint
from train.models import call_function, is_function
from train.models.autoencoder import Autoencoder

BUILT_IN = "autoencoder"
WEIGHTS = Path(__file__).parent / "autoencoder.pt"
"""What `python -m train.autoencoder` makes of CIFAR-10, without what only its training needs."""


def load_network(name: str) -> nn.Module:
    """The network in evaluation mode, on the CPU: images (N, 3, H, W) in [0, 1] -> the same shape.

    Args:
        name: "autoencoder", the small one that lies here; a last.pt of `python -m train.autoencoder`; or
            MODULE:FUNCTION, a function without arguments that gives a network.

    Raises:
        FileNotFoundError, ImportError, ValueError, TypeError: one line on what is wrong with the name.
    """
    if name == BUILT_IN:
        return load_autoencoder(WEIGHTS)
    if name.endswith(".pt"):
        if not Path(name).is_file():
            raise FileNotFoundError(f"network {name!r} does not exist; train one: python -m train.autoencoder")
        return load_autoencoder(Path(name))
    if not is_function(name):
        raise ValueError(f"network {name!r} must be {BUILT_IN!r}, a file that ends in .pt, or MODULE:FUNCTION")
    return call_function(name).eval()


def load_autoencoder(path: Path) -> nn.Module:
    """The network of a last.pt of `python -m train.autoencoder`. FileNotFoundError, ValueError if it is none."""
    content = checkpoint.load(path)
    if "autoencoder_network" not in content:
        raise ValueError(f"{path} holds no autoencoder; train one: python -m train.autoencoder")
    network = Autoencoder(**content["autoencoder_network"])
    network.load_state_dict(content["autoencoder"])
    return network.eval()
