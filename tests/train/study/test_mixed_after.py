"""The arms that other libraries mix: their batches are those of the library, and repeat."""

from typing import Literal

import numpy as np
import pytest
import torch
from timm.data import Mixup
from torchvision.transforms import v2

from train.objectives.batch import Batch
from train.study.arms.mixed_after import MixedAfter, global_generators

N, CLASSES = 8, 3


class Remembering(torch.nn.Module):
    """Logits of zeros, and the images that it saw."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen = images
        return images.new_zeros(len(images), CLASSES)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(N, dtype=torch.int32) % CLASSES
    targets = torch.eye(CLASSES)[labels.long()]
    images = torch.rand(N, 3, 8, 8, generator=generator)
    return Batch(epoch=0, step=0, images=images, targets=targets, labels=labels)


@pytest.mark.parametrize("by", ["timm", "torchvision"])
@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_network_sees_what_the_library_makes(
    by: Literal["timm", "torchvision"], kind: Literal["mixup", "cutmix"]
) -> None:
    given, network = batch(), Remembering()
    MixedAfter(by=by, kind=kind)(network, given, torch.nn.Module(), {"seed": torch.tensor(5)})
    assert given.labels is not None
    with global_generators(5):
        if by == "timm":
            alphas = {"mixup_alpha": float(kind == "mixup"), "cutmix_alpha": float(kind == "cutmix")}
            wanted, _ = Mixup(**alphas, label_smoothing=0.0, num_classes=CLASSES)(
                given.images.clone(), given.labels.long()
            )
        else:
            mix = v2.MixUp(num_classes=CLASSES) if kind == "mixup" else v2.CutMix(num_classes=CLASSES)
            wanted, _ = mix(given.images, given.labels.long())
    torch.testing.assert_close(network.seen, wanted)
    assert not torch.equal(network.seen, given.images)
    assert torch.equal(given.images, batch().images)


def test_generators_of_everybody_else_go_on_as_if_nothing_was_drawn() -> None:
    np.random.seed(1)
    torch.manual_seed(1)
    wanted = np.random.rand(), torch.rand(()).item()
    np.random.seed(1)
    torch.manual_seed(1)
    MixedAfter(by="timm", kind="mixup")(Remembering(), batch(), torch.nn.Module())
    assert (np.random.rand(), torch.rand(()).item()) == wanted
