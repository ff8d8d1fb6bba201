"""The embedded default: complete, the same every time, and held out digit by digit."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.sources.cache import make_once, user_cache
from pipelines.sources.digits import CLASSES, cifar_folder, image_folder
from pipelines.sources.files import read_cifar, read_folder
from pipelines.sources.pickles import load_pickle


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cifar_folder(tmp_path_factory.mktemp("small"))


def fingerprint(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def names(folder: Path, *files: str) -> list[bytes]:
    return [name for file in files for name in load_pickle(folder / file)["filenames"]]


def test_the_small_images_are_a_cifar10(small: Path) -> None:
    for split, per_class in (("train", 600), ("test", 100)):
        source = read_cifar(small, split)
        assert source.items.shape == (10 * per_class, 32, 32, 3)
        assert np.bincount(source.labels).tolist() == [per_class] * 10
        assert source.classes == CLASSES
        assert len(np.unique(source.items.reshape(len(source), -1), axis=0)) == len(source)


def test_every_batch_holds_all_classes_in_no_order(small: Path) -> None:
    labels = read_cifar(small, "train").labels.reshape(5, 1200)
    assert all(len(set(batch[:100])) == 10 for batch in labels)
    assert (np.diff(labels) != 0).mean() == pytest.approx(0.9, abs=0.02)


def test_training_and_held_out_images_share_no_digit(small: Path) -> None:
    train = {name.split(b"_")[1] for name in names(small, *(f"data_batch_{i}" for i in range(1, 6)))}
    test = {name.split(b"_")[1] for name in names(small, "test_batch")}
    assert not train & test
    assert len(train | test) == 1797


def test_two_processes_at_once_make_one_set_with_the_same_bytes(small: Path, tmp_path: Path) -> None:
    program = "import sys, pathlib, pipelines.sources.digits as d; d.cifar_folder(pathlib.Path(sys.argv[1]))"
    root = Path(__file__).parents[2]
    both = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=root) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    made = tmp_path / "digits-v1"
    assert [path.name for path in made.iterdir()] == [small.name]
    assert fingerprint(made / small.name) == fingerprint(small)


def test_the_large_images_are_an_image_folder_of_jpegs(tmp_path: Path) -> None:
    root = image_folder(tmp_path)
    for split, per_class in (("train", 120), ("val", 30)):
        source = read_folder(root, split)
        assert len(source.classes) == 10
        assert np.bincount(source.labels).tolist() == [per_class] * 10
    assert source.items[0] == str(root / "val/eight/0001.jpg")
    with Image.open(source.items[0]) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (256, 256))


def test_what_is_there_is_not_made_again(small: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.iterdir()}
    assert cifar_folder(small.parents[1]) == small
    assert {path: path.stat().st_mtime_ns for path in small.iterdir()} == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_interrupted_set_leaves_nothing_behind(tmp_path: Path, stop: type[BaseException]) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "half").touch()
        raise stop

    with pytest.raises(stop):
        make_once(tmp_path / "set", interrupted)
    assert not list(tmp_path.iterdir())
    assert [path.name for path in make_once(tmp_path / "set", lambda folder: (folder / "all").touch()).iterdir()] == [
        "all"
    ]


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert user_cache() == tmp_path / ".cache/mixdali"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert user_cache() == tmp_path / ".cache/mixdali"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert user_cache() == tmp_path / "mine/mixdali"


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match=rf"cannot write {tmp_path}/file/mixdali/.*set XDG_CACHE_HOME"):
        cifar_folder()


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'mixdali\[tools\]'"):
        cifar_folder(tmp_path)
    assert not list((tmp_path / "digits-v1").iterdir())
