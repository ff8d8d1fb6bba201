"""The floor: a pipeline that decodes, crops and resizes, and that is all. Images stay uint8 (N, S, S, 3).

fast   the decoder's inexact inverse cosine transform, which is a little faster.
plain  by DALI's own `resize`, not by that of `pipelines.augment.resize`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.pipeline import Pipeline

from mixdali import Loader

from ...arguments import device_id
from ...augment.resize import resize
from ...sources.files import read_folder


@pipeline_def
def decoded(files: Sequence[str], size: int, fast: bool, plain: bool) -> Any:
    encoded, _ = fn.readers.file(files=list(files), shuffle_after_epoch=True, pad_last_batch=True, name="reader")
    images = fn.decoders.image_random_crop(
        encoded,
        device="cpu" if Pipeline.current().device_id is None else "mixed",
        output_type=types.RGB,
        adjust_orientation=False,
        random_area=(0.08, 1.0),
        random_aspect_ratio=(3 / 4, 4 / 3),
        use_fast_idct=fast,
    )
    if not plain:
        return resize(images, (size, size))
    return fn.resize(images, size=(size, size), interp_type=types.INTERP_LINEAR, antialias=True)


def batches(settings: dict[str, Any]) -> Iterator[Any]:
    files = read_folder(settings["folder"], "train").items
    pipeline = decoded(
        list(files) * settings["repeat"],
        settings["size"],
        settings["fast"],
        settings["plain"],
        batch_size=settings["batch_size"],
        num_threads=settings["threads"],
        device_id=device_id(settings["device"]),
        seed=settings["seed"],
    )
    loader = Loader(pipeline, ["images"])
    while True:
        for (images,) in loader:
            yield images, None
