"""How much memory a run will take, by estimate, before it starts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from train.data.batches import image_size
from train.data.sources import Sources
from train.loop.state import State
from train.machine.distributed import World
from train.machine.memory import free_on_gpu, free_on_host, held
from train.machine.precision import autocast
from train.machine.run import Run
from train.objectives import BinaryCrossEntropy, CrossEntropy
from train.optim.optimizers import Optimizer
from train.recipe import Recipe

if TYPE_CHECKING:
    from pipelines.sources.source import Source

ROWS = (2, 4)  # images of the passes that are looked at
LOOKED_AT = 32  # image files whose sizes are
CROP_AREA = (0.08, 1.0)  # the pipeline's own
PIXEL, FLOAT = 3, 12  # bytes of a pixel as it is stored, and as float32
PADDED = 8  # pixels that a side of an image in memory gains for its random crop
IMAGES = ("images", "unmixed", "view1", "view2")
LEFT_OUT = ("what kernels borrow for a moment", "what CUDA and DALI's decoders reserve on a GPU")


@dataclass(frozen=True)
class Estimate:
    """Bytes that one process will take beside what it holds, by what they are for."""

    holds: int
    """Bytes that it holds now, on the host."""
    host: Mapping[str, int]
    device: Mapping[str, int]
    """The same of a GPU; empty on a CPU."""
    free_on_host: int
    """For all processes of this machine."""
    free_on_device: int = 0
    processes: int = 1
    """On this machine."""
    left_out: tuple[str, ...] = field(default=LEFT_OUT)

    @property
    def fits(self) -> bool:
        """Whether it is no more than there is."""
        return (
            sum(self.host.values()) * self.processes <= self.free_on_host
            and sum(self.device.values()) <= self.free_on_device
        )

    def lines(self) -> list[str]:
        """For people."""
        each = f" in each of {self.processes} processes" if self.processes > 1 else ""
        found = [
            f"memory by estimate: {_said(self.host)}{each}, beside {_size(self.holds)} held now; "
            f"{_size(self.free_on_host)} free"
        ]
        if self.device:
            found.append(f"GPU memory by estimate: {_said(self.device)}; {_size(self.free_on_device)} free")
        found[-1] += f"; not counted: {', '.join(self.left_out)}"
        if not self.fits:
            found.append(
                "warning: that is more than there is; a smaller --batch_size, more --parts or less --prefetch take less"
            )
        return found

    def plain(self) -> dict[str, Any]:
        """For the manifest, in bytes."""
        return {
            "holds": self.holds,
            "host": dict(self.host),
            "device": dict(self.device),
            "free_on_host": self.free_on_host,
            "free_on_device": self.free_on_device,
            "not_counted": list(self.left_out),
        }


def estimate_memory(
    recipe: Recipe, run: Run, sources: Sources, state: State, world: World, batches_per_run: int = 1
) -> Estimate:
    """What the run will take from here on: what a step computes with, and the batches of its pipelines.

    Held-out images count as if they were measured beside a step. Nothing of the run is changed.

    batches_per_run  that the training pipeline makes at a time.
    """
    left_out, rows = list(LEFT_OUT), max(1, recipe.batch_size // (world.size * run.parts))
    size = image_size(sources.train, recipe.size if recipe.progressive is None else (recipe.progressive.largest,) * 2)
    trained = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
    computed = {"gradients": _bytes(trained)}
    computed["optimiser"] = round(state_per_weight(recipe.optimizer, recipe.lr) * computed["gradients"])
    try:
        fixed, each = activations(state.model, size, recipe.precision)
        computed["activations"] = fixed + rows * each
    except Exception as error:  # of a network of somebody's own, which an estimate must not end
        left_out.append(f"activations ({' '.join(str(error).split()):.80})")
    if not isinstance(recipe.objective, CrossEntropy | BinaryCrossEntropy):
        left_out.append(f"passes of {type(recipe.objective).__name__} beside the first")
    num_classes, outputs = sources.num_classes, recipe.objective.outputs
    batches = rows * batches_per_run * run.prefetch * batch_of_one(size, outputs, num_classes)
    own, held_out = image_size(sources.train, recipe.held_out_size), ("images", "targets")
    measured = max(1, recipe.batch_size // world.size)
    batches += measured * run.prefetch * batch_of_one(own, held_out, num_classes)
    # As they come, and as the network takes them.
    computed["batch"] = 2 * rows * batch_of_one(size, outputs, num_classes)
    low, high = recipe.crop_area or CROP_AREA
    share = (low + high) / 2 if recipe.augment else 1.0
    files, pixels = file_memory(sources.train, rows, share, size)
    more, decoded = file_memory(sources.held_out, measured, 1.0, own)
    on_host = {"files and pixels": files + more + _padded(sources.train, recipe.augment)}
    if world.kind == "cpu":
        on_host["files and pixels"] += pixels + decoded
        host, device = computed | {"batches ahead": batches} | on_host, dict[str, int]()
    else:
        device = computed | {"batches ahead": batches, "decoded pixels": pixels + decoded}
        host = on_host
    return Estimate(
        holds=held(),
        host=host,
        device=device,
        free_on_host=free_on_host(),
        free_on_device=free_on_gpu(world.device) if device else 0,
        processes=world.local_size,
        left_out=tuple(left_out),
    )


def batch_of_one(size: tuple[int, int], outputs: tuple[str, ...], num_classes: int) -> int:
    """Bytes of what a pipeline gives for one image."""
    images = sum(name in IMAGES for name in outputs)
    return images * size[0] * size[1] * FLOAT + 4 * num_classes


def file_memory(source: Source, rows: int, share: float, size: tuple[int, int]) -> tuple[int, int]:
    """Bytes that a batch of image files takes before it is one: as files, of which as many are read ahead; and as
    pixels, this share of each image decoded and then resized. Nothing of images in memory."""
    if isinstance(source.items, np.ndarray):
        return 0, 0
    from PIL import Image

    chosen = np.arange(min(LOOKED_AT, len(source))) * len(source) // min(LOOKED_AT, len(source))
    stored, decoded = list[int](), list[int]()
    for row in chosen.tolist():
        try:
            with open(source.items[row], "rb") as file, Image.open(file) as image:
                decoded.append(image.width * image.height * PIXEL)
                stored.append(file.seek(0, 2))
        except (OSError, ValueError, Image.DecompressionBombError):
            continue  # a bad file, or one within a larger one
    if not decoded:
        return 0, rows * size[0] * size[1] * PIXEL
    pixels = share * float(np.mean(decoded)) + size[0] * size[1] * PIXEL
    return round(2 * rows * float(np.mean(stored))), round(rows * pixels)


def _padded(source: Source, augment: bool) -> int:
    """Bytes of the copy that random crops of images in memory are cut from."""
    if not isinstance(source.items, np.ndarray) or not augment:
        return 0
    number, height, width, _ = source.items.shape
    return number * (height + PADDED) * (width + PADDED) * PIXEL


def activations(model: nn.Module, size: tuple[int, int], precision: str) -> tuple[int, int]:
    """Bytes that a pass of a network in training keeps for the backward pass: such as do not depend on the number of
    images, and those of each image. Both are measured on a copy of the network, by passes of a few empty images.

    size  height and width of the images.
    """
    copied = copy.deepcopy(model).train()
    for module in copied.modules():
        if isinstance(module, nn.SyncBatchNorm):
            module.eval()  # it would wait for other processes
    device = next(copied.parameters()).device
    small, large = ROWS
    with torch.random.fork_rng([device.index or 0] if device.type == "cuda" else []):
        few, more = (_kept(copied, torch.zeros(rows, 3, *size, device=device), precision) for rows in ROWS)
    each = max(0, more - few) // (large - small)
    return max(0, few - small * each), each


def _kept(model: nn.Module, images: Tensor, precision: str) -> int:
    """Bytes that a pass keeps for the backward pass, beside weights and images, and its output."""
    images = images.contiguous(memory_format=torch.channels_last)
    there = {_place(tensor) for tensor in (*model.parameters(), *model.buffers(), images)}
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        found[_place(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast(precision, images.device):
        output = model(images)
    return sum(size for place, size in found.items() if place not in there) + _bytes([output])


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def state_per_weight(optimizer: Optimizer, lr: float) -> float:
    """How many times the bytes of the weights an optimiser keeps, by a step on a small matrix."""
    matrix = nn.Parameter(torch.zeros(16, 16))
    made = optimizer.build([{"params": [matrix]}], lr)
    matrix.grad = torch.ones_like(matrix)
    made.step()
    kept = [value for value in made.state[matrix].values() if isinstance(value, Tensor) and value.dim()]
    return _bytes(kept) / _bytes([matrix])


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _said(parts: Mapping[str, int]) -> str:
    """The sum, and the parts that matter, the largest first."""
    total = sum(parts.values())
    large = sorted((size, name) for name, size in parts.items() if size > 0.02 * total)[::-1]
    return f"{_size(total)} ({', '.join(f'{name} {_size(size)}' for size, name in large)})"


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
