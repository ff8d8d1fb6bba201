"""What the command line says of DALI's decoder and of batches ahead reaches the pipelines; looked at as definitions."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nvidia.dali import backend, fn
from PIL import Image

import pipelines.arguments
from pipelines.augment import DecoderHints, decoding
from pipelines.sources.source import Source
from tests.helpers.training import ALONE, coloured_sources
from train.cli.overrides import parse_overrides
from train.data.loaders import check_hints, train_loader, val_loader
from train.data.sources import Sources
from train.machine.distributed import World
from train.machine.run import Run
from train.recipes import imagenet_rn50

WORDS = [
    *("--decoder.hw_decoder_load", "0.9", "--decoder.preallocate_width_hint", "500"),
    *("--decoder.preallocate_height_hint", "400", "--decoder.device_memory_padding", str(1 << 25)),
    *("--decoder.host_memory_padding", str(1 << 24), "--prefetch", "3", "--batch_size", "4", "--num_threads", "1"),
]
SAID = DecoderHints(
    hw_decoder_load=0.9,
    preallocate_width_hint=500,
    preallocate_height_hint=400,
    device_memory_padding=1 << 25,
    host_memory_padding=1 << 24,
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder = tmp_path_factory.mktemp("images")
    for number in range(8):
        Image.fromarray(np.full((40, 50, 3), 20 * number, np.uint8)).save(folder / f"{number}.jpg")
    source = Source(sorted(map(str, folder.iterdir())), np.arange(8) % 2, ("a", "b"))
    return Sources("imagenet", source, source, 2)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> World:
    """A process that believes in a GPU, as long as it builds nothing."""
    monkeypatch.setattr(pipelines.arguments, "device_id", lambda device: 0)
    return World(torch.device("cuda", 0))


def test_dali_s_own_values_are_those_that_the_help_says() -> None:
    schema = backend.GetSchema("decoders__ImageRandomCrop")
    own = {field.name: schema.GetArgumentDefaultValueString(field.name) for field in fields(DecoderHints)}
    assert own == {
        "hw_decoder_load": "0.650000",
        "preallocate_width_hint": "0",
        "preallocate_height_hint": "0",
        "device_memory_padding": str(16 << 20),
        "host_memory_padding": str(8 << 20),
    }
    text = Path(decoding.__file__).read_text()
    assert all(part in text for part in ("(0.65)", "(0, none", "(0).", "(16 MiB)", "(8 MiB)"))


@pytest.mark.parametrize(("make", "decoder"), [("train", "image_random_crop"), ("val", "image")])
def test_the_gpu_s_decoder_and_the_pipeline_are_told_what_the_command_line_says(
    make: str, decoder: str, sources: Sources, gpu: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run = parse_overrides("imagenet_rn50", "", imagenet_rn50.recipe, WORDS)
    assert run.decoder == SAID
    assert check_hints(run, sources, gpu) == ""
    told: list[dict[str, Any]] = []
    operator = getattr(fn.decoders, decoder)
    monkeypatch.setattr(fn.decoders, decoder, lambda *nodes, **given: told.append(given) or operator(*nodes, **given))
    loader: Any = (
        train_loader(recipe, run, sources, gpu, ("images", "targets"))
        if make == "train"
        else val_loader(recipe, run, sources, gpu)
    )
    pipeline = loader._make(0, None)
    pipeline._build_graph()
    (given,) = told
    assert given["device"] == "mixed"
    assert {field.name: given[field.name] for field in fields(DecoderHints)} == asdict(SAID)
    assert pipeline.prefetch_queue_depth == 3


def test_nothing_is_told_that_nobody_said(sources: Sources, gpu: World, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, run = parse_overrides("imagenet_rn50", "", imagenet_rn50.recipe, ["--batch_size", "4"])
    told: list[dict[str, Any]] = []
    operator = fn.decoders.image
    monkeypatch.setattr(fn.decoders, "image", lambda *nodes, **given: told.append(given) or operator(*nodes, **given))
    loader: Any = val_loader(recipe, run, sources, gpu)
    assert loader._make(0, None).prefetch_queue_depth == 2
    assert not {field.name for field in fields(DecoderHints)} & told[0].keys()


def test_hints_that_change_nothing_are_told_or_refused(sources: Sources, gpu: World) -> None:
    run = Run(decoder=SAID)
    assert check_hints(run, sources, ALONE) == "note: --decoder is for a GPU, and changes nothing on a CPU"
    assert check_hints(Run(), coloured_sources(), gpu) == ""
    with pytest.raises(ValueError, match="decoder is of image files, the recipe reads images in memory"):
        check_hints(run, coloured_sources(), gpu)
    with pytest.raises(ValueError, match="prefetch must be 1 or more, got 0"):
        Run(prefetch=0)


def test_a_run_goes_on_with_other_hints_of_memory_but_not_with_another_share_of_the_hardware(sources: Sources) -> None:
    recipe, _ = parse_overrides("imagenet_rn50", "", imagenet_rn50.small, ["--batch_size", "2"])

    def loader(hints: DecoderHints) -> Any:
        run = Run(decoder=hints, num_threads=1, prefetch=1)
        return train_loader(recipe, run, sources, ALONE, ("images", "targets"))

    whole = [batch.images for batch in loader(DecoderHints())]
    first = loader(DecoderHints())
    next(iter(first))
    memory = loader(DecoderHints(preallocate_width_hint=500, host_memory_padding=1 << 24))
    memory.load_state_dict(first.state_dict())
    for batch, images in zip(memory, whole[1:], strict=True):
        assert torch.equal(batch.images, images)
    with pytest.raises(ValueError, match="the state is of another loader"):
        loader(DecoderHints(hw_decoder_load=0.9)).load_state_dict(first.state_dict())
