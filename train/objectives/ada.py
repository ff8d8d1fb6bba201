"""AdversarialAugment: training on images that a network corrupts, with weights moved to where the loss is larger.

Calian, Stimberg, Wiles, Rebuffi, Gyorgy, Mann and Gowal, "Defending Against Image Corruptions Through Adversarial
Augmentations", ICLR 2022, arXiv:2104.01086.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from mixdali import derive_seed
from mixdali.checks import fraction, one_of
from train.attacks import BatchNorm, ParameterAttack, attacked
from train.attacks.images import check_stream
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.draws import Expected, expected_index, host_generator
from train.objectives.parts.image_networks import BUILT_IN, load_network

ATTACK = ParameterAttack()


class Corruptor(nn.Module):
    """The image-to-image network, which does not learn."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class AdversarialAugment(Objective):
    """Cross-entropy of corrupted images c(x; phi + delta), with a delta of the weights of c for each image.

    The attack maximises the cross-entropy over delta; the targets are those of the images, soft or mixed. With `clean`
    above 0 the loss is (1 - clean) times that of the corrupted images plus `clean` times that of the images as they
    are, which pass the network between the attack and the corrupted ones.

    Draws: `start_seed` () int, which decides the start of the attack; a draw `start` (N, P), what is added to the P
    parameters of c for each image before the first step, in the order of its `named_parameters`, replaces it.

    Raises, when called:
        ValueError: images that are not in [0, 1], or a network that changes their shape.
    """

    attack: ParameterAttack = ATTACK
    network: str = BUILT_IN
    """c: "autoencoder", the small one that lies here; a last.pt of python -m train.autoencoder; or MODULE:FUNCTION, a
    function without arguments that gives a network, images (N, 3, H, W) in [0, 1] -> the same shape."""
    batch_norm: BatchNorm = "eval"
    """What normalises in the classifier during the attack."""
    clean: float = 0.0
    """Share of the clean images' loss."""
    corrupts: Literal["images", "view1"] = "images"
    """What c is given: the images, or "view1", what AugMix makes of them. The clean images' loss is of the images."""

    def __post_init__(self) -> None:
        one_of("AdversarialAugment: batch_norm", self.batch_norm, ("eval", "train", "frozen"))
        fraction("AdversarialAugment: clean", self.clean)
        one_of("AdversarialAugment: corrupts", self.corrupts, ("images", "view1"))

    @property
    def outputs(self) -> tuple[str, ...]:
        return (*super().outputs, *(("view1",) if self.corrupts == "view1" else ()))

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        """Loads the image-to-image network. FileNotFoundError, ValueError or ImportError if there is none."""
        return Corruptor(load_network(self.network))

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        return {"start_seed": torch.randint(2**62, (), generator=host_generator(generator), device="cpu")}

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        if "start" in given and "start_seed" not in given:
            return {"start": Expected(None)}
        return {"start_seed": expected_index(1 << 62), "start": Expected(None, needed=False)}

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        check_stream(batch.images, state)
        draws = checked_draws(self, batch, draws)
        corrupted = self.corrupt(model, batch, state, draws)
        losses, metrics = [], {}
        if self.clean > 0:
            logits = model(batch.images)
            losses.append(self.clean * cross_entropy(logits, batch.targets).mean())
            metrics["clean_accuracy"] = accuracy(logits.detach(), batch.targets).mean()
        logits = model(corrupted)
        losses.append((1 - self.clean) * cross_entropy(logits, batch.targets).mean())
        loss = torch.stack(losses).sum()
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logits.detach(), batch.targets).mean(), **metrics}

    def corrupt(self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws) -> Tensor:
        """The corrupted images of a batch, (N, 3, H, W) in [0, 1]."""
        assert isinstance(state, Corruptor)
        images = batch.images
        if self.corrupts == "view1":
            assert batch.view1 is not None
            images = batch.view1
        if "start" in draws:
            start = draws["start"]
        else:
            seed = derive_seed(int(draws["start_seed"]), "start")
            generator = torch.Generator(batch.images.device).manual_seed(seed)
            start = self.attack.draw(state.network, images, generator)
        with attacked(model, self.batch_norm) as classifier:
            return self.attack.search(
                state.network,
                images,
                lambda corrupted: cross_entropy(classifier(corrupted), batch.targets),
                start,
            )
