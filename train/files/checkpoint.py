"""Checkpoints: written whole or not at all, and read without running code from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train.files import sealed
from train.files.identity import listed
from train.files.plain import with_short_names
from train.files.recipe_file import RecipeFile
from train.files.sealed import Damaged
from train.models import build_model

FORMATS = (1, 2)
"""Before 2 a file had no digest."""
LAST, BEST = "last.pt", "best.pt"
KEPT = 2
"""So many of the last ones, where nobody says how many."""


def save(path: Path, content: dict[str, Any], *, keep: int = 1) -> None:
    """Write `content` (tensors, numbers, strings, lists and dicts) so that `path` is always a whole file.

    keep  so many of the checkpoints written here stay, the earlier ones as last-2.pt, last-3.pt, ...

    OSError if it cannot be written; nothing has changed then.
    """
    sealed.write(path, {**content, "format": FORMATS[-1]}, keep=keep)


def kept(folder: Path) -> list[Path]:
    """The checkpoints in the folder of a run, the last one first and the best one at the end."""
    last = folder / LAST
    earlier = {number: path for path in folder.glob("last-*.pt") if (number := _number(path)) > 1}
    files = [last, *(earlier[number] for number in sorted(earlier)), folder / BEST]
    return [path for path in files if path.is_file()]


def _number(path: Path) -> int:
    text = path.stem.rpartition("-")[2]
    return int(text) if text.isascii() and text.isdecimal() and not text.startswith("0") else 0


def find(path: Path) -> Path:
    """The checkpoint that a path names: a file, or the last.pt in the folder of a run.

    Raises:
        FileNotFoundError: there is none.
    """
    if path.is_dir() and not (path / LAST).is_file():
        others = kept(path)
        instead = f"it has {others[0].name}" if others else "give the folder of a run, or a checkpoint"
        raise FileNotFoundError(f"{path} holds no last.pt; {instead}")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    return path / LAST if path.is_dir() else path


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint, with its tensors on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged (then `Damaged`), no checkpoint, or of another version.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the last.pt or best.pt in it")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        return _read(path)
    except Damaged as error:
        whole = [other.name for other in kept(path.parent) if other != path and _is_whole(other)]
        advice = f"{' and '.join(whole)} beside it can be read" if whole else "move it away"
        raise Damaged(path, error.reason, advice) from error


@dataclass(frozen=True)
class Newest:
    """The newest checkpoint of a run's folder that can be read."""

    path: Path
    content: dict[str, Any]
    damaged: tuple[Damaged, ...] = ()
    """What is wrong with others of the folder."""


def newest(folder: Path) -> Newest | None:
    """The last checkpoint of a run; where it is damaged or gone, what is left of those before it. None: there is none.

    Raises:
        ValueError: none of them can be read.
    """
    found: list[Newest] = []
    damaged: list[Damaged] = []
    for path in kept(folder):
        try:
            found.append(Newest(path, _read(path)))
        except Damaged as error:
            damaged.append(error)
            continue
        if path.name == LAST:
            return found[0]
    if damaged and not found:
        first, *others = damaged
        also = f", and neither can {listed([error.path.name for error in others])}" if others else ""
        raise ValueError(
            f"{first.path} cannot be read ({first.reason}){also}; move {folder} away, or pass another --name, to begin "
            "anew"
        )
    if not found:
        return None
    chosen = max(found, key=lambda one: (one.content.get("step", 0), one.content.get("epoch", 0)))
    return replace(chosen, damaged=tuple(damaged))


def _read(path: Path) -> dict[str, Any]:
    content, has_digest = sealed.read(path)
    if not isinstance(content, dict) or content.get("format") not in FORMATS:
        raise ValueError(f"{path} is no checkpoint of this version of train; move it away")
    if content["format"] > 1 and not has_digest:
        raise Damaged(path, "its digest is missing")
    return content | {name: with_short_names(content[name]) for name in ("recipe", "identity") if name in content}


def _is_whole(path: Path) -> bool:
    try:
        _read(path)
    except (ValueError, OSError):
        return False
    return True


def check_weights(path: Path) -> Path:
    """The same path. ValueError if it is a checkpoint that is damaged; files of others have no digest."""
    if path.is_file():
        with open(path, "rb") as file:
            sealed.check(file, path)
    return path


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
