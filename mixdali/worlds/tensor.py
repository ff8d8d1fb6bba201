"""Torch tensors: images (N, C, H, W) float. Draws are (N,) float64 on the CPU and reach the images' device once."""

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mixdali.checks import one_of
from mixdali.plan import Plan


class TensorWorld:
    def __init__(self, data: Tensor, layout: str | None = None) -> None:
        one_of("layout of torch tensors", layout or "CHW", ("CHW",))
        self.data = data

    @cached_property
    def size(self) -> Tensor:
        return torch.tensor(_checked(self.data).shape[2:], dtype=torch.float64)

    def randomness(self, rng: torch.Generator | None) -> "TensorRandomness":
        if rng is None:
            rng = torch.Generator()
            rng.seed()
        if not isinstance(rng, torch.Generator) or rng.device.type != "cpu":
            raise TypeError(f"rng must be a torch.Generator on the CPU, whatever the images' device, got {rng!r}")
        return TensorRandomness(len(_checked(self.data)), rng)

    def floor(self, value: Any) -> Any:
        return torch.floor(value)

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        return torch.minimum(torch.clamp_min(value, low), torch.as_tensor(high))

    def pair(self, y: Any, x: Any) -> Tensor:
        return torch.stack([y, x], dim=-1)

    def box(self, start: Any, end: Any) -> Tensor:
        return torch.cat([start.expand(len(self.data), 2), end.expand(len(self.data), 2)], dim=-1)

    def covered(self, box: Tensor) -> Tensor:
        return (box[:, 2:] - box[:, :2]).prod(dim=-1) / self.size.prod()

    def select(self, hits: Sequence[Tensor], values: Sequence[Any]) -> Tensor:
        tensors = [torch.as_tensor(value) for value in values]
        ndim = max(tensor.ndim for tensor in tensors)
        chosen = torch.zeros(())
        for hit, tensor in zip(hits, tensors, strict=True):
            chosen = chosen + _trailing(hit, ndim) * tensor
        return chosen

    def finish(self, plan: Plan) -> Plan:
        values: dict[str, Any] = {}
        for field in fields(plan):
            value, integer = getattr(plan, field.name), field.name in ("partner", "box")
            if value is not None:
                values[field.name] = value.to(self.data.device, torch.int64 if integer else torch.float32)
        return Plan(**values)

    def blend(self, images: Tensor, plan: Plan) -> Tensor:
        _checked(images)
        work = torch.promote_types(images.dtype, torch.float32)
        weight = _trailing(_on(images, plan.weight, work), 4)
        if plan.box is not None:
            inside = _inside(_on(images, plan.box), *images.shape[2:])
            weight = torch.where(inside, weight, torch.ones((), dtype=work, device=images.device))
        if plan.mask is not None:
            weight = weight * _on(images, plan.mask, work).unsqueeze(-3)
        other = images[_on(images, plan.partner)]
        # lerp is exact at both ends, and between two values that are at most 1 it never passes 1
        return torch.lerp(other.to(work), images.to(work), weight).to(images.dtype)

    def blend_targets(self, targets: Tensor, plan: Plan) -> Tensor:
        if not isinstance(targets, Tensor) or targets.ndim != 2 or not targets.is_floating_point():
            got = f"{targets.dtype} {tuple(targets.shape)}" if isinstance(targets, Tensor) else repr(type(targets))
            raise TypeError(
                f"targets must be probabilities (N, num_classes), float, got {got}; "
                "use mixdali.one_hot(labels, num_classes) first"
            )
        if len(targets) != len(self.data):
            raise ValueError(f"targets must have a row for each of the {len(self.data)} images, got {len(targets)}")
        lam = _trailing(_on(targets, plan.lam, targets.dtype), 2)
        return lam * targets + (1 - lam) * targets[_on(targets, plan.partner)]

    def one_hot(self, labels: Tensor, num_classes: int, on: float, off: float) -> Tensor:
        if labels.is_floating_point() or labels.dtype == torch.bool or labels.ndim != 1:
            raise TypeError(f"labels must be integers (N,), got {labels.dtype} {tuple(labels.shape)}")
        wrong = labels[(labels < 0) | (labels >= num_classes)]
        if len(wrong):
            raise ValueError(f"labels must be from 0 to num_classes - 1 = {num_classes - 1}, got {int(wrong[0])}")
        targets = torch.full((len(labels), num_classes), off, dtype=torch.float32, device=labels.device)
        return targets.scatter_(1, labels.long().unsqueeze(1), on)

    def to_float(self, images: Tensor) -> Tensor:
        if images.is_floating_point():
            return images
        if images.dtype != torch.uint8:
            raise TypeError(f"images must be uint8 or float, got {images.dtype}")
        return images.to(torch.float32) / 255


