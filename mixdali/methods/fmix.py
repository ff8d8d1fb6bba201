"""FMix."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mixdali.checks import boolean, positive
from mixdali.draws import Draws
from mixdali.methods.masks import MaskMix
from mixdali.plan import Plan
from mixdali.schedule import Alpha, check_alpha
from mixdali.worlds import World


@dataclass(frozen=True, kw_only=True)
class FMix(MaskMix):
    """Own and partner's pixels in blots of any shape: the brightest pixels of random clouds stay one's own.

    Harris et al., "FMix: Enhancing Mixed Sample Data Augmentation", arXiv:2002.12047, section 4; ecs-vlc/FMix, fmix.py.
    As the official code: `per="batch", partner="permutation"`; one mask a batch is also what is cheap, since masks are
    made by numpy, one Python call a batch (about 3 ms for each mask of 224 x 224).

    alpha         the law of lam, as in `MixUp`. Of H * W pixels, lam * H * W rounded up or down, each half of the time,
                  are the own image's.
    decay_power   how much lower high frequencies are: the amplitude falls as 1 / frequency ** decay_power.
    as_published  True: the clouds of the official code as it stands, which takes the first two rows of its spectrum for
                  real and imaginary part, so that of the horizontal frequencies only 0 and 1 are there. False: those
                  of the paper, alike in all directions.
    correct_lam   True: the target's weight is the share of the mask's pixels. False: lam as drawn, as the official code
                  has it; the two differ by less than 1 / (H * W).

    Draws: partner, lam (N,) in [0, 1], clouds (N,) in [0, 1): which clouds, round (N,) in [0, 1): up from 0.5, coin.
    In place of `clouds` `spectrum` can be given, (N, H, (W + 1) // 2 + 1, 2) or one for all: normal numbers for each
    frequency, real and imaginary part, before high ones are made lower; the official code's `param`.
    """

    alpha: Alpha = 1.0
    decay_power: float = 3.0
    as_published: bool = False
    correct_lam: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha("FMix: alpha", self.alpha)
        positive("FMix: decay_power", self.decay_power)
        boolean("FMix: as_published", self.as_published)
        boolean("FMix: correct_lam", self.correct_lam)

    def plan(self, draws: Draws, world: World) -> Plan:
        kept = self.keep_some(draws, world, self.lam(draws, world, self.alpha))
        height, width = world.at(world.size, 0), world.at(world.size, 1)
        area = height * width
        low, high = world.floor(kept * area), 0.0 - world.floor(0.0 - kept * area)
        up = world.hit(draws.uniform("round") >= 0.5)
        number = world.select([up, 1.0 - up], [high, low])
        spectrum = draws.arrays_instead("spectrum", (height, _across(width, world), 2))
        if spectrum is None:
            mask = world.host(self.mask, draws.uniform("clouds"), number)
        else:
            mask = world.host(self.mask_of, spectrum, number)
        return Plan(draws.partner(self.partner), number / area if self.correct_lam else kept, mask=mask)

    def mask(self, height: int, width: int, clouds: float, number: float) -> Any:
        """numpy (height, width) float32: 1 for the `number` brightest pixels of these clouds and 0 for the others."""
        return self.mask_of(height, width, self.spectrum(height, width, clouds), number)

    def mask_of(self, height: int, width: int, spectrum: Any, number: float) -> Any:
        """The same of a spectrum."""
        import numpy as np

        mask = np.zeros(height * width, dtype=np.float32)
        pixels = self.clouds(height, width, spectrum).ravel()
        if number:
            mask[np.argpartition(-pixels, int(number) - 1)[: int(number)]] = 1
        return mask.reshape(height, width)

    def spectrum(self, height: int, width: int, clouds: float) -> Any:
        """numpy (height, (width + 1) // 2 + 1, 2): what the draw `clouds` stands for, never the global generator's."""
        import numpy as np

        # whole numbers below 2 ** 24 are what a draw in float32 can tell apart
        rng = np.random.default_rng(int(clouds * 2**24))
        return rng.standard_normal((*_amplitudes(height, width, self.decay_power).shape, 2))

    def clouds(self, height: int, width: int, spectrum: Any) -> Any:
        """numpy (height, width): noise whose frequencies fall off."""
        import numpy as np

        parts = np.asarray(spectrum, np.float64) / _amplitudes(height, width, self.decay_power)[..., None]
        if self.as_published:
            spectrum = parts[0] + 1j * parts[1]
        else:
            spectrum = parts.view(np.complex128)[..., 0]
            # of the columns that are their own mirror image the transform takes the even half, so half of the power
            spectrum[:, [0] if width % 2 else [0, width // 2]] *= 2**0.5
        return np.fft.irfft2(spectrum, (height, width))


def _across(width: Any, world: World) -> Any:
    """How many frequencies across a spectrum has."""
    return world.floor((width + 1.0) * 0.5) + 1.0


@lru_cache(maxsize=16)
def _amplitudes(height: int, width: int, power: float) -> Any:
    """numpy (height, frequencies across): by how much each frequency is to be divided."""
    import numpy as np

    down = np.fft.fftfreq(height)[:, None]
    across = np.fft.fftfreq(width)[None, : (width + 1) // 2 + 1]
    return np.maximum(np.sqrt(down**2 + across**2), 1 / max(height, width)) ** power
