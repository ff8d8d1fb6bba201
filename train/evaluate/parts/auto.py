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
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mixdali.checks import one_of, positive_int, require
from train.data.images import HeldOutBatch, HeldOutImages
from train.evaluate.parts.adversarial import Keep, check_adversarial
from train.evaluate.parts.attacks import predict
from train.evaluate.parts.shifts import Network, Networks, Remember, forget

PACKAGE = "pyautoattack"

Name = Literal["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"]
Version = Literal["standard", "plus", "rand", "custom"]
Norm = Literal["Linf", "L2", "L1"]

VERSIONS: dict[Version, tuple[Name, ...]] = {
    "standard": ("apgd-ce", "apgd-t", "fab-t", "square"),
    "plus": ("apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"),
    "rand": ("apgd-ce", "apgd-dlr"),
    "custom": (),
}
"""The attacks of each version, in the package's order."""

FEWEST: dict[Name, int] = {"apgd-dlr": 3, "apgd-t": 4}
"""Classes that the difference of logits ratio needs."""


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Which attacks, one after the other, and how."""

    eps: float
    """Radius, in units of images in [0, 1]."""
    norm: Norm = "Linf"
    version: Version = "standard"
    """standard: APGD-CE, targeted APGD-DLR, targeted FAB and Square. plus: these, APGD-DLR and FAB, with five restarts
    of the untargeted ones; slow. rand: APGD-CE and APGD-DLR with gradients averaged over 20 passes, for networks that
    answer otherwise each time. custom: `attacks`, at the package's own settings, with five restarts of the untargeted
    ones."""
    attacks: tuple[Name, ...] = ()
    """Of version custom."""
    passes: int | None = None
    """Passes that APGD averages its gradients over; None is the version's."""

    def __post_init__(self) -> None:
        one_of("version", self.version, tuple(VERSIONS))
        if (self.version == "custom") != bool(self.attacks):
            wanted = "names its attacks" if self.version == "custom" else "has its own attacks; pass --version custom"
            raise ValueError(f"attacks: version {self.version} {wanted}, got {' '.join(self.attacks) or 'none'}")
        require(len(set(self.attacks)) == len(self.attacks), "attacks", " ".join(self.attacks), "must be named once")
        if self.passes is not None:
            positive_int("passes", self.passes)

    @property
    def names(self) -> tuple[Name, ...]:
        return self.attacks or VERSIONS[self.version]

    def plain(self) -> dict[str, Any]:
        """For a report."""
        own = {"norm": self.norm, "eps": self.eps, "version": self.version, "attacks": list(self.names)}
        return own if self.passes is None else {**own, "passes": self.passes}


def measure_autoattack(
    networks: Networks,
    images: HeldOutImages,
    ensemble: Ensemble,
    *,
    seed: int,
    remember: Remember = forget,
    keep: Keep | None = None,
) -> dict[str, Any]:
    """Accuracy under attacks of the package, one after the other.

    Each attack gets the images that have withstood those before it, in batches as the package makes them. The package
    seeds every batch with the same number, so that the result depends on the size of the batches.

    Args:
        ensemble: which attacks.
        seed: what the package is called with.
        remember: by network, attack and batch.
        keep: is given what the images ended as: the one that is missed; as the package does it, the image itself where
            it withstood.

    Returns:
        For each network, `accuracy`, 0 to 1; `after`: accuracies on the images as they are ("clean") and after each
        attack; `robust`: for each image 1 if it withstood all, else 0; `warnings`: of the package about the network;
        `targets`: the wrong classes that targeted attacks tried, by attack; the settings, and `package`, with its
        version.

    Raises:
        ImportError: the package is not there.
        ValueError: too few classes for an attack, or an attack left the ball or [0, 1], or made what is not finite.
    """
    made_by = maker()
    if reason := too_few(images.num_classes, ensemble):
        raise ValueError(reason)
    found = {}
    for name, network in networks.items():
        attack = make_autoattack(network, ensemble, seed, images.world.device)
        targeted = {"apgd-t": attack.apgd_targeted, "fab-t": attack.fab}
        for one in targeted.values():
            one.n_target_classes = min(one.n_target_classes, images.num_classes - 1)
        own = _run(network, images, attack, ensemble, _named(remember, name), keep and partial(keep, name))
        targets = {key: one.n_target_classes for key, one in targeted.items() if key in ensemble.names}
        found[name] = {**own, **ensemble.plain(), "targets": targets, "package": made_by}
    return found


def too_few(num_classes: int, ensemble: Ensemble) -> str | None:
    """What there is to say where an attack needs more classes; None where none does."""
    for name in ensemble.names:
        fewest = FEWEST.get(name, 2)
        if num_classes < fewest:
            return (
                f"autoattack needs at least {fewest} classes for the difference of logits ratio of {name}, got "
                f"{num_classes}; use --version custom --attacks apgd-ce fab-t square"
            )
    return None


