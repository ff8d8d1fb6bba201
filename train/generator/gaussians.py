"""`python -m train.generator.gaussians`: whether a GAN finds eight Gaussians on a circle, with mixup and without.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv:1710.09412, show it in pictures. The mixture
is that of Metz et al., "Unrolled Generative Adversarial Networks", ICLR 2017, arXiv:1611.02163; that a sample is good
within three deviations of a mode is from Srivastava et al., "VEEGAN", NeurIPS 2017, arXiv:1705.07761.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from mixdali import derive_seed
from mixdali.checks import require
from pipelines.show.pictures import GREY, INK, write_figure
from train.files import manifest
from train.generator.training import told_apart
from train.machine.command import new_console, parse, run_command, say
from train.machine.distributed import open_world
from train.show.pictures import BLUE, DPI
from train.study.numbers import claim, write_numbers

SUMMARY = "Train a GAN on eight Gaussians in the plane, and count which it finds."
NUM_MODES, RADIUS = 8, 2.0
GOOD = 3.0
"""A sample is good within so many deviations of a mode."""
FOUND = 0.1
"""A mode is found if it gets this share of the good samples that would be its own, were all samples good."""
NUM_SAMPLES = 2_000
"""Samples that are looked at."""
NUM_LOOKS = 20
"""Looks at a training, evenly spread; those of its second half tell how steady it is."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the numbers."""

    mixup: float = 0.0
    """Above 0 the discriminator sees mixtures lam real + (1 - lam) drawn, and has to tell lam ~ Beta(mixup, mixup)."""
    num_steps: int = 4_000
    """Steps of the generator."""
    discriminator_steps: int = 5
    """Steps of the discriminator before each."""
    batch_size: int = 128
    """Real points a step, and as many drawn ones."""
    width: int = 128
    """Hidden units of each of three layers, of both networks."""
    lr: float = 1e-3
    """Rate of Adam, for both networks."""
    deviation: float = 0.02
    """Of each Gaussian; the circle of their centres has the radius 2."""
    seed: int = 0
    """The one seed all randomness is derived from."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "discriminator_steps", "batch_size", "width", "lr", "deviation"):
            require(getattr(self, name) > 0, name, getattr(self, name), "must be above 0")
        for name in ("mixup", "seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must not be negative")
        require(
            self.num_steps >= NUM_LOOKS, "num_steps", self.num_steps, f"must be {NUM_LOOKS} or more, to look so often"
        )


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """All that the command line can set."""

    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    name: str | None = None
    """Folder of the numbers inside `folder`; None is gaussians, with -2, -3, ... where that has others."""
    folder: str = "runs"
    """Where it lies."""


def main(words: Sequence[str]) -> int:
    """Train, count, and write numbers.json and samples.png; -> the exit code. Raises ValueError of one line."""
    asked = parse(Arguments, words, program="train.generator.gaussians", summary=SUMMARY)
    settings, console = asked.settings, new_console()
    folder = claim(Path(asked.folder), asked.name, "gaussians", asdict(settings))
    with open_world("cpu") as world:
        manifest.add_start(folder, world, settings.seed)
    looks = train_generator(settings)
    found = summary([count_modes(samples, settings.deviation) for samples in looks])
    draw(folder / "samples.png", looks, settings)
    write_numbers(folder, {"gaussians": {"last": found}})
    say(
        console,
        f"{found['modes']:.0f} of {NUM_MODES} modes found, {found['good']:.1%} of the samples good; over the "
        f"second half of the training {found['modes_second_half']:.1f} modes, at least {found['modes_least']:.0f}",
    )
    say(console, f"{folder}: numbers.json, samples.png")
    return 0


def centres() -> Tensor:
    """(8, 2) the modes."""
    angles = 2 * math.pi * torch.arange(NUM_MODES, dtype=torch.float32) / NUM_MODES
    return RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)


def draw_real(count: int, deviation: float, random: torch.Generator) -> Tensor:
    """(count, 2) points of the mixture, each mode as likely."""
    places = torch.randint(NUM_MODES, (count,), generator=random)
    return centres()[places] + deviation * torch.randn(count, 2, generator=random)


def train_generator(settings: Settings) -> list[Tensor]:
    """What the generator draws, (2000, 2), at each of 20 moments, the last one at the end.

    As the mixup paper: three hidden layers of ReLU, noise of two numbers, Adam as it comes, five steps of the
    discriminator for one of the generator. The generator's loss is that of its points being taken for real, unmixed.

    Raises:
        ValueError: a point that is no number.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(settings.seed, "networks"))
        generator, discriminator = _network(settings.width, 2), _network(settings.width, 1)
    optimizers = [torch.optim.Adam(net.parameters(), settings.lr, fused=True) for net in (generator, discriminator)]
    random = torch.Generator().manual_seed(derive_seed(settings.seed, "steps"))
    shown = torch.randn(NUM_SAMPLES, 2, generator=torch.Generator().manual_seed(derive_seed(settings.seed, "looks")))
    moments = {round(settings.num_steps * look / NUM_LOOKS) for look in range(1, NUM_LOOKS + 1)}
    looks = []
    for step in range(1, settings.num_steps + 1):
        for _ in range(settings.discriminator_steps):
            with torch.no_grad():
                drawn = generator(torch.randn(settings.batch_size, 2, generator=random))
            real = draw_real(settings.batch_size, settings.deviation, random)
            seen, goal = told_apart(settings.mixup, real, drawn, random)
            _step(optimizers[1], F.binary_cross_entropy_with_logits(discriminator(seen).squeeze(1), goal))
        logits = discriminator(generator(torch.randn(settings.batch_size, 2, generator=random)))
        _step(optimizers[0], F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)))
        if step in moments:
            with torch.no_grad():
                looks.append(generator(shown))
            if not bool(looks[-1].isfinite().all()):
                raise ValueError(f"the generator draws no numbers any more by step {step}; try a smaller --lr")
    return looks


