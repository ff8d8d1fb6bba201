"""The draws of a mix of torch tensors: (N,) float64 on the CPU, and what is given in their place."""

from typing import Any

import torch
from torch import Tensor

from mixdali.draws import FINITE, Law, Line, check_law, check_partner, check_shape
from mixdali.worlds.classmates import partners_by_class


class TensorRandomness:
    """Drawn in float64. What is given in float32 is worked on in float32, to the same results as in other worlds."""

    def __init__(self, shape: torch.Size, rng: torch.Generator) -> None:
        self.shape = shape
        self.rng = rng

    def uniform(self, name: str, per: str) -> Tensor:
        drawn = torch.rand(self._draws(per), generator=self.rng, dtype=torch.float64, device="cpu")
        return self._spread(drawn, per)

    def beta(self, name: str, a: Any, b: Any, per: str) -> Tensor:
        if isinstance(a, int | float) and isinstance(b, int | float) and a == b == 1:
            return self.uniform(name, per)  # the same law, for a tenth of the work
        first, second = (log_gamma(here(value, torch.float64).expand(self._draws(per)), self.rng) for value in (a, b))
        return self._spread(torch.sigmoid(first - second), per)

    def _draws(self, per: str) -> int:
        return {"image": self.shape[0], "batch": 1, "pair": (self.shape[0] + 1) // 2}[per]

    def _spread(self, draws: Tensor, per: str) -> Tensor:
        if per == "pair":
            places = torch.arange(self.shape[0], device="cpu")
            return draws[torch.minimum(places, places.flip(0))]
        return draws.expand(self.shape[0])

    def partner(self, name: str, rule: str) -> Tensor:
        places = torch.arange(self.shape[0], device="cpu")
        if rule == "flip":
            return places.flip(0)
        if rule == "roll":
            return places.roll(1)
        order = torch.randperm(self.shape[0], generator=self.rng, device="cpu")
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
        return draw(self.shape, generator=self.rng, dtype=torch.float32, device="cpu")

    def given(self, name: str, value: Any, law: Law) -> Tensor:
        values = self._numbers(name, value)
        values = values if values.is_floating_point() else values.double()
        check_law(name, values, law)
        return values

    def given_place(self, name: str, value: Any, line: Line) -> Tensor:
        values = self._numbers(name, value)
        numbers = here(line.number, torch.float64).expand(self.shape[0])
        if values.is_floating_point():
            check_law(name, values, line.law)
            if values.dtype == torch.float64:
                return values
            # the pixel that float32 arithmetic finds, whatever this share will be multiplied in
            found = (values * numbers.float() + (0.5 - line.middle)).floor().double()
            return (found.minimum(numbers - 2 * line.middle).clamp_min(0) + line.middle) / numbers.clamp_min(1)
        wrong = ((values < 0) | (values > numbers - 2 * line.middle)).nonzero()
        if len(wrong):
            check_law(name, values[wrong[0]], line.pixels(float(numbers[wrong[0]])))
        return (values.double() + line.middle) / numbers.clamp_min(1)

    def given_partner(self, name: str, value: Any) -> Tensor:
        values = self._numbers(name, value)
        check_partner(f"draw {name}", values, self.shape[0])
        return values.long()

    def given_pixels(self, name: str, value: Any, law: Law) -> Tensor:
        return self._arrays(name, value, tuple(self.shape), law)

    def given_arrays(self, name: str, value: Any, shape: tuple[Any, ...]) -> Tensor:
        return self._arrays(name, value, (self.shape[0], *map(int, shape)), FINITE)

    def _arrays(self, name: str, value: Any, shape: tuple[int, ...], law: Law) -> Tensor:
        """Values of this shape, or of this shape without the batch, on the device where they are."""
        values = read_draw(name, value)
        if tuple(values.shape) not in (shape, shape[1:]):
            raise ValueError(f"draw {name} must be {shape}, or {shape[1:]} for all, got {tuple(values.shape)}")
        values = values if values.is_floating_point() else values.float()
        check_law(name, values, law)
        return values.expand(shape)

    def _numbers(self, name: str, value: Any) -> Tensor:
        """A number for each image, on the CPU."""
        values = read_draw(name, value).cpu()
        check_shape(name, tuple(values.shape), self.shape[0])
        return values.expand(self.shape[0])

    def constant(self, value: float) -> Tensor:
        return torch.full((self.shape[0],), value, dtype=torch.float64, device="cpu")

    def setting(self, value: Any) -> Tensor:
        return here(value, torch.float64)


def read_draw(name: str, value: Any) -> Tensor:
    """A draw that is given, as a tensor: tensors and arrays as precise as they are, but at least float32, and Python's
    numbers in float64."""
    try:
        tensor = value.detach() if isinstance(value, Tensor) else here(value)
        if tensor.is_floating_point() and not hasattr(value, "dtype"):
            tensor = here(value, torch.float64)
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or tensor.dtype == torch.bool or tensor.is_complex():
        raise TypeError(f"draw {name} must be numbers, got {value!r:.80}")
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def log_gamma(alpha: Tensor, generator: torch.Generator) -> Tensor:
    """The logarithms of Gamma(alpha) draws, alpha float64 above 0 on the generator's device.

    As Gamma(alpha + 1) times U ** (1 / alpha): at a small alpha the draws themselves are 0 in floating point, and
    nothing can be said of the ratio of two zeros.
    """
    above = torch._standard_gamma(alpha + 1, generator=generator)
    uniform = torch.rand(alpha.shape, generator=generator, dtype=torch.float64, device=generator.device)
    return above.log() + uniform.log() / alpha


def here(value: Any, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor where it is, and anything else as one on the CPU, whatever torch's default device and type."""
    if isinstance(value, Tensor):
        return value.to(dtype=dtype)
    if dtype is None and isinstance(value, float):
        dtype = torch.float32
    return torch.as_tensor(value, dtype=dtype, device="cpu")
