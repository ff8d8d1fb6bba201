"""The networks that are evaluated: those of a checkpoint or a state_dict, or what a function of the user returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from train.attacks.attack import precise
from train.data.batches import held_out_form
from train.data.images import HeldOutImages
from train.data.sources import Sources, read_sources
from train.evaluate.parts.shifts import Networks
from train.files import checkpoint
from train.files.recipe_file import RecipeFile, file_of
from train.machine.distributed import World
from train.machine.precision import autocast
from train.machine.stop import Stop
from train.models import build_model, call_function, finite, is_function
from train.models.robustbench import read_weights
from train.models.weights import read_tensors

SLACK = 1e-4
"""How far the sum of a row may be from 1 for it to be taken for probabilities."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network in evaluation mode: images (N, 3, H, W) in [0, 1] -> logits (N, num_classes), at least float32.

    Its parameters take no gradient, the images may. A call is a ValueError where logits are not finite, so that no
    measure and no attack, ours or a package's, can take nan for a class.
    """

    module: nn.Module
    num_classes: int | None
    """Outputs beyond these are left out: an objective's extra output is no class. None: all are classes."""
    precision: str
    stop: Stop
    """Asked at every call; it raises `Stopped`."""

    def __call__(self, images: Tensor) -> Tensor:
        self.stop.check()
        with autocast(self.precision, images.device):
            outputs = self.module(images.contiguous(memory_format=torch.channels_last))
        return finite(precise(outputs)[:, : self.num_classes])

    def fingerprint(self) -> str:
        """A digest of the weights and of all else that the module saves."""
        return checkpoint.digest(self.module)


@dataclass(frozen=True)
class Subject:
    """What is evaluated."""

    title: str
    networks: dict[str, nn.Module]
    """By name: "averaged" and "raw" weights of one network, or the only ones, "network"."""
    sources: Sources
    size: tuple[int, int] | None
    """Of the images; None: their own."""
    ours: bool
    """Whether `train` made the networks."""
    form: Mapping[str, Any] = field(default_factory=dict)
    """What else decides the images, as `train.data.batches.held_out_form` gives it."""

    def classifiers(self, world: World, precision: str, stop: Stop) -> dict[str, Classifier]:
        """Ready to be called on the device of the world."""
        num_classes = self.sources.num_classes if self.ours else None
        return {
            name: Classifier(still(module, world.device), num_classes, precision, stop)
            for name, module in self.networks.items()
        }


def read_checkpoint(
    path: Path,
    root: str | None,
    weights: Literal["both", "kept", "averaged", "raw"],
    recipe_file: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Subject:
    """The networks of a last.pt or best.pt, or of the folder of a run, and the data in `root`. `file_of` says what the
    last two arguments are.

    Raises:
        FileNotFoundError, ValueError: it is no checkpoint of a classifier, or of one of other classes, or it has no
            average where that is asked for.
    """
    path, content = _load(path)
    # Only what is needed, so that a recipe with fields of another version does no harm.
    kind, (size, form) = content["recipe"]["data"], held_out_form(content["recipe"])
    sources = read_sources(kind, root)
    checkpoint.check_classes(path, content, sources.classes, root)
    file = file_of(path, content, content["network"], recipe_file, tell)
    return Subject(
        f"{path.resolve().parent.name}, {path.stem}",
        _networks(path, content, weights, file),
        sources,
        size,
        ours=True,
        form=form,
    )


def read_source(
    path: Path,
    root: str | None,
    sources: Sources,
    recipe_file: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> nn.Module:
    """The network that adversarial images of `sources`, which lie in `root`, are made on for another one: its averaged
    weights where the run kept them. Other arguments and errors as of `read_checkpoint`."""
    path, content = _load(path)
    kind = content["recipe"]["data"]
    if kind != sources.kind:
        raise ValueError(f"{path} takes images of {kind}, the network that is evaluated those of {sources.kind}")
    checkpoint.check_classes(path, content, sources.classes, root)
    file = file_of(path, content, content["network"], recipe_file, tell)
    return next(iter(_networks(path, content, "both", file).values()))


def _load(path: Path) -> tuple[Path, dict[str, Any]]:
    path = checkpoint.find(path)
    return path, checkpoint.load_classifier(path)


def _networks(
    path: Path, content: dict[str, Any], weights: Literal["both", "kept", "averaged", "raw"], file: RecipeFile | None
) -> dict[str, nn.Module]:
    found = {"averaged": content["ema"], "raw": content["model"]}
    if found["averaged"] is None:
        if weights == "averaged":
            raise ValueError(f"{path} holds no averaged weights; pass --weights raw")
        found = {"network": found["raw"]}
    elif weights != "both":
        asked: str = "averaged" if weights == "kept" else weights
        found = {asked: found[asked]}
    networks = {}
    for name, state in found.items():
        networks[name] = build_model(**content["network"], seed=0, own=None if file is None else file.names)
        networks[name].load_state_dict(state)
    return networks


def read_function(name: str, root: str | None) -> Subject:
    """The network that MODULE:FUNCTION returns, and the data in `root`.

    Raises:
        ValueError, TypeError, ImportError: there is no such function, or it returns no torch module.
    """
    from pipelines.sources.datasets import known

    if not is_function(name):
        raise ValueError(f"model must be MODULE:FUNCTION, such as mine:load_network, got {name!r}")
    network = call_function(name)
    sources = read_sources("cifar" if root is None else known.find_kind(root), root)
    return Subject(name, {"network": network}, sources, None, ours=False)


def read_robustbench(
    path: Path, name: str, root: str | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[Subject, str]:
    """The network of a RobustBench-style state_dict, the data in `root`, and in words what normalises the images.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it holds the weights of another network.
    """
    from pipelines.sources.datasets import known

    sources = read_sources("cifar" if root is None else known.find_kind(root), root)
    try:
        network, said = read_weights(read_tensors(path), name, sources.num_classes, mean, std)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Subject(f"{path.stem}, {name}", {"network": network}, sources, None, ours=False), said


def check_outputs(networks: Networks, images: HeldOutImages) -> None:
    """ValueError unless all networks give logits of the classes, on two of the images; in one line what is wrong."""
    few = replace(images.spread(min(2, len(images))), batch_size=2)
    (batch,) = few
    for name, network in networks.items():
        with torch.no_grad():
            logits: Any = network(batch.images)
        if logits.ndim != 2 or logits.shape != (len(few), images.num_classes):
            raise ValueError(
                f"{name} must return logits ({len(few)}, {images.num_classes}) for {len(few)} images, got "
                f"{tuple(logits.shape)}; are these images of its classes?"
            )
        if not bool(logits.isfinite().all()):
            raise ValueError(f"{name} must return finite logits, got nan or infinity; has it diverged?")
        if bool((logits >= 0).all()) and bool(((logits.sum(dim=1) - 1).abs() < SLACK).all()):
            raise ValueError(
                f"{name} returns probabilities (each row sums to 1), which hide its gradients; return the logits, "
                "without the softmax"
            )


def still(module: nn.Module, device: torch.device) -> nn.Module:
    """The network on a device, in evaluation mode and without gradients of its parameters."""
    module = module.to(device).to(memory_format=torch.channels_last).eval()
    return module.requires_grad_(False)
