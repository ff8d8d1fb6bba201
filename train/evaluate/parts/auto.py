"""AutoAttack, by its authors' package.

Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks", ICML
2020, arXiv:2003.01690. The attacks, their settings and their seeds are those of the package pyautoattack. Only the loop
around them is here: it remembers every batch, so that an evaluation that was stopped goes on, to the same number.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from train.attacks.ball import Norm
from train.data.images import HeldOutBatch, HeldOutImages
from train.evaluate.parts.attacks import predict
from train.evaluate.parts.shifts import Network, Networks, Remember, forget

PACKAGE = "pyautoattack"
FEWEST_CLASSES = 4
NUM_TARGETS = 9
"""Wrong classes that the targeted attacks of the standard version try."""


def measure_autoattack(
    networks: Networks, images: HeldOutImages, *, eps: float, norm: Norm, seed: int, remember: Remember = forget
) -> dict[str, Any]:
    """Accuracy under the standard version: APGD-CE, targeted APGD-DLR, targeted FAB and Square, one after the other.

    Each attack gets the images that have withstood those before it, in batches as the package makes them. The package
    seeds every batch with the same number, so that the result depends on the size of the batches.

    Args:
        eps: in units of images in [0, 1].
        seed: what the package is called with.
        remember: by network, attack and batch.

    Returns:
        For each network, `accuracy`, 0 to 1; `after`: accuracies on the images as they are ("clean") and after each
        attack; `robust`: for each image 1 if it withstood all, else 0; `warnings`: of the package about the network;
        `targets`: wrong classes that the targeted attacks tried, 9 in the standard; `package`, with its version.

    Raises:
        ImportError: the package is not there.
        ValueError: fewer than 4 classes.
    """
    made_by = maker()
    if images.num_classes < FEWEST_CLASSES:
        raise ValueError(too_few(images.num_classes))
    found = {}
    for name, network in networks.items():
        attack = make_autoattack(network, eps, norm, seed, images.world.device)
        attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = min(NUM_TARGETS, images.num_classes - 1)
        own = _run(network, images, attack, _named(remember, name))
        settings = {"eps": eps, "norm": norm, "targets": attack.fab.n_target_classes, "package": made_by}
        found[name] = {**own, **settings}
    return found


def too_few(num_classes: int) -> str:
    """What there is to say to so few classes."""
    return (
        f"autoattack needs at least {FEWEST_CLASSES} classes for its difference of logits ratio, got {num_classes}; "
        "use --parts pgd50"
    )


def make_autoattack(network: Network, eps: float, norm: Norm, seed: int, device: torch.device) -> Any:
    """The package's object of the standard version."""
    package = _package()
    return package.AutoAttack(network, eps=eps, norm=norm, seed=seed, version="standard", device=device)


def _named(remember: Remember, network: str) -> Remember:
    return lambda key, compute: remember(f"{network} {key}", compute)


def _run(network: Network, images: HeldOutImages, attack: Any, remember: Remember) -> dict[str, Any]:
    said = list(remember("checks", lambda: _check(network, images, attack))["warnings"])
    robust = np.ones(len(images), dtype=bool)
    after: dict[str, float] = {}
    for stage in ("clean", *attack.attacks_to_run):
        places = np.flatnonzero(robust)
        if len(places):
            for number, batch in enumerate(images.select(places)):
                row = remember(f"{stage} {number}", partial(_fool, attack, stage, batch))
                robust[places[number * images.batch_size + np.array(row["fooled"], dtype=np.int64)]] = False
                said += [text for text in row["warnings"] if text not in said]
        after[stage] = float(robust.mean())
    return {"accuracy": after[stage], "after": after, "robust": robust.astype(int).tolist(), "warnings": said}


def _fool(attack: Any, stage: str, batch: HeldOutBatch) -> dict[str, Any]:
    """Which images of the batch an attack finds an error for."""
    with _said(batch.images.device) as said, torch.no_grad():
        images = batch.images.clone()
        reached = images if stage == "clean" else _perturb(attack, stage)(images, batch.labels.clone())
        missed = predict(attack.model, reached) != batch.labels
    return {"fooled": missed.nonzero().squeeze(1).tolist(), "warnings": said}


def _perturb(attack: Any, stage: str) -> Callable[[Tensor, Tensor], Tensor]:
    """One of the package's attacks, seeded as its own loop does."""
    one = {"apgd-ce": attack.apgd, "apgd-t": attack.apgd_targeted, "fab-t": attack.fab, "square": attack.square}[stage]
    one.seed = attack.get_seed()
    if stage == "apgd-ce":
        one.loss = "ce"
    if stage == "fab-t":
        one.targeted, one.n_restarts = True, 1
    return one.perturb


def _check(network: Network, images: HeldOutImages, attack: Any) -> dict[str, Any]:
    """What the package says about the network before it attacks: random, or with gradients of its own."""
    checks = import_module(f"{PACKAGE}.checks")
    batch = next(iter(images))
    tracing = sys.gettrace()
    with _said(batch.images.device) as said:
        checks.check_randomized(network, batch.images, batch.labels, bs=len(batch.images), logger=attack.logger)
        # Counts of calls, which the package never sets back.
        checks.funcs.update(dict.fromkeys(checks.funcs, 0))
        try:
            checks.check_dynamic(network, batch.images, False, logger=attack.logger)
        finally:
            # The check ends by removing whatever traced the program before.
            sys.settrace(tracing)
    return {"warnings": said}


def find_square(
    network: Network, eps: float, norm: Norm, seed: int, num_queries: int, device: torch.device
) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The package's Square attack, images and labels -> images, with fewer queries; None if the package is missing."""
    try:
        _package()
    except ImportError:
        return None
    square = import_module(f"{PACKAGE}.square").SquareAttack(
        network, norm=norm, n_queries=num_queries, eps=eps, seed=seed, resc_schedule=True, device=device
    )

    def attack(images: Tensor, labels: Tensor) -> Tensor:
        with _said(device), torch.no_grad():
            return square.perturb(images.clone(), labels.clone())

    return attack


@contextmanager
def _said(device: torch.device) -> Iterator[list[str]]:
    """What the package warns of inside the block; torch's global generators, which it seeds, are put back."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = " ".join(record.getMessage().partition(" See flags_doc")[0].split())
            if record.levelno >= logging.WARNING and text not in said:
                said.append(text)

    logger, listener = logging.getLogger("auto-attack"), Listener()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    devices = [device.index or 0] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagate


def maker() -> str:
    """The package with its version, for the report. ImportError if it is not there."""
    _package()
    try:
        return f"{PACKAGE} {version(PACKAGE)}"
    except PackageNotFoundError:
        return PACKAGE


def _package() -> Any:
    try:
        return import_module(PACKAGE)
    except ImportError as error:
        raise ImportError(f"AutoAttack needs its authors' package ({error}); pip install {PACKAGE}") from error
