"""What the tests of loaders share."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Eleven 8x6 images, number n filled with the grey level n."""
    folder = tmp_path_factory.mktemp("files")
    for n in range(11):
        Image.fromarray(np.full((6, 8, 3), n, np.uint8)).save(folder / f"{n:02}.png")
    return sorted(map(str, folder.iterdir()))
