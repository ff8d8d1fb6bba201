"""Why a run waits: the stage that is slow is named."""

import numpy as np
import pytest
from PIL import Image

from pipelines import imagenet
from pipelines.sources.source import Source
from pipelines.stages import DECODING, READING, REST, measure_stages
from tests.helpers.training import ALONE, TINY, coloured_sources
from train.data.sources import Sources
from train.data.stages import explain_waiting
from train.machine.run import Run


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Files that are hard to decode, of which small images are made."""
    folder = tmp_path_factory.mktemp("large")
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    for number in range(4):
        Image.fromarray(np.roll(noise, number)).save(folder / f"{number}.jpg")
    return Source([str(path) for path in sorted(folder.iterdir())] * 3, np.arange(12) % 3, tuple("abc"))


def test_the_slow_stage_of_large_files_is_decoding(large: Source) -> None:
    loader = imagenet.train_loader(large, batch_size=2, num_classes=3, size=16, num_threads=1, device="cpu")
    found = measure_stages(large, loader, batch_size=2, device="cpu", num_threads=1)
    assert set(found) == {READING, DECODING, REST}
    assert found[DECODING] > 3 * found[READING]


def test_a_run_is_told_it_in_a_line(large: Source) -> None:
    from dataclasses import replace

    recipe = replace(TINY, data="imagenet", size=(16, 16), batch_size=2)
    line = explain_waiting(recipe, Run(num_threads=1), Sources("imagenet", large, large, 3), ALONE, 0.43)
    assert line.startswith("43% of the time went into waiting for images: 2 of them take ")
    assert "ms for reading" in line
    assert line.endswith("The slow stage is decoding, with 1 thread (--num_threads)")
    memory = explain_waiting(TINY, Run(), coloured_sources(), ALONE, 0.3)
    assert memory.startswith("30% of the time went into waiting for images, which lie in memory")