def make_autoattack(network: Network, ensemble: Ensemble, seed: int, device: torch.device) -> Any:
    """The package's object."""
    package, eps, version = _package(), ensemble.eps, ensemble.version
    attacks = list(ensemble.attacks) or None
    made = package.AutoAttack(
        network, eps=eps, norm=ensemble.norm, seed=seed, version=version, attacks=attacks, device=device
    )
    if ensemble.passes is not None:
        made.apgd.eot_iter = made.apgd_targeted.eot_iter = ensemble.passes
    return made


def _named(remember: Remember, network: str) -> Remember:
    return lambda key, compute: remember(f"{network} {key}", compute)


def _run(
    network: Network,
    images: HeldOutImages,
    attack: Any,
    ensemble: Ensemble,
    remember: Remember,
    keep: Callable[[Tensor], None] | None,
) -> dict[str, Any]:
    check = partial(_check, network, images, attack, ensemble.version != "rand")
    said = list(remember("checks", check)["warnings"])
    robust = np.ones(len(images), dtype=bool)
    ended = torch.cat([batch.images.cpu() for batch in images]) if keep else torch.empty(0)
    after: dict[str, float] = {}
    for stage in ("clean", *ensemble.names):
        places = np.flatnonzero(robust)
        if len(places):
            for number, batch in enumerate(images.select(places)):
                fool = partial(_fool, attack, stage, batch, ensemble, keep is not None)
                row = remember(f"{stage} {number}" + (" kept" if keep else ""), fool)
                fooled = places[number * images.batch_size + np.array(row["fooled"], dtype=np.int64)]
                robust[fooled] = False
                if keep:
                    ended[fooled] = row["images"]
                said += [text for text in row["warnings"] if text not in said]
        after[stage] = float(robust.mean())
    said += [text for text in _check_square(after, attack, images.world.device) if text not in said]
    if keep:
        keep(ended)
    return {"accuracy": after[stage], "after": after, "robust": robust.astype(int).tolist(), "warnings": said}


def _fool(attack: Any, stage: str, batch: HeldOutBatch, ensemble: Ensemble, kept: bool) -> dict[str, Any]:
    """Which images of the batch an attack finds an error for."""
    with _said(batch.images.device) as said, torch.no_grad():
        images = batch.images.clone()
        reached = images if stage == "clean" else _perturb(attack, stage, ensemble)(images, batch.labels.clone())
        fooled = (predict(attack.model, reached) != batch.labels).nonzero().squeeze(1)
    check_adversarial(reached[fooled], batch.images[fooled], ensemble.eps, ensemble.norm, f"{PACKAGE}'s {stage}")
    found = {"fooled": fooled.tolist(), "warnings": said}
    return {**found, "images": reached[fooled].float().cpu()} if kept else found


def _perturb(attack: Any, stage: str, ensemble: Ensemble) -> Callable[[Tensor, Tensor], Tensor]:
    """One of the package's attacks, set and seeded as its own loop does."""
    one = {"apgd-t": attack.apgd_targeted, "square": attack.square}.get(stage)
    if stage in ("apgd-ce", "apgd-dlr"):
        one, attack.apgd.loss = attack.apgd, stage.removeprefix("apgd-")
    if stage in ("fab", "fab-t"):
        one, attack.fab.targeted = attack.fab, stage == "fab-t"
        # The package never sets back what it sets for the targeted one.
        names: list[str] = list(ensemble.names)
        if "fab-t" in names[: names.index(stage) + 1]:
            attack.fab.n_restarts = 1
    assert one is not None
    one.seed = attack.get_seed()
    return one.perturb


def _check(network: Network, images: HeldOutImages, attack: Any, same_answers: bool) -> dict[str, Any]:
    """What the package says about the network before it attacks: random, or with gradients of its own."""
    checks = import_module(f"{PACKAGE}.checks")
    batch = next(iter(images))
    tracing = sys.gettrace()
    with _said(batch.images.device) as said:
        if same_answers:
            checks.check_randomized(network, batch.images, batch.labels, bs=len(batch.images), logger=attack.logger)
        # Counts of calls, which the package never sets back.
        checks.funcs.update(dict.fromkeys(checks.funcs, 0))
        try:
            checks.check_dynamic(network, batch.images, False, logger=attack.logger)
        finally:
            # The check ends by removing whatever traced the program before.
            sys.settrace(tracing)
    return {"warnings": said}


def _check_square(after: dict[str, float], attack: Any, device: torch.device) -> list[str]:
    """What the package says where Square, which sees no gradient, did better than those that do."""
    with _said(device) as said:
        import_module(f"{PACKAGE}.checks").check_square_sr(after, logger=attack.logger)
    return said


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
