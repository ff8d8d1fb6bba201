"""Which stage of a pipeline of image files takes its time."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.pipeline import Pipeline, do_not_convert

from mixdali import Loader
from mixdali.loading.sampling import InOrder

from .arguments import Device, run_settings
from .check.children import undecodable
from .sources.source import Source
from .sources.spans import Held, SpanBatches

BATCHES = 8
READING, DECODING, REST = "reading", "decoding", "crop, operations and mix"


def measure_stages(
    source: Source, loader: Loader, *, batch_size: int, device: Device, num_threads: int | None, seed: int = 0
) -> dict[str, float]:
    """Seconds of a batch in each stage, by its name: what the files cost when they are only read, what decoding a
    random crop adds to that, and what the loader of `source` adds to both. Some batches of each are run, on images
    drawn by the seed; stages that run side by side count as if they came one after the other.
    """
    settings = run_settings(batch_size, num_threads, device)
    chosen = np.random.default_rng(seed).integers(len(source), size=batch_size * (BATCHES + 1))
    drawn = source.select(np.unique(chosen))
    bad = set(undecodable(list(drawn.items), drawn.spans))  # on which the decoder could crash
    good = source.select([place for place in chosen if source.items[place] not in bad])
    reading, decoding = (_seconds(_runs(_part(good, decodes, **settings))) for decodes in (False, True))
    whole = _seconds(iter(loader))
    return {READING: reading, DECODING: max(0.0, decoding - reading), REST: max(0.0, whole - decoding)}


@pipeline_def
def _part(source: Source, decodes: bool) -> Any:
    if source.spans is None:
        encoded, _ = fn.readers.file(files=list(source.items), name="reader")
    else:
        encoded = _encoded(source.spans)
    if not decodes:
        return encoded
    device = "cpu" if Pipeline.current().device_id is None else "mixed"
    return fn.decoders.image_random_crop(encoded, device=device, output_type=types.RGB, seed=0)


@do_not_convert
def _encoded(held: Held) -> Any:
    batches = SpanBatches(held, InOrder(len(held), Pipeline.current().max_batch_size, (0, 1)))
    return fn.external_source(source=lambda i: batches(i)[0], batch=True, dtype=types.UINT8)


def _runs(pipeline: Any) -> Iterator[Any]:
    pipeline.build()
    while True:
        yield pipeline.run()


def _seconds(batches: Iterator[Any]) -> float:
    """Of a batch, the first one, with all that is built for it, left out."""
    next(batches)
    started = time.perf_counter()
    number = sum(1 for _ in islice(batches, BATCHES))
    return (time.perf_counter() - started) / max(1, number)
