"""The parts of an evaluation, by name.

A part is a function of a `Setup` and of `remember`, and returns a dict of plain numbers, strings, lists and dicts by
text. It draws nothing but from `setup.seed`, prints nothing and writes nothing. What takes long it passes in pieces to
`remember(name, compute)`, which gives back what an evaluation that was stopped has computed under that name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from train.attacks.ball import Norm
from train.data.images import HeldOutImages
from train.evaluate.parts import auto
from train.evaluate.parts.attacks import measure_pgd
from train.evaluate.parts.calibration import measure_calibration
from train.evaluate.parts.corruptions import SMALLEST, Published, maker, measure_corruptions
from train.evaluate.parts.detection import measure_detection
from train.evaluate.parts.doubts import measure_doubts
from train.evaluate.parts.noise import measure_noise
from train.evaluate.parts.occlusion import measure_occlusion
from train.evaluate.parts.shifts import Network, Networks, Remember, accuracies
from train.evaluate.parts.transfer import measure_fgsm, measure_transfer

# Radii in Linf of the parts fgsm and transfer, whatever the norm of the others: those of the papers on mixing.
ONE_STEP_RADII = tuple(steps / 255 for steps in (1, 2, 4, 8))
TRANSFER_RADII = tuple(steps / 255 for steps in (4, 8))


@dataclass(frozen=True, eq=False)
class Setup:
    """All that a part may ask for."""

    networks: Networks
    """By name."""
    images: HeldOutImages
    norm: Norm
    eps: float
    restarts: int
    seed: int
    source: Network | None = None
    """transfer: whom the adversarial images are made for."""
    source_name: str | None = None
    published: Published | None = None
    """corruptions: those that were made before."""
    others: Mapping[str, HeldOutImages] = field(default_factory=dict)
    """detection: images of other classes, by name."""


Measure = Callable[[Setup, Remember], dict[str, Any]]


def clean(setup: Setup, remember: Remember) -> dict[str, Any]:
    """By network, accuracy on the images as they are."""
    found = accuracies(setup.networks, setup.images)
    return {name: {"accuracy": accuracy} for name, accuracy in found.items()}


def calibration(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_calibration(setup.networks, setup.images)


def noise(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_noise(setup.networks, setup.images, seed=setup.seed, remember=remember)


def occlusion(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_occlusion(setup.networks, setup.images, seed=setup.seed, remember=remember)


def corruptions(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_corruptions(
        setup.networks,
        setup.images,
        seed=setup.seed,
        num_classes=setup.images.num_classes,
        published=setup.published,
        remember=remember,
    )


def detection(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_detection(setup.networks, setup.images, setup.others, seed=setup.seed, remember=remember)


def fgsm(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_fgsm(setup.networks, setup.images, eps=ONE_STEP_RADII, remember=remember)


def transfer(setup: Setup, remember: Remember) -> dict[str, Any]:
    assert setup.source is not None
    return measure_transfer(
        setup.networks,
        setup.images,
        source=setup.source,
        eps=TRANSFER_RADII,
        seed=setup.seed,
        remember=remember,
    )


def pgd(num_steps: int, setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_pgd(
        setup.networks,
        setup.images,
        eps=setup.eps,
        norm=setup.norm,
        num_steps=num_steps,
        restarts=setup.restarts,
        seed=setup.seed,
        remember=remember,
    )


def autoattack(setup: Setup, remember: Remember) -> dict[str, Any]:
    return auto.measure_autoattack(
        setup.networks, setup.images, eps=setup.eps, norm=setup.norm, seed=setup.seed, remember=remember
    )


def doubts(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_doubts(
        setup.networks, setup.images, eps=setup.eps, norm=setup.norm, seed=setup.seed, remember=remember
    )


PARTS: dict[str, Measure] = {
    "clean": clean,
    "calibration": calibration,
    "noise": noise,
    "occlusion": occlusion,
    "corruptions": corruptions,
    "detection": detection,
    "fgsm": fgsm,
    "transfer": transfer,
    "pgd20": partial(pgd, 20),
    "pgd50": partial(pgd, 50),
    "autoattack": autoattack,
    "doubts": doubts,
}
"""In the order in which they are measured, cheap ones first."""


def own_settings(name: str, setup: Setup) -> dict[str, Any]:
    """What decides the numbers of a part and is not common to all; plain."""
    attack = {"norm": setup.norm, "eps": setup.eps}
    if name in ("pgd20", "pgd50"):
        return {**attack, "restarts": setup.restarts}
    if name == "doubts":
        return attack
    if name == "autoattack":
        return {**attack, "package": auto.maker()}
    if name == "transfer":
        return {"source": setup.source_name}
    if name == "corruptions":
        return {"made_by": maker() if setup.published is None else str(setup.published.folder)}
    if name == "detection":
        return {"ood": {other: len(images) for other, images in setup.others.items()}}
    return {}


def why_not(name: str, setup: Setup) -> str | None:
    """Why a part cannot be measured; None if it can."""
    if name == "transfer" and setup.source is None:
        return "transfer needs the checkpoint of another network; pass --source"
    if name == "corruptions" and setup.published is None:
        if min(setup.images.size) < SMALLEST:
            return f"corruptions are made for images of {SMALLEST} x {SMALLEST} pixels or more"
        return _missing(maker)
    if name == "autoattack":
        if setup.images.num_classes < auto.FEWEST_CLASSES:
            return auto.too_few(setup.images.num_classes)
        return _missing(auto.maker)
    return None


def _missing(find: Callable[[], str]) -> str | None:
    try:
        find()
    except ImportError as error:
        return str(error)
    return None
