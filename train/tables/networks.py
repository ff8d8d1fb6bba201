"""A small network for rows, and one for sequences."""

from __future__ import annotations

import torch
from torch import nn

from mixdali import derive_seed


def build_network(shape: tuple[int, ...], num_classes: int, width: int, seed: int) -> nn.Module:
    """For rows (D,) two hidden layers, for sequences (C, T) three convolutions and their mean over time.

    The inputs of its last linear layer are the features that GenLabel knows.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, "model"))
        if len(shape) == 1:
            return nn.Sequential(
                nn.Linear(shape[0], width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, num_classes),
            )
        return nn.Sequential(
            *_convolution(shape[0], width, 7, stride=2),
            *_convolution(width, width, 5, stride=2),
            *_convolution(width, width, 3, stride=1),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
            nn.Linear(width, num_classes),
        )


def _convolution(before: int, after: int, size: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv1d(before, after, size, stride=stride, padding=size // 2, bias=False)
    return [convolution, nn.BatchNorm1d(after), nn.ReLU()]
