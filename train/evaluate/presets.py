"""PGD as papers set it to measure their networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mixdali.names import nearest
from train.attacks.ball import Norm
from train.evaluate.parts.attacks import Ascent


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Settings and where they stand."""

    ascent: Ascent
    source: str


ONE_LOSS: dict[str, Any] = {"losses": ("cross_entropy",), "iterate": "last"}

PRESETS: dict[str, Preset] = {
    "madry2018towards": Preset(
        ascent=Ascent(eps=8 / 255, step_size=2 / 255, num_steps=10, project_start=False, **ONE_LOSS),
        source="MadryLab/cifar10_challenge, config.json: 10 steps from a start that may lie outside [0, 1]",
    ),
    "zhang2019theoretically": Preset(
        ascent=Ascent(eps=0.031, step_size=0.003, num_steps=20, start="none", **ONE_LOSS),
        source="yaodongyu/TRADES, pgd_attack_cifar10.py: PGD-20 from the image itself",
    ),
    "wang2020improving": Preset(
        ascent=Ascent(eps=0.031, step_size=0.003, num_steps=20, project_start=False, **ONE_LOSS),
        source="YisenWang/MART, train_resnet.py, _pgd_whitebox: PGD-20 from a start that may lie outside [0, 1]",
    ),
    "wong2020fast": Preset(
        ascent=Ascent(eps=8 / 255, step_size=2 / 255, num_steps=50, restarts=10, losses=("cross_entropy",)),
        source="locuslab/fast_adversarial, CIFAR10/utils.py, evaluate_pgd: PGD-50-10; an image that is missed stays",
    ),
    "rice2020overfitting": Preset(
        ascent=Ascent(eps=8 / 255, step_size=2 / 255, num_steps=10, **ONE_LOSS),
        source="locuslab/robust_overfitting, train_cifar.py: PGD-10",
    ),
    "rice2020overfitting_l2": Preset(
        ascent=Ascent(eps=128 / 255, norm="L2", step_size=15 / 255, num_steps=10, **ONE_LOSS),
        source="locuslab/robust_overfitting, train_cifar.py, --norm l_2 --epsilon 128 --pgd-alpha 15: PGD-10",
    ),
    "wu2020adversarial": Preset(
        ascent=Ascent(eps=8 / 255, step_size=2 / 255, num_steps=20, **ONE_LOSS),
        source="csdongxian/AWP, AT_AWP/train_cifar10.py, --attack-iters-test: PGD-20",
    ),
}


def choose_ascent(preset: str | None, eps: float | None, norm: Norm | None, usual: float, **changes: Any) -> Ascent:
    """How PGD goes about it.

    Args:
        preset: one of `PRESETS`, or None for 20 steps of a quarter of eps.
        eps, norm: what was asked for; None leaves them to the preset, and without one to `usual` in Linf.
        usual: the radius of such images in that norm.
        changes: other fields of `Ascent`; None leaves them.

    Raises:
        ValueError: an unknown preset, or a norm that it is not for.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if preset is None:
        return Ascent(eps=usual if eps is None else eps, norm=norm or "Linf", **given)
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is unknown; {nearest(preset, list(PRESETS), otherwise=list(PRESETS))}")
    ascent = PRESETS[preset].ascent
    if norm not in (None, ascent.norm):
        raise ValueError(f"preset {preset} is for {ascent.norm}, got --norm {norm}; leave one of them out")
    return replace(ascent, eps=ascent.eps if eps is None else eps, **given)
