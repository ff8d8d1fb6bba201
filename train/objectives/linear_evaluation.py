"""Linear evaluation: what a linear classifier can tell from features that stay as they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.attacks.network import in_mode, undistributed
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.hidden import classifier, recorded


@dataclass(frozen=True)
class LinearEvaluation(Objective):
    """Cross-entropy of the last linear layer, which begins anew and learns alone.

    Everything before it keeps its weights and its running averages: the features are those of the network in evaluation
    mode. `--weights` says which network that is. It learns in one process.
    """

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        """Draws the layer's first weights from torch's global generator, as layers do.

        ValueError: there are several processes, or no linear layer.
        """
        if torch.distributed.is_available() and torch.distributed.is_initialized() and _processes() > 1:
            raise ValueError(
                f"LinearEvaluation learns one layer, in one process; start it without torchrun, got {_processes()}"
            )
        classifier(model).reset_parameters()
        return nn.Module()

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        checked_draws(self, batch, draws)
        layer, network = classifier(model), undistributed(model)
        with torch.no_grad(), in_mode(network, "eval"), recorded(layer, inputs=True) as seen:
            network(batch.images)
        logits = layer(seen[0])
        loss = cross_entropy(logits, batch.targets).mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logits.detach(), batch.targets).mean()}


def _processes() -> int:
    return torch.distributed.get_world_size()
