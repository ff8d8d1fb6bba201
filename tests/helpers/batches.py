"""Batches of images that show their own label, for the tests of loaders."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import mixdali
from mixdali import Choose, CutMix, MixUp

K = 5
MIX = Choose([MixUp(), CutMix()])


def painted(number: int = 11, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Images of K channels that show their own label, the labels, and every image's number."""
    labels = torch.arange(number) * 3 % K
    images = F.one_hot(labels, K).reshape(number, K, 1, 1).expand(number, K, 7, 9)
    return (images * (255 if dtype == torch.uint8 else 1)).to(dtype), labels, torch.arange(number)


def dataset(number: int = 11) -> TensorDataset:
    return TensorDataset(*painted(number))


def data_loader(**settings: Any) -> DataLoader:
    return DataLoader(dataset(), **({"batch_size": 4} | settings))


def equal(ours: Any, theirs: Any) -> bool:
    return len(ours) == len(theirs) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def same(ours: list, theirs: list) -> bool:
    return len(ours) == len(theirs) and all(equal(a, b) for a, b in zip(ours, theirs, strict=True))


def whole() -> Any:
    return mixdali.mixed(data_loader(), MIX, num_classes=K)
