"""Whether the accuracy under attack can be trusted: signs that a network hides its gradients instead of being robust.

After Athalye, Carlini and Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018, arXiv:1802.00420,
and Carlini et al., "On Evaluating Adversarial Robustness", arXiv:1902.06705: an attack that sees more, or may do more,
must not do worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixdali import derive_seed
from train.attacks import PGD
from train.attacks.attack import LARGEST, gradient
from train.attacks.ball import Norm, norms
from train.data.images import HeldOutBatch, HeldOutImages
from train.evaluate.parts.adversarial import check_adversarial
from train.evaluate.parts.attacks import Ascent, attack_loss, predict, withstands
from train.evaluate.parts.auto import find_square
from train.evaluate.parts.shifts import Network, Networks, Remember, eps_name, forget

NUM_IMAGES = 256
"""The doubts look at so many of the images."""
BATCH_SIZE = 64
STEPS = (5, 20, 100)
QUERIES = 1000
"""Of Square, the attack that sees only the logits."""
NOISES = 5
"""Draws of noise of length eps; an image must be classified rightly under all."""
TIMES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Radii of the curve over the one asked for; the last of the curve is no bound at all."""

TOLERANCE = 0.01
"""A share of the images by which a weaker attack may do better than a stronger one."""
FEW = 2
"""Or so many images, if that is more."""
ZERO_GRADIENTS = 0.05
"""A share of the rightly classified images that may have a gradient of zero."""
UNSTABLE = 1e-3
"""How far the logits of two passes may differ, over the greatest of them."""


@dataclass(frozen=True)
class Doubt:
    """One check."""

    name: str
    passed: bool | None
    """None: it could not be made."""
    says: str
    """What was found and what it means, for people."""
    numbers: dict[str, float]


def measure_doubts(
    networks: Networks, images: HeldOutImages, *, eps: float, norm: Norm, seed: int, remember: Remember = forget
) -> dict[str, Any]:
    """For each network whether attacks behave as on one that hides nothing.

    Args:
        eps, norm: of the attacks; their step size is eps / 4.
        seed: of what is drawn.
        remember: by network and number of the batch.

    Returns:
        For each network `images`, how many were looked at; `passed`, whether nothing speaks against its accuracies
        under attack; `doubts`, a list of `name`, `passed`, `says` and `numbers`; `curve`, accuracy by radius.
    """
    few = replace(images.spread(NUM_IMAGES), batch_size=BATCH_SIZE)
    found = {}
    for name, network in networks.items():
        rows = [
            remember(f"{name} {number}", partial(_look, network, batch, eps, norm, seed))
            for number, batch in enumerate(few)
        ]
        seen = {key: np.concatenate([np.array(row[key], dtype=float) for row in rows]) for key in rows[0]}
        doubts = list(_judge(seen, images.num_classes))
        found[name] = {
            "images": len(few),
            "passed": all(doubt.passed is not False for doubt in doubts),
            "doubts": [asdict(doubt) for doubt in doubts],
            "curve": {"0": float(seen["clean"].mean()), **_curve(seen)},
        }
    return found


def _look(network: Network, batch: HeldOutBatch, eps: float, norm: Norm, seed: int) -> dict[str, list[float]]:
    """For each image 1 where the network is right, 0 where it is wrong, by what was done to the image."""
    largest = 1.0 if norm == "Linf" else min(LARGEST[norm], math.sqrt(batch.images[0].numel()))

    radii = [min(times * eps, largest) for times in TIMES]

    def ascend(radius: float, steps: int, restarts: int) -> Tensor:
        ascent = Ascent(eps=radius, norm=norm, num_steps=steps, restarts=restarts)
        return withstands(network, batch, ascent, seed) > restarts

    seen = {
        "clean": predict(network, batch.images) == batch.labels,
        "unstable": _unstable(network, batch.images),
        "zero": _zero_gradients(network, batch),
        "noise": _under_noise(network, batch, eps, norm, seed),
        "steps 1": _one_step(network, batch, eps, norm),
        **{f"steps {steps}": ascend(eps, steps, 1) for steps in STEPS},
        "white": ascend(eps, STEPS[-1], 2),
        **{f"radius {eps_name(radius)}": ascend(radius, STEPS[1], 1) for radius in radii},
        f"radius {eps_name(largest)}": ascend(largest, STEPS[-1], 2),
    }
    square = find_square(network, eps, norm, seed, QUERIES, batch.images.device)
    if square is not None:
        reached = square(batch.images, batch.labels)
        check_adversarial(reached, batch.images, eps, norm, "Square")
        seen["square"] = predict(network, reached) == batch.labels
    return {key: value.double().tolist() for key, value in seen.items()}