class TensorRandomness:
    def __init__(self, number: int, rng: torch.Generator) -> None:
        self.number = number
        self.rng = rng

    def uniform(self, name: str, per: str) -> Tensor:
        return self._spread(torch.rand(self._draws(per), generator=self.rng, dtype=torch.float64), per)

    def beta(self, name: str, alpha: float, per: str) -> Tensor:
        number = self._draws(per)
        return self._spread(torch.sigmoid(self._log_gamma(alpha, number) - self._log_gamma(alpha, number)), per)

    def _draws(self, per: str) -> int:
        return {"image": self.number, "batch": 1, "pair": (self.number + 1) // 2}[per]

    def _spread(self, draws: Tensor, per: str) -> Tensor:
        if per == "pair":
            places = torch.arange(self.number)
            return draws[torch.minimum(places, places.flip(0))]
        return draws.expand(self.number)

    def _log_gamma(self, alpha: float, number: int) -> Tensor:
        # The logarithm of a Gamma(alpha) draw, by Gamma(alpha + 1) times U ** (1 / alpha): a Gamma draw itself is 0 in
        # floating point for most draws at a small alpha, and the ratio of two zeros is no Beta draw.
        above = torch._standard_gamma(torch.full((number,), alpha + 1, dtype=torch.float64), generator=self.rng)
        return above.log() + torch.rand(number, generator=self.rng, dtype=torch.float64).log() / alpha

    def partner(self, name: str, rule: str) -> Tensor:
        places = torch.arange(self.number)
        if rule == "flip":
            return places.flip(0)
        if rule == "roll":
            return places.roll(1)
        order = torch.randperm(self.number, generator=self.rng)
        if rule == "permutation":
            return order
        return torch.empty_like(order).scatter_(0, order, order.roll(1))

    def given(self, value: Any) -> Tensor:
        tensor = torch.as_tensor(value, device="cpu")
        if tensor.is_floating_point() and not isinstance(value, Tensor):
            tensor = torch.as_tensor(value, dtype=torch.float64)
        return tensor.expand(self.number)


def _checked(images: Tensor) -> Tensor:
    if images.ndim != 4 or not images.is_floating_point():
        raise TypeError(
            f"images must be a float tensor (N, C, H, W), got {images.dtype} {tuple(images.shape)}; "
            "mixdali.to_float turns uint8 into floats"
        )
    return images


def _on(data: Tensor, value: Any, dtype: torch.dtype | None = None) -> Tensor:
    return torch.as_tensor(value).to(data.device, dtype)


def _trailing(value: Tensor, ndim: int) -> Tensor:
    """(N, ...) -> (N, ..., 1, 1) with ndim dimensions, to broadcast against a batch."""
    return value.reshape(value.shape + (1,) * (ndim - value.ndim))


def _inside(box: Tensor, height: int, width: int) -> Tensor:
    """(N, 4) -> (N, 1, H, W) bool."""
    y0, x0, y1, x1 = (_trailing(corner, 4) for corner in box.unbind(-1))
    ys = torch.arange(height, device=box.device).reshape(-1, 1)
    xs = torch.arange(width, device=box.device)
    return (ys >= y0) & (ys < y1) & (xs >= x0) & (xs < x1)
