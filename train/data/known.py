"""Data sets that papers report on, and how to tell that a run has one of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from train.data.sources import Sources, fingerprint

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class Known:
    """A data set."""

    num_images: int
    """Training images."""
    num_test_images: int
    classes: str
    """The sha256 of the names of the classes, in order, a line each."""
    test_images: str | None = None
    """`fingerprint` of the test images; None where only numbers and names are looked at."""

    def is_in(self, sources: Sources) -> bool:
        """Whether the sources of a run are of this data set, whichever part of it is trained on."""
        test = sources.also.get("test", sources.held_out)
        return (
            sources.num_all in (None, self.num_images)
            and len(test) == self.num_test_images
            and hashlib.sha256("\n".join(sources.classes).encode()).hexdigest() == self.classes
            and self.test_images in (None, fingerprint(test))
        )


KNOWN = {
    "CIFAR-10": Known(
        num_images=50_000,
        num_test_images=10_000,
        classes="bb3914949cecedee6d1257f7f5fdb8f43fa3b2c8095fd1763161caf1b873fe59",
        test_images="ecff08e79428b46dec5fefe7a659eb6cc5aa4a4309c730692ce9e4f3d7715fd1",
    ),
    "CIFAR-100": Known(
        num_images=50_000,
        num_test_images=10_000,
        classes="fbe8ad23bbaf24969898a386833b49c3aaf6ad1119d43f7b41cdea1b3416d578",
    ),
    # Its 1000 classes by their WordNet numbers, as its folders are called.
    "ImageNet": Known(
        num_images=1_281_167,
        num_test_images=50_000,
        classes="385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd",
    ),
}
