"""CIFAR's pickles with something changed in them: what a plain reader finds or an error of one line; no code is run."""

from __future__ import annotations

import io
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.sources.files import read_cifar
from pipelines.sources.pickles import dump_pickle
from tests.helpers.mutations import mutated

COUNTS = [pytest.param(1, id="short"), pytest.param(16, id="long", marks=pytest.mark.long)]
TIMES = 60  # of the short form
SIDE, IMAGES, CLASSES = 4, 6, ("cat", "dog", "owl")
HARMLESS = {
    "numpy": ("ndarray", "dtype"),
    "multiarray": ("_reconstruct",),
    "numeric": ("_frombuffer",),
    "_codecs": ("encode",),
}


class Plain(pickle.Unpickler):
    """Python's own, which finds the names that arrays need, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        assert name in HARMLESS.get(module.rpartition(".")[2], ())
        return super().find_class(module, name)


def write_batches(folder: Path) -> Path:
    """A small CIFAR-10 whose test batch is what is changed."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 3 * SIDE * SIDE), dtype=np.uint8)
    dump_pickle(folder / "batches.meta", {"label_names": list(CLASSES)})
    dump_pickle(folder / "test_batch", {"data": pixels, "labels": [n % 3 for n in range(IMAGES)]})
    return folder


def found_in(folder: Path) -> tuple[list[int], np.ndarray] | None:
    """Labels and pixels; None for an error that a user can read."""
    try:
        source = read_cifar(folder, "test")
    except (ValueError, OSError) as error:
        said = str(error)
    else:
        return source.labels.tolist(), np.asarray(source.items)
    assert said
    assert "\n" not in said
    return None


@pytest.mark.parametrize("times", COUNTS)
def test_a_mutated_pickle_gives_what_is_in_it_or_an_error(times: int, tmp_path: Path) -> None:
    folder = write_batches(tmp_path / "cifar")
    whole, rng, read = (folder / "test_batch").read_bytes(), random.Random(times), 0
    for _ in range(TIMES * times):
        changed = mutated(whole, rng)
        (folder / "test_batch").write_bytes(changed)
        found = found_in(folder)
        if found is not None:
            content = {bytes(key): value for key, value in Plain(io.BytesIO(changed), encoding="bytes").load().items()}
            assert found[0] == content[b"labels"]
            rows = found[1].transpose(0, 3, 1, 2).reshape(len(found[0]), -1)
            np.testing.assert_array_equal(rows, content[b"data"])
            read += 1
    assert read


@pytest.mark.parametrize("times", COUNTS)
def test_code_that_is_put_anywhere_into_a_pickle_is_not_run(times: int, tmp_path: Path) -> None:
    folder, touched = write_batches(tmp_path / "cifar"), tmp_path / "touched"
    whole, rng = (folder / "test_batch").read_bytes(), random.Random(times)
    for _ in range(TIMES * times):
        module, name = rng.choice((("os", "system"), ("posix", "system"), ("builtins", "eval"), ("subprocess", "call")))
        command = f"touch {touched}" if name != "eval" else f"open({str(touched)!r}, 'w')"
        code = f"c{module}\n{name}\n(S{command!r}\ntR0".encode()
        start = rng.choice((2, rng.randrange(2, len(whole))))  # behind the protocol it is sure to be met
        (folder / "test_batch").write_bytes(whole[:start] + code + whole[start:])
        found_in(folder)
        assert not touched.exists()
