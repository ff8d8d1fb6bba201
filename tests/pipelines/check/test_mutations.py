"""Mutated images, lists, files of labels and expressions: a clear error or what the file says, and never a crash.

The short form runs with all tests, the long one (2,000 of them) in `make test-long`.
"""

from __future__ import annotations

import csv
import io
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixdali import Mix
from pipelines.check.children import find_faults
from pipelines.expressions import parse_mix
from pipelines.sources.files import read_folder
from pipelines.sources.source import Source
from pipelines.sources.tables import read_table
from tests.helpers.broken import jpeg
from tests.helpers.mutations import mutated
from train.data.labels.files import read_labels

COUNTS = [pytest.param(1, id="short"), pytest.param(16, id="long", marks=pytest.mark.long)]
IMAGES, TEXTS = 64, 60  # of the short form

# A process of its own, which a crash would end.
SHOW = """
import sys
from pipelines import imagenet
loader = imagenet.val_loader(
    sys.argv[1], batch_size=64, num_classes=2, size=16, device="cpu", num_threads=2, on_error="skip",
    outputs=("images", "path"), max_megapixels=1,
)
shown = [path for batch in loader for path in batch.path]
assert shown == [path for batch in loader for path in batch.path]
print("\\n".join(shown))
"""


@pytest.mark.parametrize("times", COUNTS)
def test_mutated_images_are_decoded_or_listed(times: int, tmp_path: Path) -> None:
    rng = random.Random(times)
    for number in range(IMAGES * times):
        path = tmp_path / "val" / "ab"[number % 2] / f"{number:05}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = jpeg(number, (60, 50), rng.choice(("JPEG", "JPEG", "JPEG", "PNG", "BMP", "WEBP")))
        path.write_bytes(mutated(whole, rng) if number % 2 or number % 3 else whole)
    done = subprocess.run([sys.executable, "-c", SHOW, tmp_path], capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-2000:]
    files = list(read_folder(tmp_path, "val", keep_empty=True).items)
    listed = [fault.file for fault in find_faults(files, max_megapixels=1, num_processes=1)]
    assert done.stdout.split() == [file for file in files if file not in listed]
    assert 0 < len(listed) < len(files)
    assert not [
        file for number, file in enumerate(sorted(files, key=os.path.basename)) if number % 6 == 0 and file in listed
    ]


def as_written(text: bytes, column: str) -> dict[str, str]:
    """What a plain reader finds in a table."""
    rows = csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline=""))
    return {(row["path"] or "").strip(): (row[column] or "").strip() for row in rows}


def check(read: Callable[[], Any]) -> Any:
    """What is read; None for an error that a user can read."""
    try:
        return read()
    except (ValueError, TypeError, OSError) as error:
        said = str(error)
    assert said
    assert "\n" not in said
    return None


@pytest.mark.parametrize("times", COUNTS)
def test_a_mutated_list_gives_its_own_labels_or_an_error(times: int, tmp_path: Path) -> None:
    rng, read = random.Random(times), 0
    names = [f"{'ab'[n % 2]}/{n}.jpg" for n in range(8)]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    text = "path,label\n" + "".join(f"{name},{('cat', 'dog')[n % 2]}\n" for n, name in enumerate(names))
    for _ in range(TEXTS * times):
        (tmp_path / "list.csv").write_bytes(mutated(text.encode(), rng))
        source = check(lambda: read_table(tmp_path / "list.csv", "train"))
        if source is not None:
            told = {os.path.relpath(path, tmp_path): source.classes[label] if source.classes else str(label)
                    for path, label in zip(source.items, source.labels.tolist(), strict=True)}  # fmt: skip
            plain = as_written((tmp_path / "list.csv").read_bytes(), "label")
            assert told == {os.path.normpath(path): label for path, label in plain.items()}
            read += 1
    assert read


@pytest.mark.parametrize("times", COUNTS)
def test_a_mutated_file_of_labels_gives_its_own_labels_or_an_error(times: int, tmp_path: Path) -> None:
    rng, read = random.Random(times), 0
    names = [f"{'ab'[n % 2]}/{n}.jpg" for n in range(8)]
    source = Source([f"/data/{name}" for name in names], [n % 2 for n in range(8)], ("a", "b"))
    text = "path,label\n" + "".join(f"{name},{(n + 1) % 2}\n" for n, name in enumerate(names))
    for _ in range(TEXTS * times):
        (tmp_path / "labels.csv").write_bytes(mutated(text.encode(), rng))
        labels = check(lambda: read_labels(f"{tmp_path}/labels.csv:label", source, source.classes, None))
        if labels is not None:
            plain = {
                os.path.normpath(k): v for k, v in as_written((tmp_path / "labels.csv").read_bytes(), "label").items()
            }
            told = [plain[name] for name in names]
            assert labels.tolist() == ["ab".index(label) if label in ("a", "b") else int(label) for label in told]
            read += 1
    assert read


@pytest.mark.parametrize("times", COUNTS)
@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_a_mutated_array_of_labels_is_an_error_or_what_the_file_holds(times: int, kind: str, tmp_path: Path) -> None:
    rng, path = random.Random(times), tmp_path / f"labels.{kind}"
    source, labels = Source([f"/data/{n}.jpg" for n in range(8)], [0] * 8, ("a", "b")), np.arange(8) % 2
    if kind == "npz":
        np.savez(path, labels=labels)
    else:
        np.save(path, labels)
    whole = path.read_bytes()
    for _ in range(TEXTS * times):
        path.write_bytes(mutated(whole, rng))
        found = check(lambda: read_labels(str(path), source, source.classes, None))
        if found is not None and kind == "npz":  # which has a checksum
            assert found.tolist() == labels.tolist()
        elif found is not None:
            assert found.tolist() == np.load(path, allow_pickle=False).tolist()


@pytest.mark.parametrize("times", COUNTS)
def test_a_mutated_expression_is_a_mix_or_an_error_and_runs_nothing(times: int) -> None:
    rng, read = random.Random(times), 0
    for _ in range(TEXTS * times):
        text = mutated(b"Choose([MixUp(alpha=0.2), CutMix(alpha=1.0, prob=0.5)], (0.3, 0.7))", rng).decode("latin1")
        mix = check(lambda text=text: parse_mix(text))
        assert mix is None or isinstance(mix, Mix)
        read += mix is not None
    assert read
