"""A trained network as a file that needs nothing of this project, checked against the network itself.

    python -m train.export runs/NAME --form onnx

Images (N, 3, H, W) in [0, 1] go in and logits come out: the normalisation is a layer of the network. N is free. Before
the file is left, both compute batches of random images; no logit may differ by more than `tolerance` of the largest.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor, nn

from mixdali.checks import require
from train.data.batches import held_out_form
from train.files import checkpoint
from train.files.recipe_file import NamedFile, file_of
from train.files.sealed import written
from train.machine.command import new_console, parse, say

ENDINGS = {"onnx": ".onnx", "torch": ".pt2"}
NEEDED = ("onnx", "onnxscript", "onnxruntime")
# What the pipelines give where the recipe says nothing.
SIZES = {"cifar": (32, 32), "imagenet": (224, 224)}
BATCHES = (1, 5)
"""Sizes of the batches that the two are compared on; the network was exported with another one."""

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What a command line can set."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """A last.pt or best.pt of python -m train, or the folder of a run, whose last.pt is taken."""
    form: Literal["onnx", "torch"] = "onnx"
    """onnx, for ONNX Runtime and others; torch, what torch.export.load reads."""
    out: Path | None = None
    """The file; None: beside the checkpoint, network.onnx or network.pt2. One that is there is replaced."""
    size: tuple[int, int] | None = None
    """Height and width of the images; None: those that the recipe validates with."""
    average: bool = True
    """Take the averaged weights where the run kept them."""
    tolerance: float = 1e-4
    """How far a logit may be from the network's own, by the largest of them."""
    recipe_file: NamedFile = None

    def __post_init__(self) -> None:
        require(0 < self.tolerance < 1, "tolerance", self.tolerance, "must be above 0 and below 1")
        if self.size is not None:
            require(min(self.size) > 0, "size", self.size, "must be a positive height and width")


def main(words: Sequence[str]) -> int:
    """Write the file and say how near it comes; -> the exit code. ValueError and others of one line for the user."""
    asked = parse(Arguments, words, program="train.export", summary=(__doc__ or "").split("\n")[0])
    check_installed(asked.form)
    path, console = checkpoint.find(asked.checkpoint), new_console()
    content = checkpoint.load_classifier(path)
    file = file_of(path, content, content["network"], asked.recipe_file, partial(say, console))
    model = checkpoint.load_model(path, average=asked.average, file=file)
    size = asked.size or held_out_form(content["recipe"])[0] or SIZES[content["recipe"]["data"]]
    out = path.with_name(f"network{ENDINGS[asked.form]}") if asked.out is None else asked.out
    far = export(model, size, out, asked.form, asked.tolerance)
    height, width = size
    say(
        console, f"{out}: images (N, 3, {height}, {width}) in [0, 1] -> logits (N, {content['network']['num_classes']})"
    )
    say(
        console, f"on batches of random images its logits are within {far:.1e} of the network's, by the largest of them"
    )
    return 0


def check_installed(form: Literal["onnx", "torch"]) -> None:
    """ValueError if what writes and checks the form is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None] if form == "onnx" else []
    if missing:
        raise ValueError(f"--form onnx needs {', '.join(missing)}: pip install {' '.join(missing)}, or --form torch")


def export(
    model: nn.Module, size: tuple[int, int], out: Path, form: Literal["onnx", "torch"], tolerance: float
) -> float:
    """Write the network and compare. -> the largest difference of a logit, by the largest logit.

    Args:
        model: (N, 3, H, W) in [0, 1] -> logits; in evaluation mode.
        size: H and W.

    Raises:
        ValueError: the file computes other logits; it is not left then.
    """
    with written(out) as aside:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # of the exporters' own future
            read = {"onnx": write_onnx, "torch": write_torch}[form](model, size, aside)
            far = max(largest_difference(model, read, (count, 3, *size)) for count in BATCHES)
        if not far <= tolerance:
            raise ValueError(f"{out}: its logits are {far:.1e} from the network's, --tolerance is {tolerance:g}")
    return far


def write_torch(model: nn.Module, size: tuple[int, int], path: Path) -> Call:
    """Write what torch.export gives of the network; -> the network read from there."""
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        program = torch.export.export(model, (torch.zeros(2, 3, *size),), dynamic_shapes=({0: batch},))
    with open(path, "wb") as file:
        torch.export.save(program, file)
    with open(path, "rb") as file:
        read = torch.export.load(file)
    return read.module()


def write_onnx(model: nn.Module, size: tuple[int, int], path: Path) -> Call:
    """Write the network for ONNX, one file with its weights; -> the network read by ONNX Runtime."""
    import onnxruntime

    batch = torch.export.Dim("batch", min=1)
    program: Any = torch.onnx.export(
        model,
        (torch.zeros(2, 3, *size),),
        dynamo=True,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: batch},),
        verbose=False,
    )
    program.save(str(path), external_data=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


@torch.no_grad()
def largest_difference(model: Call, other: Call, shape: tuple[int, ...]) -> float:
    """Of the logits of random images, by the largest logit of the first."""
    images = torch.rand(shape, generator=torch.Generator().manual_seed(shape[0]))
    expected, found = model(images), other(images)
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
