"""Torch tensors: images (N, C, H, W) float. Draws are (N,) float64 on the CPU and reach the images' device once."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mixdali.checks import one_of
from mixdali.output import UNCHANGED, Output
from mixdali.plan import Plan, is_whole
from mixdali.worlds.classmates import partners_by_class


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
        return TensorRandomness(_checked(self.data).shape, rng)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def floor(self, value: Any) -> Any:
        return torch.floor(value)

    def sqrt(self, value: Any) -> Any:
        return torch.sqrt(value)

    def exp(self, value: Any) -> Any:
        return torch.exp(value)

    def log(self, value: Any) -> Any:
        return torch.log(value)

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        return torch.minimum(torch.maximum(value, torch.as_tensor(low)), torch.as_tensor(high))

    def pair(self, y: Any, x: Any) -> Tensor:
        return torch.stack(torch.broadcast_tensors(torch.as_tensor(y), torch.as_tensor(x)), dim=-1)

    def at(self, pair: Tensor, place: int) -> Tensor:
        return pair[..., place]

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

    def row(self, axis: int) -> Tensor:
        return torch.arange(_checked(self.data).shape[2 + axis], dtype=torch.float64).unsqueeze(0)

    def each(self, value: Any, axes: int = 1) -> Any:
        return _trailing(value, 1 + axes) if isinstance(value, Tensor) and value.ndim else value

    def colour(self, levels: Sequence[float]) -> Tensor:
        if len(levels) not in (1, self.data.shape[1]):
            raise ValueError(f"a colour of {len(levels)} levels does not fit images of {self.data.shape[1]} channels")
        return torch.tensor(levels).reshape(-1, 1, 1).expand(len(self.data), len(levels), 1, 1)

    def mean(self, row: Tensor) -> Tensor:
        return row.mean(dim=-1)

    def outer(self, base: Any, rows: Tensor, columns: Tensor) -> Tensor:
        return self.each(base, 2) + rows.unsqueeze(-1) * columns.unsqueeze(-2)

    def host(self, function: Callable[..., Any], *numbers: Any) -> Tensor:
        height, width = _checked(self.data).shape[2:]
        made: dict[tuple[float, ...], Tensor] = {}
        keys = list(zip(*(torch.as_tensor(n).expand(len(self.data)).tolist() for n in numbers), strict=True))
        for key in keys:
            if key not in made:
                made[key] = torch.from_numpy(function(height, width, *key))
        return torch.stack([made[key] for key in keys])

    def finish(self, plan: Plan) -> Plan:
        values: dict[str, Any] = {}
        number = len(self.data)
        for name, value in plan.parts().items():
            dtype = torch.int64 if is_whole(name) else torch.float32
            tensor = torch.as_tensor(value).to(self.data.device, dtype)
            values[name] = tensor.expand(number, *tensor.shape[1:]) if tensor.ndim else tensor.expand(number)
        return Plan.of_parts(values)

    def apply(
        self, images: Tensor, targets: Tensor | None, plan: Plan, output: Output = UNCHANGED
    ) -> tuple[Tensor, Tensor | None]:
        return self.blend(images, plan, output), None if targets is None else self.blend_targets(targets, plan)

    def blend(self, images: Tensor, plan: Plan, output: Output = UNCHANGED) -> Tensor:
        own = _checked(images).to(torch.promote_types(images.dtype, torch.float32))
        outside = 1.0 if plan.outside is None else plan.outside
        other = self._shown(own, plan) if plan.fill is None else self._filled(own, plan.fill)
        if plan.region is not None and plan.box is not None:
            # another part of the partner is shown in the box alone; around it the partner is in its place
            other = torch.where(_inside(_on(own, plan.box), *own.shape[2:]), other, own[_on(own, plan.partner).long()])
        kept = self._kept(own, plan.box, plan.weight, outside)
        if plan.mask is not None:
            kept = kept * _on(own, plan.mask, own.dtype).unsqueeze(-3)
        # lerp is exact at both ends, and between two values that are at most 1 it never passes 1
        mixed = torch.lerp(other, own, kept)
        for layer in plan.more:
            mixed = torch.lerp(self._shown(own, layer), mixed, self._kept(own, layer.box, layer.weight, 1.0))
        if plan.scale is not None:
            mixed = mixed * _on(own, plan.scale, own.dtype)
        if plan.noise is not None:
            mixed = mixed + _on(own, plan.noise, own.dtype)
        return _handed_out(mixed, output, images.dtype)

    def _kept(self, images: Tensor, box: Any, weight: Any, outside: Any) -> Tensor:
        """What is left of the pixels below: (N, 1, H, W), or (N, 1, 1, 1) without a box."""
        kept = _trailing(_on(images, weight, images.dtype), 4)
        if box is None:
            return kept
        rest = _trailing(_on(images, outside, images.dtype), 4)
        return torch.where(_inside(_on(images, box), *images.shape[2:]), kept, rest)

    def _shown(self, images: Tensor, layer: Any) -> Tensor:
        """The partner's pixels at the places where they are shown."""
        if layer.partner is None:
            partner = torch.arange(len(images), device=images.device)
        else:
            partner = _on(images, layer.partner).long()
        if layer.region is None:
            return images[partner]
        box = _on(images, self.box(0 * self.size, self.size) if layer.box is None else layer.box).long()
        region = _on(images, layer.region).long()
        rows = _places(box[:, 0], box[:, 2], region[:, 0], region[:, 2], images.shape[2])
        columns = _places(box[:, 1], box[:, 3], region[:, 1], region[:, 3], images.shape[3])
        shown = images[partner[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return shown.permute(0, 3, 1, 2)

    def _filled(self, images: Tensor, fill: Any) -> Tensor:
        return _trailing(_on(images, fill, images.dtype), 4).expand_as(images)

    def blend_targets(self, targets: Tensor, plan: Plan) -> Tensor:
        if not isinstance(targets, Tensor) or targets.ndim != 2 or not targets.is_floating_point():
            got = f"{targets.dtype} {tuple(targets.shape)}" if isinstance(targets, Tensor) else repr(type(targets))
            raise TypeError(
                f"targets must be probabilities (N, num_classes), float, got {got}; "
                "use mixdali.one_hot(labels, num_classes) first"
            )
        if len(targets) != len(self.data):
            raise ValueError(f"targets must have a row for each of the {len(self.data)} images, got {len(targets)}")
        if plan.partner is None:
            return targets
        lam = _trailing(_on(targets, plan.lam, targets.dtype), 2)
        shares = [_trailing(_on(targets, layer.share, targets.dtype), 2) for layer in plan.more]
        mixed = lam * targets + (1 - lam - sum(shares)) * targets[_on(targets, plan.partner).long()]
        for layer, share in zip(plan.more, shares, strict=True):
            other = targets if layer.partner is None else targets[_on(targets, layer.partner).long()]
            mixed = mixed + share * other
        return mixed

    def one_hot(self, labels: Tensor, num_classes: int, on: float, off: float) -> Tensor:
        if labels.is_floating_point() or labels.dtype == torch.bool or labels.ndim != 1:
            raise TypeError(f"labels must be integers (N,), got {labels.dtype} {tuple(labels.shape)}")
        wrong = labels[(labels < 0) | (labels >= num_classes)]
        if len(wrong):
            raise ValueError(f"labels must be from 0 to num_classes - 1 = {num_classes - 1}, got {int(wrong[0])}")
        targets = torch.full((len(labels), num_classes), off, dtype=torch.float32, device=labels.device)
        return targets.scatter_(1, labels.long().unsqueeze(1), on)

    def to_float(self, images: Tensor, output: Output = UNCHANGED) -> Tensor:
        if not images.is_floating_point():
            if images.dtype != torch.uint8:
                raise TypeError(f"images must be uint8 or float, got {images.dtype}")
            return _handed_out(images.to(torch.float32) / 255, output, torch.float32)
        if output == UNCHANGED:
            return images
        own = _checked(images).to(torch.promote_types(images.dtype, torch.float32))
        return _handed_out(own, output, images.dtype)


class TensorRandomness:
    def __init__(self, shape: torch.Size, rng: torch.Generator) -> None:
        self.shape = shape
        self.rng = rng

    def uniform(self, name: str, per: str) -> Tensor:
        return self._spread(torch.rand(self._draws(per), generator=self.rng, dtype=torch.float64), per)

    def beta(self, name: str, a: Any, b: Any, per: str) -> Tensor:
        if isinstance(a, int | float) and isinstance(b, int | float) and a == b == 1:
            return self.uniform(name, per)  # the same law, for a tenth of the work
        first, second = (
            log_gamma(torch.as_tensor(value, dtype=torch.float64).expand(self._draws(per)), self.rng)
            for value in (a, b)
        )
        return self._spread(torch.sigmoid(first - second), per)

    def _draws(self, per: str) -> int:
        return {"image": self.shape[0], "batch": 1, "pair": (self.shape[0] + 1) // 2}[per]

    def _spread(self, draws: Tensor, per: str) -> Tensor:
        if per == "pair":
            places = torch.arange(self.shape[0])
            return draws[torch.minimum(places, places.flip(0))]
        return draws.expand(self.shape[0])

    def partner(self, name: str, rule: str) -> Tensor:
        places = torch.arange(self.shape[0])
        if rule == "flip":
            return places.flip(0)
        if rule == "roll":
            return places.roll(1)
        order = torch.randperm(self.shape[0], generator=self.rng)
        if rule == "permutation":
            return order
        return torch.empty_like(order).scatter_(0, order, order.roll(1))

    def partner_by_class(self, targets: Tensor, mate: Tensor, rule: str) -> Tensor:
        if not isinstance(targets, Tensor) or targets.ndim not in (1, 2) or len(targets) != self.shape[0]:
            raise ValueError(f'partner="{rule}" needs targets ({self.shape[0]}, num_classes), a row for each image')
        return torch.from_numpy(partners_by_class(targets.detach().float().cpu().numpy(), mate.numpy(), rule)).long()

    def follow(self, partner: Tensor, again: Tensor) -> Tensor:
        return partner.long()[again.long()]

    def pixels(self, name: str, law: str) -> Tensor:
        draw = torch.rand if law == "uniform" else torch.randn
        return draw(self.shape, generator=self.rng, dtype=torch.float32)

    def given(self, value: Any) -> Tensor:
        tensor = torch.as_tensor(value, device="cpu")
        if tensor.is_floating_point() and not isinstance(value, Tensor):
            tensor = torch.as_tensor(value, dtype=torch.float64)
        return tensor.expand(self.shape[0]) if tensor.ndim < 2 else tensor

    def given_partner(self, value: Any) -> Tensor:
        return self.given(value)

    def setting(self, value: Any) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float64)


def log_gamma(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """The logarithms of Gamma(alpha) draws, alpha float64 above 0 on the generator's device.

    As Gamma(alpha + 1) times U ** (1 / alpha): at a small alpha the draws themselves are 0 in floating point, and
    nothing can be said of the ratio of two zeros.
    """
    above = torch._standard_gamma(alpha + 1, generator=generator)
    uniform = torch.rand(alpha.shape, generator=generator, dtype=torch.float64, device=generator.device)
    return above.log() + uniform.log() / alpha


def _handed_out(images: Tensor, output: Output, dtype: torch.dtype) -> Tensor:
    """Floats (N, C, H, W) in the form that is asked for; `dtype` where none is."""
    if output.normalises:
        if output.channels not in (1, images.shape[1]):
            raise ValueError(f"mean and std are for {output.channels} channels, images have {images.shape[1]}")
        mean, std = (images.new_tensor(values).reshape(-1, 1, 1) for values in (output.mean, output.std))
        images = (images - mean) / std
    if output.dtype == "uint8":
        images = (images * 255 + 0.5).floor().clamp(0, 255)
    images = images.to(getattr(torch, output.dtype) if output.dtype else dtype)
    return images.permute(0, 2, 3, 1).contiguous() if output.layout == "HWC" else images


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


def _places(start: Tensor, end: Tensor, first: Tensor, last: Tensor, size: int) -> Tensor:
    """For each pixel along one side the nearest pixel of the part that is shown there: (N, size) int."""
    pixels = torch.arange(size, device=start.device)
    start, end, first, last = (value.unsqueeze(1) for value in (start, end, first, last))
    within = first + ((2 * (pixels - start) + 1) * (last - first)) // (2 * (end - start).clamp_min(1))
    return torch.where((pixels >= start) & (pixels < end), within, pixels).clamp(0, size - 1)