def _judge(seen: dict[str, np.ndarray], num_classes: int) -> Iterator[Doubt]:
    share = {key: float(values.mean()) for key, values in seen.items()}
    slack = max(TOLERANCE, FEW / len(seen["clean"]))
    yield _knows(share["clean"], num_classes)
    yield _answers_twice(float(seen["unstable"].max()))
    yield _has_gradients(seen)
    yield _weaker_is_weaker(
        "noise against one step",
        {"random noise": share["noise"], "one step": share["steps 1"]},
        slack,
        "random noise fools the network more often than its gradient does, so the gradient points nowhere useful",
    )
    yield _weaker_is_weaker(
        "one step against many",
        {"one step": share["steps 1"], f"{STEPS[1]} steps": share[f"steps {STEPS[1]}"]},
        slack,
        "a single step fools the network more often than many do, so the loss is too rough to follow",
    )
    yield _weaker_is_weaker(
        "few steps against more",
        {f"{steps} steps": share[f"steps {steps}"] for steps in STEPS},
        slack,
        "more steps fool it less often, so the attack is led astray",
    )
    yield _black_box(share, slack)
    yield _weaker_is_weaker(
        "radius",
        {f"eps {radius}": value for radius, value in _curve(seen).items()},
        slack,
        "an attack that may do more fools it less often, so the attack is led astray",
    )
    yield _unbounded(list(_curve(seen).values())[-1], slack)


def _knows(accuracy: float, num_classes: int) -> Doubt:
    passed = accuracy > 1.5 / num_classes
    says = f"{accuracy:.1%} right on images as they are" + (
        "" if passed else ", hardly more than chance: does it take images in [0, 1], and are these its classes?"
    )
    return Doubt("knows the images", passed, says, {"accuracy": accuracy, "chance": 1 / num_classes})


def _answers_twice(difference: float) -> Doubt:
    passed = difference <= UNSTABLE
    says = (
        "the same images give the same logits"
        if passed
        else "the same images give other logits each time: the network is random, and attacks must average over many "
        "passes to be fair (--version rand, --eot 10)"
    )
    return Doubt("same answer twice", passed, says, {"largest_difference": difference})


def _has_gradients(seen: dict[str, np.ndarray]) -> Doubt:
    right = seen["clean"] > 0
    zero = float(seen["zero"][right].mean()) if right.any() else 0.0
    passed = zero <= ZERO_GRADIENTS
    says = f"{zero:.1%} of the rightly classified images have a gradient of zero" + (
        "" if passed else ": attacks by gradient cannot move them, and robust accuracies say nothing"
    )
    return Doubt("gradients", passed, says, {"zero": zero})


def _weaker_is_weaker(name: str, accuracies: dict[str, float], slack: float, alarm: str) -> Doubt:
    """accuracies  from the weakest attack to the strongest."""
    values = list(accuracies.values())
    passed = all(later <= earlier + slack for i, earlier in enumerate(values) for later in values[i + 1 :])
    text = ", ".join(f"{key} {value:.1%}" for key, value in accuracies.items())
    return Doubt(name, passed, f"right after {text}" + ("" if passed else f": {alarm}"), accuracies)


def _black_box(share: dict[str, float], slack: float) -> Doubt:
    name = "black box against white box"
    if "square" not in share:
        return Doubt(name, None, "not checked; pip install pyautoattack for its Square attack", {})
    accuracies = {f"Square ({QUERIES:,} queries)": share["square"], f"{STEPS[-1]} steps, 2 starts": share["white"]}
    alarm = "an attack that sees no gradient fools it more often than one that does, so the gradients are hidden"
    return _weaker_is_weaker(name, accuracies, slack, alarm)


def _curve(seen: dict[str, np.ndarray]) -> dict[str, float]:
    """Accuracy by radius, the greatest last."""
    return {key.split()[1]: float(values.mean()) for key, values in seen.items() if key.startswith("radius ")}


def _unbounded(accuracy: float, slack: float) -> Doubt:
    passed = accuracy <= slack
    says = f"{accuracy:.1%} right where an attack may paint any image" + (
        "" if passed else ": it should reach 0 %, so the attack does not work on this network"
    )
    return Doubt("no bound", passed, says, {"accuracy": accuracy})


@torch.no_grad()
def _unstable(network: Network, images: Tensor) -> Tensor:
    """(N,) how far the logits of two passes differ, over the greatest of them."""
    first, second = network(images), network(images)
    return (first - second).abs().amax(dim=1) / first.abs().amax(dim=1).clamp_min(1e-12)


def _zero_gradients(network: Network, batch: HeldOutBatch) -> Tensor:
    """(N,) where the cross-entropy has no gradient, or none that is a number."""
    _, slopes = gradient(attack_loss(network, batch.labels, 0), batch.images)
    return ~(slopes.flatten(1).abs().sum(dim=1) > 0)


def _under_noise(network: Network, batch: HeldOutBatch, eps: float, norm: Norm, seed: int) -> Tensor:
    right = torch.ones_like(batch.labels, dtype=torch.bool)
    for number in range(NOISES):
        drawn = _normal(batch, derive_seed(seed, "doubts", number))
        moves = eps * (drawn.sign() if norm == "Linf" else drawn / norms(drawn))
        right &= predict(network, (batch.images + moves).clamp(0, 1)) == batch.labels
    return right


def _normal(batch: HeldOutBatch, seed: int) -> Tensor:
    drawn = [
        torch.randn(batch.images.shape[1:], generator=torch.Generator().manual_seed(derive_seed(seed, index)))
        for index in batch.index.tolist()
    ]
    return torch.stack(drawn).to(batch.images)


def _one_step(network: Network, batch: HeldOutBatch, eps: float, norm: Norm) -> Tensor:
    attack = PGD(eps=eps, norm=norm, step_size=eps, num_steps=1, start="none")
    return predict(network, attack(batch.images, attack_loss(network, batch.labels, 0))) == batch.labels
