"""Checkpoints: written whole or not at all, and read without running code from them."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train.files.plain import with_short_names
from train.files.recipe_file import RecipeFile
from train.models import build_model

FORMAT = 1


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, strings, lists and dicts) so that `path` is always a whole file."""
    temporary = path.with_name(f".{path.name}.writing")
    with open(temporary, "wb") as file:
        torch.save({"format": FORMAT, **content}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def find(path: Path) -> Path:
    """The checkpoint that a path names: a file, or the last.pt in the folder of a run.

    Raises:
        FileNotFoundError: there is none.
    """
    if path.is_dir() and not (path / "last.pt").is_file():
        raise FileNotFoundError(f"{path} holds no last.pt; give the folder of a run, or a checkpoint")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    return path / "last.pt" if path.is_dir() else path


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint, with its tensors on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, no checkpoint, or of another version.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the last.pt or best.pt in it")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is no readable checkpoint ({_first_line(error)}); move it away") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is no checkpoint of this version of train; move it away")
    return content | {name: with_short_names(content[name]) for name in ("recipe", "identity") if name in content}


def load_classifier(path: Path) -> dict[str, Any]:
    """As `load`, of a run of `python -m train`; ValueError for a checkpoint of anything else."""
    content = load(path)
    if "recipe" not in content or "network" not in content:
        raise ValueError(f"{path} is no checkpoint of a classifier; give one of python -m train")
    return content


def check_classes(path: Path, content: dict[str, Any], classes: Sequence[str], root: str | None) -> None:
    """ValueError unless the classifier of a checkpoint was trained on these classes, which are those of `root`."""
    if content["classes"] != list(classes):
        raise ValueError(
            f"{path} was trained on the {len(content['classes'])} classes {_brief(content['classes'])}, "
            f"{root or 'the embedded digits'} has {len(classes)}: {_brief(classes)}; pass its --root"
        )


def digest(module: nn.Module) -> str:
    """Twelve characters that tell the weights, and all else that the module saves."""
    found = hashlib.sha256(type(module).__name__.encode())
    for name, value in module.state_dict().items():
        found.update(name.encode())
        if isinstance(value, Tensor):
            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:12]


def digest_file(path: Path) -> str:
    """Twelve characters that tell a file. FileNotFoundError if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    with open(path, "rb") as file:
        found = hashlib.sha256()
        while part := file.read(1 << 20):
            found.update(part)
    return found.hexdigest()[:12]


def _brief(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def load_model(path: Path, *, average: bool = True, file: RecipeFile | None = None) -> nn.Module:
    """The network of a checkpoint in evaluation mode, on the CPU: images (N, 3, H, W) in [0, 1] -> logits.

    Args:
        path: a last.pt or best.pt.
        average: take the averaged weights where the run kept them.
        file: `read_recipe_file` of the file that defines the network, if one does. It is not looked for.
    """
    content = load(path)
    model = build_model(**content["network"], seed=0, own=None if file is None else file.names)
    weights = content["ema"] if average and content["ema"] is not None else content["model"]
    model.load_state_dict(weights)
    return model.eval()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
