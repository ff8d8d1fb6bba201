"""Images that live in memory, handed to DALI a batch at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import prod
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixdali import Layer, Mix, Plan, derive_seed, one_hot
from mixdali.loading import sampling
from mixdali.plan import WHOLE, is_whole

if TYPE_CHECKING:
    import torch


RUN = 16  # batches that are drawn in a row
RUN_BYTES = 1 << 25  # of float images that are made in a row, at most
PAUSE = 0.005  # seconds until the next ones are drawn: Python is busy with these until they are handed over


class Told:
    """A function of whole numbers that says what it reads, for `mixdali.Loader`."""

    facts: dict[str, Any]
    num_samples: int
    num_items: int

    def __init__(self, function: Callable[[int], tuple[NDArray, ...]]) -> None:
        self.function = function

    def __call__(self, i: int) -> tuple[NDArray, ...]:
        return self.function(i)


@dataclass(frozen=True)
class InOrder:
    """Batch i: the same rows of all arrays, in order; as in `mixdali.loading.sampling.InOrder`."""

    arrays: Mapping[str, NDArray]
    batch_size: int
    shard: tuple[int, int]

    def named(self, names: Sequence[str]) -> Callable[[int], tuple[NDArray, ...]]:
        """A function of i that gives these arrays' rows."""
        rows = sampling.InOrder(len(self.arrays["images"]), self.batch_size, self.shard)
        found = Told(lambda i: tuple(self.arrays[name][rows(i)] for name in names))
        found.facts = rows.facts | _digests(self.arrays["labels"], self.arrays["index"])
        found.num_samples, found.num_items = rows.num_samples, len(self.arrays["images"])
        return found


