"""One way to call a mix in every world: numpy in, numpy out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import nvidia.dali.experimental.dynamic as ndd
import torch
from nvidia.dali import fn as dali
from nvidia.dali import pipeline_def

import mixdali
from mixdali import Mix, Plan

_KINDS = {"partner": np.int32, "box": np.int32, "region": np.int32, "method": np.int32}


@dataclass(frozen=True)
class Mixed:
    images: np.ndarray  # (N, C, H, W) float32
    targets: np.ndarray  # (N, num_classes) float32
    plan: Plan  # of arrays


def torch_mix(mix: Mix, images: np.ndarray, targets: np.ndarray, seed: int = 0, **how: Any) -> Mixed:
    """images (N, H, W, C) uint8. how: `plan`, or draws to give."""
    pixels = mixdali.to_float(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous())
    plan = how.pop("plan", None)
    if plan is None:
        rng = torch.Generator().manual_seed(seed)
        given = {name: torch.as_tensor(value) for name, value in how.items()}
        plan = mix.draw(pixels, targets=torch.from_numpy(targets), rng=rng, **given)
    else:
        plan = _each(plan, torch.as_tensor)
    out = mix.apply(pixels, torch.from_numpy(targets), plan)
    return Mixed(out[0].numpy(), out[1].numpy(), _each(plan, lambda value: value.numpy()))


def graph_mix(mix: Mix, images: np.ndarray, targets: np.ndarray, seed: int = 0, **how: Any) -> Mixed:
    """The same in a DALI graph."""
    return next(graph_batches(mix, images, targets, seed, **how))


def graph_batches(mix: Mix, images: np.ndarray, targets: np.ndarray, seed: int = 0, epoch: Any = None, **how: Any):
    """Batch after batch of the same images, each with new draws. epoch: a number, or a function that makes a node."""
    names: list[str] = []

    def constant(value: np.ndarray, **settings: Any) -> Any:
        return dali.external_source(source=lambda i: np.ascontiguousarray(value), batch=True, **settings)

    @pipeline_def(batch_size=len(images), num_threads=2, device_id=None, seed=seed)
    def pipeline():
        pixels = constant(images, layout="HWC")
        given = how.get("plan")
        if given is None:
            nodes = {name: constant(_draw(name, value)) for name, value in how.items()}
            now = epoch() if callable(epoch) else epoch
            plan = mix.draw(pixels, targets=constant(targets), epoch=now, **nodes)
        else:
            plan = Plan.of_parts({k: constant(np.asarray(v, _kind(k))) for k, v in given.parts().items()})
        out = mix.apply(pixels, constant(targets), plan)
        names[:] = plan.parts()
        return (*out, *plan.parts().values())

    pipe = pipeline()
    pipe.build()
    while True:
        outputs = [np.array(output.as_array(), order="C") for output in pipe.run()]
        yield Mixed(outputs[0], outputs[1], Plan.of_parts(dict(zip(names, outputs[2:], strict=True))))


def dynamic_mix(mix: Mix, images: np.ndarray, targets: np.ndarray, seed: int = 0, **how: Any) -> Mixed:
    """The same in DALI's dynamic mode."""
    pixels = ndd.as_batch(images, layout="HWC")
    plan = how.pop("plan", None)
    if plan is None:
        given = {name: ndd.as_batch(_draw(name, value)) for name, value in how.items()}
        plan = mix.draw(pixels, targets=ndd.as_batch(targets), rng=ndd.random.RNG(seed=seed), **given)
    else:
        values = {name: np.asarray(value, _kind(name)) for name, value in plan.parts().items()}
        plan = Plan.of_parts({name: ndd.as_batch(value) for name, value in values.items()})
    out = mix.apply(pixels, ndd.as_batch(targets), plan)
    return Mixed(_stacked(out[0]), _stacked(out[1]), _each(plan, _stacked))


def _stacked(batch: ndd.Batch) -> np.ndarray:
    return np.stack([np.array(tensor) for tensor in batch.tensors])


def _kind(name: str) -> type:
    return _KINDS.get(name.rpartition(".")[2], np.float32)


def _draw(name: str, value: np.ndarray) -> np.ndarray:
    """Integers stay integers: they are pixels."""
    array = np.asarray(value)
    return array.astype(np.int32) if array.dtype.kind == "i" else array.astype(_kind(name))


def _each(plan: Plan, change: Callable[[Any], Any]) -> Plan:
    return Plan.of_parts({name: change(value) for name, value in plan.parts().items()})


WORLDS = {"torch": torch_mix, "graph": graph_mix, "dynamic": dynamic_mix}
