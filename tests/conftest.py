"""What the tests share."""

from __future__ import annotations

import gc
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before torch is loaded, here and in the processes that tests start: OpenMP's threads wait for each other by spinning,
# and beside DALI's threads, or another busy process, that makes small networks ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pipelines.sources.cache import make_once, user_cache

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def _unpacked(archive: Path, tmp: Path) -> Path:
    """The one folder that an archive holds, unpacked once and kept in the user's cache, or else in a temporary one."""
    facts = archive.stat()
    name = f"{archive.name.split('.')[0]}-{facts.st_size}-{facts.st_mtime_ns}"

    def unpack(folder: Path) -> None:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")

    try:
        folder = make_once(user_cache() / "test-data" / name, unpack)
    except OSError:
        folder = make_once(tmp / name, unpack)
    (inside,) = folder.iterdir()
    return inside


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """shared_data("cifar10/cifar-10-python.tar.xz"): what that archive holds; a file that is no archive as it is."""
    tmp = tmp_path_factory.getbasetemp()

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.is_file():
            pytest.skip(f"needs {name} in ../shared/data, which is not there")
        return _unpacked(path, tmp) if ".tar" in path.suffixes else path

    return find


@pytest.fixture
def forking() -> Iterator[None]:
    """For tests that fork: a DALI pipeline that is garbage must not be collected in the child, which would hang."""
    gc.freeze()
    yield
    gc.unfreeze()
