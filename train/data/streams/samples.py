"""Labelled images from a generator, and files of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mixdali import derive_seed
from train.files import checkpoint
from train.models.generator import Generator

if TYPE_CHECKING:
    from pipelines.sources.source import Source

# Drawn at once; part of what decides the images, as their noise comes batch by batch.
BATCH_SIZE = 250


def generate(path: str | os.PathLike[str], num_images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of all classes in turn, by the averaged weights of a generator's checkpoint, on the CPU.

    Args:
        path: a last.pt of `python -m train.generator`.
        num_images: how many.
        seed: the same seed gives the same images; the first ones are the same for any number.

    Returns:
        images (num_images, H, W, 3) uint8, and labels (num_images,) int32.

    Raises:
        FileNotFoundError, ValueError: there is no such checkpoint, or nothing is asked for.
    """
    if num_images < 1:
        raise ValueError(f"num_images must be 1 or more, got {num_images}")
    generator, _ = load_generator(path)
    return draw_images(generator, num_images, seed)


def generated_source(path: str | os.PathLike[str], num_images: int, seed: int = 0) -> Source:
    """The images of `generate` as what a pipeline reads, with the names of the classes."""
    from pipelines.sources.source import Source

    _, classes = load_generator(path)
    images, labels = generate(path, num_images, seed)
    return Source(images, labels, classes)


def load_generator(path: str | os.PathLike[str]) -> tuple[Generator, tuple[str, ...]]:
    """The averaged generator of a checkpoint, ready to draw, and the names of its classes."""
    content = checkpoint.load(Path(path))
    if not is_generator(content):
        raise ValueError(f"{path} holds a classifier, not a generator; train one: python -m train.generator")
    generator = Generator(**content["generator_network"])
    generator.load_state_dict(content["average"])
    return generator.eval(), tuple(content["classes"])


def is_generator(content: dict[str, Any]) -> bool:
    """Whether a checkpoint is one of a generator."""
    return "generator_network" in content


@torch.no_grad()
def draw_images(generator: Generator, num_images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `generate`, from a generator in evaluation mode on any device."""
    device = next(generator.parameters()).device
    random = torch.Generator().manual_seed(derive_seed(seed, "samples"))
    # Whole batches, also the last one: so that what is drawn does not depend on how many are asked for.
    labels = torch.arange(-(-num_images // BATCH_SIZE) * BATCH_SIZE) % generator.num_classes
    images = []
    for own in labels.split(BATCH_SIZE):
        noise = torch.randn(BATCH_SIZE, generator.latent_size, generator=random)
        drawn = generator(noise.to(device), own.to(device))
        levels = (127.5 * (drawn + 1)).round().clamp(0, 255)
        images.append(levels.to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy())
    return np.concatenate(images)[:num_images], labels[:num_images].numpy().astype(np.int32)


def write_samples(path: Path, source: Source) -> None:
    """Write images in memory as an .npz with `image` (N, H, W, 3) uint8, `label` (N,) and `classes`.

    Raises:
        FileExistsError: there is such a file already.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already; pass another file")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.writing")
    with open(temporary, "wb") as file:
        np.savez_compressed(file, image=source.items, label=source.labels, classes=np.array(source.classes, dtype=str))
    os.replace(temporary, path)


def read_samples(path: str | os.PathLike[str], *, labelled: bool = True) -> Source:
    """Labelled images from an .npz with `image` (N, H, W, 3) uint8 and `label` (N,), and `classes` where it has them.

    That is how published sets of generated images come, too. Not `labelled`: a file without `label` will do, and its
    labels are 0.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it holds something else.
    """
    from pipelines.sources.source import Source

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            content = {name: np.asarray(file[name]) for name in ("image", "label", "classes") if name in file}
    except Exception as error:  # damaged bytes can raise nearly anything
        raise ValueError(f"{path} is no readable .npz of images ({error}); make it again") from error
    if not labelled and "image" in content:
        content.setdefault("label", np.zeros(len(content["image"]), np.int32))
    missing = [name for name in ("image", "label") if name not in content]
    if missing:
        raise ValueError(
            f"{path} has no array {missing[0]!r}; it must hold `image` (N, H, W, 3) uint8 and `label` (N,)"
        )
    try:
        return Source(content["image"], content["label"], tuple(map(str, content.get("classes", ()))))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def in_order(source: Source, classes: Sequence[str], path: Path) -> Source:
    """The source with labels that count through `classes`, matched by name. ValueError for a class not among them."""
    if not source.classes or tuple(source.classes) == tuple(classes):
        return source
    strangers = sorted(set(source.classes) - set(classes))
    if strangers:
        raise ValueError(
            f"{path} has the class {strangers[0]!r} ({len(strangers)} such), which the networks do not know; they know "
            f"{', '.join(classes[:10])}{', ...' if len(classes) > 10 else ''}"
        )
    places = np.array([list(classes).index(name) for name in source.classes])
    return source.relabel(places[source.labels])