def count_modes(samples: Tensor, deviation: float) -> dict[str, float]:
    """samples (N, 2) -> "modes", how many of the eight are found, and "good", the share of good samples."""
    distances, nearest = torch.cdist(samples, centres()).min(dim=1)
    good = distances <= GOOD * deviation
    hits = torch.bincount(nearest[good], minlength=NUM_MODES)
    return {
        "modes": float((hits >= FOUND * len(samples) / NUM_MODES).sum()),
        "good": float(good.float().mean()),
    }


def summary(looks: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of the last look, and of those at the second half of the training: mean and least."""
    half = looks[len(looks) // 2 :]
    return {
        **looks[-1],
        **{f"{name}_second_half": sum(look[name] for look in half) / len(half) for name in looks[-1]},
        "modes_least": min(look["modes"] for look in half),
    }


def draw(path: Path, looks: Sequence[Tensor], settings: Settings) -> None:
    """The samples of five of the looks, over the modes."""
    chosen = [0, *(round(len(looks) * share) - 1 for share in (0.25, 0.5, 0.75, 1.0))]
    figure = Figure(figsize=(2.3 * len(chosen), 2.7), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, look in zip(figure.subplots(1, len(chosen), sharex=True, sharey=True), chosen, strict=True):
        axes.scatter(*centres().T.numpy(), s=60, facecolors="none", edgecolors=GREY, linewidths=1)
        axes.scatter(*looks[look].T.numpy(), s=2, color=BLUE, alpha=0.4, linewidths=0)
        axes.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
        step = round(settings.num_steps * (look + 1) / len(looks))
        axes.set_title(f"step {step:,}", fontsize=9, color=INK, loc="left")
        axes.tick_params(labelsize=7, colors=GREY)
    title = f"what the generator draws, {f'mixup of {settings.mixup:g}' if settings.mixup else 'no mixup'}"
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left", parse_math=False)
    write_figure(figure, path, DPI)


def _network(width: int, num_outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs in (2, width, width):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, num_outputs))


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


if __name__ == "__main__":
    raise SystemExit(run_command(main))
