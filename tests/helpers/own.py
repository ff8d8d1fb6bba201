"""A recipe file of somebody's own, with a mix, an objective and a network of its own and a schedule from beside it."""

from __future__ import annotations

from pathlib import Path

SCHEDULES = '''
from dataclasses import dataclass

from train.optim import Schedule


@dataclass(frozen=True, kw_only=True)
class Poly(Schedule):
    """A polynomial fall."""

    power: float = 2.0

    def rate(self, epoch: float, num_epochs: int) -> float:
        return (1 - epoch / num_epochs) ** self.power
'''

RECIPE = '''"""Bands of the partner, and a loss of its own.

More about it.
"""

from dataclasses import dataclass, replace

from torch import nn

from mixdali import Alpha, BoxMix, Draws, Plan, World, check_alpha
from own_schedules import Poly
from train.objectives import Objective
from train.objectives.cross_entropy import accuracy
from train.recipes import baseline


@dataclass(frozen=True, kw_only=True)
class BandMix(BoxMix):
    """A band of the partner's rows."""

    alpha: Alpha = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha("BandMix: alpha", self.alpha)

    def plan(self, draws: Draws, world: World) -> Plan:
        kept = self.keep_some(draws, world, self.lam(draws, world, self.alpha))
        height, width = world.at(world.size, 0), world.at(world.size, 1)
        rows = world.floor(height * (1.0 - kept))
        start = world.floor(draws.uniform("cy") * (height - rows))
        box = world.box(world.pair(start, 0.0 * start), world.pair(start + rows, 0.0 * start + width))
        return Plan(draws.partner(self.partner), 1.0 - world.covered(box), box)


@dataclass(frozen=True, kw_only=True)
class Focal(Objective):
    """Cross-entropy that weighs what is known already less."""

    gamma: float = 2.0

    def __call__(self, model, batch, state, draws=None):
        logs = model(batch.images).float().log_softmax(dim=1)
        loss = -(batch.targets * (1 - logs.exp()) ** self.gamma * logs).sum(dim=1).mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logs.detach(), batch.targets).mean()}


def small_net(num_classes, width=8):
    layers = [nn.Conv2d(3, width, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


recipe = replace(
    baseline.small,
    model="own:small_net(width=8)",
    num_epochs=1,
    batch_size=16,
    schedule=Poly(),
    mix=BandMix(),
    objective=Focal(),
)
wide = replace(recipe, model="own:small_net(width=16)")
'''


def write_own(folder: Path, recipe: str = RECIPE) -> Path:
    """The recipe file, in a folder with the module that it imports."""
    folder.mkdir(exist_ok=True)
    (folder / "own_schedules.py").write_text(SCHEDULES)
    (folder / "mine.py").write_text(recipe)
    return folder / "mine.py"