@dataclass(frozen=True)
class TrainBatches:
    """What training batch i of a run is made of, drawn for all its images at once: a pure function of i.

    Every epoch is a new order of the images (`mixdali.loading.sampling.Shuffled`). An image is cropped at one of
    (2 * padding + 1) ** 2 places of its padded form, each as likely, and mirrored half of the time.

    pixels      (2 * M, H + 2 * padding, W + 2 * padding, C) uint8, contiguous: all images, and all mirrored, so that to
                mirror one is to take another row; (M, H, W, C) with a padding of 0.
    labels,     (M,) integers.
    index
    num_classes for the targets.
    smoothing   of the targets.
    mix         None: nothing is mixed.
    padding     0: no crop, and nothing is mirrored.
    size        height and width of the images when they are mixed.
    order       rows of the images of batch i.
    batches     of an epoch.
    batches_per_run
                that are handed over at a time, one after the other.
    first       the epoch to begin with: the first batch handed over is its first.
    """

    pixels: NDArray
    labels: NDArray
    index: NDArray
    num_classes: int
    smoothing: float
    mix: Mix | None
    padding: int
    size: tuple[int, int]
    order: sampling.Shuffled
    batches: int
    batches_per_run: int
    first: int
    seed: int

    def named(self, names: Sequence[str]) -> Callable[[int], tuple[NDArray, ...]]:
        """A function of the run that gives, of its batches, by name: "images" (N, H, W, C) uint8, cropped, "crops"
        in their place, as `mixdali.worlds.compiled.resident` takes them; "targets", "labels", "index"; "plan.lam",
        "plan.partner", ..."""
        drawn = in_runs(lambda j: self._run(j, names), max(1, RUN // self.batches_per_run))

        def run(j: int) -> tuple[NDArray, ...]:
            crops, found = drawn(j)
            return tuple(self._cropped(crops) if name == "images" else found[name] for name in names)

        told = Told(run)
        told.facts = self.order.facts | _digests(self.labels, self.index)
        told.facts |= {
            name: getattr(self, name) for name in ("num_classes", "smoothing", "mix", "padding", "size", "seed")
        }
        told.num_samples, told.num_items = self.order.num_samples, len(self.labels)
        return told

    def _run(self, j: int, names: Sequence[str]) -> tuple[NDArray, dict[str, NDArray]]:
        """What `_drawn` gives of the run's batches, one after the other."""
        first = self.first * self.batches + self.batches_per_run * j
        crops, found = zip(*(self._drawn(first + i, names) for i in range(self.batches_per_run)), strict=True)
        return np.concatenate(crops), {name: np.concatenate([of[name] for of in found]) for name in found[0]}

    def _drawn(self, i: int, names: Sequence[str]) -> tuple[NDArray, dict[str, NDArray]]:
        """Where batch i is cropped, and all that is named but its images."""
        import torch

        rng = torch.Generator().manual_seed(derive_seed(self.seed, "batch", i))
        rows = self.order(i)
        crops = self._crops(rows, rng)
        labels = self.labels[rows]
        found: dict[str, Any] = {"labels": labels, "index": self.index[rows]}
        plan = None
        if self.mix is not None:
            plan = self.mix.draw(self._blank, targets=torch.from_numpy(labels), rng=rng, epoch=i // self.batches)
            found |= {f"plan.{name}": value for name, value in plan.parts().items()}
        if "targets" in names:
            found["targets"] = self._targets(labels, plan)
        if "crops" in names:
            found["crops"] = self._rows(crops, plan)
        return crops, {name: _as_array(name, found[name]) for name in names if name != "images"}

    def _crops(self, rows: NDArray, rng: torch.Generator) -> NDArray:
        """(N, 3) float64: row of `pixels`, first y, first x."""
        import torch

        crops = np.zeros((len(rows), 3))
        crops[:, 0] = rows
        if self.padding:
            places = 2 * self.padding + 1
            crops[:, 0] += len(self.labels) * torch.randint(2, (len(rows),), generator=rng).numpy()
            crops[:, 1:] = torch.randint(places, (len(rows), 2), generator=rng).numpy()
        return crops

    def _cropped(self, crops: NDArray) -> NDArray:
        height, width = (side - 2 * self.padding for side in self.pixels.shape[1:3])
        rows, tops, lefts = crops.astype(np.int64).T
        ys, xs = tops[:, None] + np.arange(height), lefts[:, None] + np.arange(width)
        return self.pixels[rows[:, None, None], ys[:, :, None], xs[:, None, :]]

    @cached_property
    def _blank(self) -> torch.Tensor:
        """Images of which only number and size matter; they take no memory."""
        import torch

        return torch.zeros(()).expand(len(self.order(0)), self.pixels.shape[3], *self.size)

    def _rows(self, crops: NDArray, plan: Plan | None) -> NDArray:
        """(N, 9 + 13 * layers) float64, as `mixdali.worlds.compiled.resident` takes it."""
        layers: list[Plan | Layer] = [] if plan is None else [plan, *plan.more]
        rows = np.empty((len(crops), 9 + 13 * len(layers)))
        rows[:, :6] = *divmod(self.pixels.ctypes.data, 1 << 31), *self.pixels.shape
        rows[:, 6:9] = crops
        for i, layer in enumerate(layers):
            row = rows[:, 9 + 13 * i : 22 + 13 * i]
            row[:, :3] = crops if layer.partner is None else crops[layer.partner.numpy()]
            row[:, 3:7] = WHOLE if layer.box is None else layer.box.numpy()
            row[:, 7] = layer.weight.numpy()
            row[:, 8] = 1.0 if layer.outside is None else layer.outside.numpy()
            row[:, 9:13] = row[:, 3:7] if layer.region is None else layer.region.numpy()
        return rows

    @cached_property
    def _one_hot(self) -> torch.Tensor:
        """(num_classes, num_classes), a row for each label."""
        import torch

        return one_hot(torch.arange(self.num_classes), self.num_classes, self.smoothing)

    def _targets(self, labels: NDArray, plan: Plan | None) -> NDArray:
        import torch

        from mixdali.worlds import world_of

        targets = self._one_hot[torch.from_numpy(labels)]
        if plan is not None:
            targets = world_of(self._blank).blend_targets(targets, plan)
        return targets.numpy()


def most_per_run(batch_size: int, shape: tuple[int, ...]) -> int:
    """How many batches of images (H, W, C) to make in a run: the more they are, the smaller is DALI's share of each."""
    return min(RUN, max(1, RUN_BYTES // (4 * batch_size * prod(shape))))


def in_runs(function: Callable[[int], Any], length: int) -> Callable[[int], Any]:
    """The same function of whole numbers, computed for some of them in a row, and for the next ones ahead, in a thread.

    Between two batches the network's own work empties the processor's caches, after which Python is several times
    slower for a while; so it is asked less often, and while the network is at work.
    """
    # one thread, so that the function never runs twice at a time
    thread = ThreadPoolExecutor(1, thread_name_prefix="mixdali draws")
    known: dict[int, Any] = {}
    ahead: dict[int, tuple[Future[list[Any]], Event]] = {}

    def run(start: int, wanted: Event) -> list[Any]:
        wanted.wait(PAUSE)
        return [function(i) for i in range(start, start + length)]

    def begin(start: int) -> tuple[Future[list[Any]], Event]:
        wanted = Event()
        return thread.submit(run, start, wanted), wanted

    def of(i: int) -> Any:
        if i not in known:
            known.clear()
            found, wanted = ahead.pop(i) if i in ahead else begin(i)
            wanted.set()
            known.update(enumerate(found.result(), start=i))
            ahead.clear()
            ahead[i + length] = begin(i + length)
        return known.pop(i)

    return of


def _digests(labels: NDArray, index: NDArray) -> dict[str, str]:
    """Which images they are, without reading all pixels."""
    return {
        name: hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()
        for name, values in (("labels", labels), ("index", index))
    }


def _as_array(name: str, value: Any) -> NDArray:
    """As DALI is told it is: whole numbers int32 and others float32, but for images and crops."""
    if isinstance(value, np.ndarray):
        return value
    return np.ascontiguousarray(value.numpy(), dtype=np.int32 if is_whole(name) else np.float32)
