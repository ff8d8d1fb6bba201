"""The published corrupted images: CIFAR-10-C and CIFAR-100-C, and ImageNet-C."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from train.evaluate.parts.corruptions import CORRUPTIONS, SEVERITIES, Reader, check_corruption


@dataclass(frozen=True, eq=False)
class CorruptedArrays:
    """CIFAR-10-C: for each corruption an array of all images, the severities one after the other."""

    folder: Path
    count: int
    """Images of one severity."""
    size: tuple[int, int]
    """Height and width of what comes out; images of another size are scaled."""

    def reader(self, name: str, severity: int) -> Reader:
        """What gives the images (N, 3, H, W), float32 in [0, 1], for indices (N,) of test images.

        Raises:
            FileNotFoundError, ValueError: the file is missing, or is no array of so many images.
        """
        check_corruption(name, severity)
        path = self.folder / f"{name}.npy"
        rows = _array(path)
        total = self.count * len(SEVERITIES)
        if rows.dtype != np.uint8 or rows.ndim != 4 or rows.shape[3] != 3 or len(rows) != total:
            raise ValueError(
                f"{path} must hold {total:,} uint8 images (N, H, W, 3), {self.count:,} of each severity, got "
                f"{rows.dtype} {rows.shape}; fetch it again"
            )

        def read(index: Tensor) -> Tensor:
            pixels = rows[(severity - 1) * self.count + index.cpu().long().numpy()]
            images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255)
            if images.shape[2:] == self.size:
                return images
            return interpolate(images, self.size, mode="bilinear", antialias=True).clamp(0, 1)

        return read


@dataclass(frozen=True, eq=False)
class CorruptedFolders:
    """ImageNet-C: CORRUPTION/SEVERITY/CLASS/image.JPEG, the corruptions perhaps one folder deeper."""

    folder: Path
    folders: dict[str, Path]
    """Of each corruption."""
    labels: np.ndarray
    """(N,) of the test images."""
    classes: tuple[str, ...]
    size: tuple[int, int]
    """Height and width of what comes out. Images of another size are scaled to cover it, and cropped in the middle."""

    def reader(self, name: str, severity: int) -> Reader:
        """As `CorruptedArrays.reader`.

        Raises:
            FileNotFoundError, ValueError: folders or files are missing, or are not those of the test images.
        """
        check_corruption(name, severity)
        files = self._files(name, severity)
        return lambda index: torch.stack([self._image(files[number]) for number in index.tolist()])

    def _files(self, name: str, severity: int) -> list[str]:
        from pipelines.sources.files import read_folder

        folder = self.folders[name] / str(severity)
        source = read_folder(folder, "val", whole=True)
        places = {label: number for number, label in enumerate(self.classes)}
        strangers = [label for label in source.classes if label not in places]
        if strangers:
            raise ValueError(f"{folder / strangers[0]} is none of the {len(self.classes)} classes of the network")
        labels = np.array([places[label] for label in source.classes])[source.labels]
        if not np.array_equal(labels, self.labels):
            raise ValueError(
                f"{folder} holds {len(labels):,} images that are not, class by class, the {len(self.labels):,} test "
                "images; pass the --root of the images they were made of"
            )
        return [str(path) for path in source.items]

    def _image(self, path: str) -> Tensor:
        height, width = self.size
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        scale = max(height / image.height, width / image.width)
        if scale != 1:
            sides = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
            image = image.resize(sides, Image.Resampling.BILINEAR)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        pixels = np.array(image.crop((left, top, left + width, top + height)))
        return torch.from_numpy(pixels).permute(2, 0, 1).float().div(255)


Corrupted = CorruptedArrays | CorruptedFolders


def read_corrupted(folder: Path, labels: np.ndarray, classes: tuple[str, ...], size: tuple[int, int]) -> Corrupted:
    """The published corrupted images in a folder.

    Args:
        folder: of CIFAR-10-C (15 .npy and labels.npy), or of ImageNet-C.
        labels: (N,) of all test images, in order, which the corrupted ones must share.
        classes: names of the network's classes, in order.
        size: height and width that the network takes.

    Raises:
        FileNotFoundError, ValueError: it holds neither, something is missing, or it was made of other test images.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; give the one that holds CIFAR-10-C or ImageNet-C")
    if (folder / "labels.npy").is_file():
        return _arrays(folder, labels, size)
    folders = {name: path for name in CORRUPTIONS if (path := _find(folder, name)) is not None}
    missing = [name for name in CORRUPTIONS if name not in folders]
    if not folders:
        raise ValueError(
            f"{folder} holds neither labels.npy and the .npy files of CIFAR-10-C nor ImageNet-C's folders "
            f"({', '.join(CORRUPTIONS[:3])}, ...)"
        )
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}; unpack all archives of ImageNet-C there")
    return CorruptedFolders(folder, folders, np.asarray(labels), classes, size)


def _arrays(folder: Path, labels: np.ndarray, size: tuple[int, int]) -> CorruptedArrays:
    missing = [name for name in CORRUPTIONS if not (folder / f"{name}.npy").is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} lacks {', '.join(f'{name}.npy' for name in missing)}; unpack it again")
    found = _array(folder / "labels.npy")
    # One label for each image of a severity, or for each of all five.
    repeats = len(found) // len(labels) if len(labels) else 0
    if repeats not in (1, len(SEVERITIES)) or not np.array_equal(found, np.tile(labels, repeats)):
        raise ValueError(
            f"{folder / 'labels.npy'} holds other labels than those of the {len(labels):,} test images; pass the "
            "--root of the images that were corrupted"
        )
    return CorruptedArrays(folder, len(labels), size)


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no readable array ({error}); fetch it again") from error


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, *sorted(folder.glob(f"*/{name}"))) if path.is_dir()), None)
