"""Torch tensors: images (N, C, H, W) float, or, where no place is drawn, (N, ...) of any shape."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mixdali.checks import one_of
from mixdali.draws import WEIGHT, check_partner, check_values
from mixdali.plan import Layer, Plan, is_whole
from mixdali.worlds.output import UNCHANGED, Output
from mixdali.worlds.tensor_draws import TensorRandomness, here

WEIGHTS = ("lam", "share", "weight", "outside")  # parts of a plan


class TensorWorld:
    def __init__(self, data: Tensor, layout: str | None = None) -> None:
        one_of("layout of torch tensors", layout or "CHW", ("CHW",))
        self.data = data

    @cached_property
    def size(self) -> Tensor:
        return torch.tensor(_images(self.data).shape[2:], dtype=torch.float32, device="cpu")

    def randomness(self, rng: torch.Generator | None) -> "TensorRandomness":
        if rng is None:
            rng = torch.Generator()
            rng.seed()
        if not isinstance(rng, torch.Generator) or rng.device.type != "cpu":
            raise TypeError(f"rng must be a torch.Generator on the CPU, whatever the images' device, got {rng!r}")
        return TensorRandomness(_checked(self.data).shape, rng)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def hit(self, condition: Tensor) -> Tensor:
        return condition.float()

    def floor(self, value: Any) -> Any:
        return torch.floor(value)

    def sqrt(self, value: Any) -> Any:
        # in float32 torch's is not always the nearest number, which is what other worlds have
        return torch.sqrt(value.double()).to(value.dtype)

    def exp(self, value: Any) -> Any:
        return torch.exp(value)

    def log(self, value: Any) -> Any:
        return torch.log(value)

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        return torch.minimum(torch.maximum(value, here(low)), here(high))

    def pair(self, y: Any, x: Any) -> Tensor:
        return torch.stack(torch.broadcast_tensors(here(y), here(x)), dim=-1)

    def at(self, pair: Tensor, place: int) -> Tensor:
        return pair[..., place]

    def box(self, start: Any, end: Any) -> Tensor:
        return torch.cat([start.expand(len(self.data), 2), end.expand(len(self.data), 2)], dim=-1)

    def covered(self, box: Tensor) -> Tensor:
        return (box[:, 2:] - box[:, :2]).prod(dim=-1) / self.size.prod()

    def select(self, hits: Sequence[Tensor], values: Sequence[Any]) -> Tensor:
        tensors = [here(value) for value in values]
        ndim = max(tensor.ndim for tensor in tensors)
        weighed = [_trailing(hit, ndim) * tensor for hit, tensor in zip(hits, tensors, strict=True)]
        return sum(weighed[1:], weighed[0])

    def row(self, axis: int) -> Tensor:
        return torch.arange(_images(self.data).shape[2 + axis], dtype=torch.float32, device="cpu").unsqueeze(0)

    def each(self, value: Any, axes: int = 1) -> Any:
        ndim = self.data.ndim if axes == 3 else 1 + axes
        return _trailing(value, ndim) if isinstance(value, Tensor) and value.ndim else value

    def colour(self, levels: Sequence[float]) -> Tensor:
        if len(levels) not in (1, self.data.shape[1]):
            raise ValueError(f"a colour of {len(levels)} levels does not fit images of {self.data.shape[1]} channels")
        grey = torch.tensor(levels, dtype=torch.float32, device="cpu")
        return grey.reshape(-1, 1, 1).expand(len(self.data), len(levels), 1, 1)

    def mean(self, row: Tensor) -> Tensor:
        return row.mean(dim=-1)

    def outer(self, base: Any, rows: Tensor, columns: Tensor) -> Tensor:
        return self.each(base, 2) + rows.unsqueeze(-1) * columns.unsqueeze(-2)

    def host(self, function: Callable[..., Any], *numbers: Any) -> Tensor:
        height, width = _images(self.data).shape[2:]
        made: dict[tuple[Any, ...], Tensor] = {}
        rows = list(zip(*(_columns(number, len(self.data)) for number in numbers), strict=True))
        keys = [tuple(value if isinstance(value, float) else value.tobytes() for value in row) for row in rows]
        for key, row in zip(keys, rows, strict=True):
            if key not in made:
                made[key] = torch.from_numpy(function(height, width, *row))
        return torch.stack([made[key] for key in keys])

    def finish(self, plan: Plan) -> Plan:
        values: dict[str, Any] = {}
        number = len(self.data)
        for name, value in plan.parts().items():
            dtype = torch.int64 if is_whole(name) else torch.float32
            tensor = _on(self.data, value, dtype)
            values[name] = tensor.expand(number, *tensor.shape[1:]) if tensor.ndim else tensor.expand(number)
        return Plan.of_parts(values)

    def apply(
        self, images: Tensor, targets: Tensor | None, plan: Plan, output: Output = UNCHANGED
    ) -> tuple[Tensor, Tensor | None]:
        self.check_plan(plan)
        return self.blend(images, plan, output), None if targets is None else self.blend_targets(targets, plan)

    def check_plan(self, plan: Plan) -> None:
        """ValueError for a partner outside the batch, which an index from the end would hide, and for a weight that is
        none; a GPU is not waited for, and a compiled graph has no numbers to look at."""
        if torch.compiler.is_compiling():
            return
        for name, value in plan.parts().items():
            part = name.rpartition(".")[2]
            if part not in ("partner", *WEIGHTS) or (isinstance(value, Tensor) and value.device.type != "cpu"):
                continue
            if part == "partner":
                check_partner(f"plan.{name}", here(value), len(self.data))
            else:
                check_values(f"plan.{name}", here(value), WEIGHT)

    def blend(self, images: Tensor, plan: Plan, output: Output = UNCHANGED) -> Tensor:
        parts = (part for layer in plan.layers() for part in (layer.box, layer.region, layer.mask))
        need_sides = plan.fill is not None or any(part is not None for part in parts)
        own = (_images if need_sides else _checked)(images).to(torch.promote_types(images.dtype, torch.float32))
        other = self.shown(own, plan) if plan.fill is None else self._filled(own, plan.fill)
        if plan.region is not None and plan.box is not None and (plan.outside is not None or plan.mask is not None):
            # another part of the partner is shown in the box alone; around it the partner is in its place
            other = torch.where(_inside(_on(own, plan.box), *own.shape[2:]), other, own[_on(own, plan.partner).long()])
        mixed = _between(other, own, self.kept(own, plan))
        for layer in plan.more:
            mixed = _between(self.shown(own, layer), mixed, self.kept(own, layer))
        if plan.scale is not None:
            mixed = mixed * _on(own, plan.scale, own.dtype)
        if plan.noise is not None:
            mixed = mixed + _on(own, plan.noise, own.dtype)
        return _handed_out(mixed, output, images.dtype)

    def kept(self, images: Tensor, layer: Plan | Layer) -> Tensor:
        """What is left of the pixels below: (N, 1, H, W), or (N, 1, ...) without a box and a mask."""
        kept = _trailing(_on(images, layer.weight, images.dtype), images.ndim)
        if layer.box is not None:
            outside = 1.0 if layer.outside is None else layer.outside
            rest = _trailing(_on(images, outside, images.dtype), 4)
            kept = torch.where(_inside(_on(images, layer.box), *images.shape[2:]), kept, rest)
        if layer.mask is not None:
            kept = kept * _on(images, layer.mask, images.dtype).unsqueeze(-3)
        return kept

    def shown(self, images: Tensor, layer: Plan | Layer) -> Tensor:
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
        check_targets(targets)
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
            several = labels.ndim == 2 and labels.shape[1] > 1
            hint = "; if it is a one-hot already, make it a float one-hot: labels.float()" if several else ""
            raise TypeError(f"labels must be integers (N,), got {labels.dtype} {tuple(labels.shape)}{hint}")
        labels = labels.long()
        wrong = labels[(labels < 0) | (labels >= num_classes)]
        if len(wrong):
            raise ValueError(f"labels must be from 0 to num_classes - 1 = {num_classes - 1}, got {int(wrong[0])}")
        targets = torch.full((len(labels), num_classes), off, dtype=torch.float32, device=labels.device)
        return targets.scatter_(1, labels.unsqueeze(1), on)

    def to_float(self, images: Tensor, output: Output = UNCHANGED) -> Tensor:
        if not images.is_floating_point():
            if images.dtype != torch.uint8:
                raise TypeError(f"images must be uint8 or float, got {images.dtype}")
            return _handed_out(images.to(torch.float32) / 255, output, torch.float32)
        if output == UNCHANGED:
            return images
        own = _checked(images).to(torch.promote_types(images.dtype, torch.float32))
        return _handed_out(own, output, images.dtype)


def _checked(images: Tensor) -> Tensor:
    """What can be blended: a batch of anything that is float."""
    if images.ndim < 2 or not images.is_floating_point():
        if images.dtype in (torch.uint8, torch.float32) or images.is_complex():
            cure = "mixdali.to_float turns uint8 into floats"
        else:
            cure = "integers, as tokens, cannot be blended: mix what they are embedded into"
        got = f"{images.dtype} {tuple(images.shape)}"
        raise TypeError(f"images must be a float tensor (N, C, H, W), or (N, ...) for MixUp, got {got}; {cure}")
    return images


def _images(images: Tensor) -> Tensor:
    """What boxes and masks can be laid on."""
    if _checked(images).ndim != 4:
        raise TypeError(
            f"images must be a float tensor (N, C, H, W), got {images.dtype} {tuple(images.shape)}; boxes and masks "
            "need a height and a width, MixUp and DirichletMixUp take any shape"
        )
    return images


def check_targets(targets: Any) -> None:
    """TypeError for what are no targets."""
    if not isinstance(targets, Tensor):
        got, cure = repr(type(targets)), "use mixdali.one_hot(labels, num_classes) first"
    elif targets.ndim == 2 and targets.is_floating_point():
        return
    else:
        got = f"{targets.dtype} {tuple(targets.shape)}"
        if targets.ndim == 2 and targets.shape[1] > 1:
            cure = "make it a float one-hot: targets.float()"
        elif targets.ndim == 1 and targets.is_floating_point():
            cure = "use mixdali.one_hot(labels, num_classes) first, or for regression a column, targets.unsqueeze(1)"
        else:
            cure = "use mixdali.one_hot(labels, num_classes) first"
    raise TypeError(f"targets must be probabilities (N, num_classes), float, got {got}; {cure}")


def _between(other: Tensor, own: Tensor, kept: Tensor) -> Tensor:
    """kept of the own pixels, and the rest of the other ones. What is shown alone comes as it is: an infinite pixel of
    the image that is not shown there does not come through."""
    # lerp is exact at both ends, and between two values that are at most 1 it never passes 1
    mixed = torch.lerp(other, own, kept)
    # On the CPU it costs less to look than to choose; a GPU is not waited for, and a compiled graph cannot look.
    can_look = mixed.device.type == "cpu" and not torch.compiler.is_compiling()
    if can_look and (_is_blended(kept) or bool(mixed.detach().sum().isfinite())):
        return mixed
    return torch.where(kept == 1, own, torch.where(kept == 0, other, mixed))


def _is_blended(kept: Tensor) -> bool:
    """Whether there is one weight an image, none of which shows one image alone."""
    return kept.numel() == len(kept) and not bool(((kept == 0) | (kept == 1)).any())


def _handed_out(images: Tensor, output: Output, dtype: torch.dtype) -> Tensor:
    """Floats in the form that is asked for, in `dtype` where none is; of other shapes than (N, C, H, W) what needs no
    channels."""
    if output.channels > 1 or output.layout == "HWC":
        _images(images)
    if output.normalises:
        if output.channels not in (1, images.shape[1]):
            raise ValueError(f"mean and std are for {output.channels} channels, images have {images.shape[1]}")
        ones = (1,) * (images.ndim - 2)
        mean, std = (images.new_tensor(values).reshape(-1, *ones) for values in (output.mean, output.std))
        images = (images - mean) / std
    if output.dtype == "uint8":
        images = (images * 255 + 0.5).floor().clamp(0, 255)
    images = images.to(getattr(torch, output.dtype) if output.dtype else dtype)
    return images.permute(0, 2, 3, 1).contiguous() if output.layout == "HWC" else images


def _on(data: Tensor, value: Any, dtype: torch.dtype | None = None) -> Tensor:
    return here(value).to(data.device, dtype)


def _columns(number: Any, batch: int) -> list[Any]:
    """What each image has of it: a float, or an array of numpy's."""
    tensor = here(number)
    return tensor.expand(batch).tolist() if tensor.ndim < 2 else list(tensor.cpu().numpy())


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
