"""The form in which images are handed out: what a mix does to pixels beside mixing them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixdali.checks import one_of

DTYPES = ("float32", "float16", "uint8")


@dataclass(frozen=True)
class Output:
    """What is not asked for stays as it is.

    mean, std  one number for each channel, or one for all, in units of images in [0, 1]; each pixel becomes
               (pixel - mean) / std.
    dtype      one of `DTYPES`; None: float32, of torch tensors their own.
    layout     of an image: "CHW" or "HWC".
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    dtype: str | None = None
    layout: str = "CHW"

    @classmethod
    def of(cls, mean: Any = None, std: Any = None, dtype: Any = None, output_layout: str | None = None) -> "Output":
        """From the arguments of `mixdali.Mix`, checked."""
        name = None if dtype is None else _name(dtype)
        if name is not None:
            one_of("dtype", name, DTYPES)
        if output_layout is not None:
            one_of("output_layout", output_layout, ("CHW", "HWC"))
        if name == "uint8" and (mean is not None or std is not None):
            raise ValueError('dtype="uint8" keeps pixels from 0 to 255, so it takes no mean and no std')
        means = (0.0,) if mean is None else _levels("mean", mean)
        stds = (1.0,) if std is None else _levels("std", std)
        if 0.0 in stds:
            raise ValueError(f"std must be above 0, got {std!r}")
        if len(means) != len(stds) and 1 not in (len(means), len(stds)):
            raise ValueError(f"mean and std must be for the same channels, got {len(means)} and {len(stds)} numbers")
        return cls(means, stds, name, output_layout or "CHW")

    @property
    def channels(self) -> int:
        """Of how many channels it speaks; 1: of any number."""
        return max(len(self.mean), len(self.std))

    @property
    def normalises(self) -> bool:
        return self.mean != (0.0,) or self.std != (1.0,)

    def shift_and_size(self, unit: float) -> tuple[list[float], list[float]]:
        """What is to be taken from pixels that go from 0 to `unit`, and what they are to be divided by after that; as
        many of each."""
        if self.dtype == "uint8":
            return [0.0], [unit / 255]
        return [unit * value for value in self._each(self.mean)], [unit * value for value in self._each(self.std)]

    def _each(self, values: tuple[float, ...]) -> tuple[float, ...]:
        return values * self.channels if len(values) == 1 else values


UNCHANGED = Output()


def _name(dtype: Any) -> str:
    """ "float16" of that, of torch.float16, np.float16, np.dtype("float16") and DALI's types.FLOAT16."""
    text = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or getattr(dtype, "__name__", str(dtype))
    text = str(text).rpartition(".")[2].lower()
    return "float32" if text == "float" else text


def _levels(name: str, values: Any) -> tuple[float, ...]:
    values = values.tolist() if hasattr(values, "tolist") else values
    numbers = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    if not numbers or any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        raise TypeError(f"{name} must be a number, or one for each channel, got {values!r}")
    if any(not 0 <= one <= 1 for one in numbers):
        raise ValueError(
            f"{name} is in units of images in [0, 1], got {values!r}; if it is meant for pixels from 0 to 255, divide "
            "it by 255"
        )
    return tuple(float(one) for one in numbers)
