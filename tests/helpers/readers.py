"""Small pipelines that read image files, for the tests of loaders."""

from nvidia.dali import fn, pipeline_def, types

import mixdali
from mixdali import CutMix, Loader, derive_seed, one_hot


def reading(files: list[str], mix: mixdali.Mix | None = None, **settings):
    """A pipeline over these files; settings are the reader's and the pipeline's."""
    of_pipeline = ("batch_size", "seed", "checkpoint", "num_threads", "enable_checkpointing")
    reader = {name: value for name, value in settings.items() if name not in of_pipeline}
    rest = {name: value for name, value in settings.items() if name in of_pipeline}
    return _reading(files, mix, reader, **rest)


@pipeline_def(num_threads=2, device_id=None, enable_checkpointing=True)
def _reading(files: list[str], mix: mixdali.Mix | None, reader: dict):
    settings = {"pad_last_batch": True, "name": "reader"} | reader
    encoded, labels = fn.readers.file(files=files, labels=list(range(len(files))), **settings)
    images = fn.decoders.image(encoded, output_type=types.RGB)
    targets = one_hot(labels, len(files))
    if mix is not None:
        images, targets = mix(images, targets)
    else:
        images = mixdali.to_float(images)
    return images, targets, fn.reshape(labels, shape=[])


NAMES = ("images", "targets", "index")


def shuffling(
    files: list[str], batch_size: int, shard: tuple[int, int] = (0, 1), seed_of: int = 3, **settings
) -> Loader:
    def make(epoch: int, checkpoint: bytes | None):
        seed = derive_seed(seed_of, epoch)
        order = {"shuffle_after_epoch": True, "shuffle_after_epoch_seed": seed % 2**31}
        order |= {"shard_id": shard[0], "num_shards": shard[1]}
        return reading(
            files, mix=CutMix(prob=0.5), batch_size=batch_size, seed=seed, checkpoint=checkpoint, **(order | settings)
        )

    return Loader(make, NAMES)


def indices(batches) -> list[list[int]]:
    return [batch.index.tolist() for batch in batches]
