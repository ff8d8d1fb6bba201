"""Whether a network sees in DALI's validation pipeline what it saw in torchvision's: python -m mixdali.pipelines.parity

    python -m mixdali.pipelines.parity resnet50=resnet50.pth IMAGES
    python -m mixdali.pipelines.parity mine:load_network IMAGES --interpolation bicubic
    python -m mixdali.pipelines.parity train.files.checkpoint:load_model=runs/NAME/best.pt IMAGES

MODEL is a network of torchvision with a file of its weights (`NAME=FILE`; `NAME` alone has random ones, which says
nothing about accuracy), which gets images normalised as ImageNet's are. Or it is MODULE:FUNCTION, called with the path
where a FILE follows, which returns a torch module for images in [0, 1]. IMAGES is a folder of class folders, or one
with a split to validate on. All images go through both pipelines and then through the network: the difference of their
pixels, of its logits, and the accuracy of both are printed as a table.
"""

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixdali.names import one_line

from . import imagenet
from .augment.sizes import INTERPOLATIONS, Interpolation
from .sources.files import read_folder
from .sources.source import Source

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which torchvision's weights expect


@dataclass(frozen=True)
class Parity:
    """What two pipelines make of the same images, and a network of it.

    pixels, logits  mean, 99th percentile and maximum of the absolute difference, of pixels in grey levels of 255.
    accuracy        of the network on DALI's images and on torchvision's, 0 to 1.
    agree           share of the images that get the same answer.
    """

    interpolation: Interpolation
    num_images: int
    pixels: tuple[float, float, float]
    logits: tuple[float, float, float]
    accuracy: tuple[float, float]
    agree: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; -> the exit code. A mistake of the user is one line on stderr and code 2."""
    asked = _parser().parse_args(arguments)
    try:
        source = read_folder(asked.images, "val", whole=True)
        network = load_network(asked.model, len(source.classes))
        found = [
            compare(network, source, interpolation=one, size=asked.size, batch_size=asked.batch_size)
            for one in asked.interpolation
        ]
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    print("\n".join(table(found)))
    return 0


def compare(network: Any, source: Source, *, interpolation: Interpolation, size: int, batch_size: int) -> Parity:
    """Both pipelines on all images of the source, on the CPU; the network takes images (N, 3, size, size) in [0, 1]."""
    import torch

    pixels, logits, labels, answers = [], [], [], []
    network = network.eval()
    with torch.no_grad():
        for ours, theirs, given in _both(source, interpolation, size, batch_size):
            pixels.append((ours - theirs).abs().flatten() * 255)
            told = [network(images) for images in (ours, theirs)]
            logits.append((told[0] - told[1]).abs().flatten())
            answers.append(torch.stack([one.argmax(1) for one in told]))
            labels.append(given)
    found, right = torch.cat(answers, dim=1), torch.cat(labels)
    accuracy = [float((one == right).double().mean()) for one in found]
    return Parity(
        interpolation=interpolation,
        num_images=len(source),
        pixels=_spread(torch.cat(pixels)),
        logits=_spread(torch.cat(logits)),
        accuracy=(accuracy[0], accuracy[1]),
        agree=float((found[0] == found[1]).double().mean()),
    )


def _both(source: Source, interpolation: Interpolation, size: int, batch_size: int) -> Iterator[tuple[Any, Any, Any]]:
    """Images by DALI and by torchvision, (N, 3, size, size) in [0, 1], and labels."""
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    theirs = v2.Compose(
        [
            v2.Resize(round(size / imagenet.CROP_SHARE), interpolation=v2.InterpolationMode(interpolation)),
            v2.CenterCrop(size),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    loader = imagenet.val_loader(
        source,
        batch_size=batch_size,
        num_classes=max(2, len(source.classes)),
        size=size,
        outputs=("images", "labels", "path"),
        device="cpu",
        interpolation=interpolation,
    )
    for batch in loader:
        opened = []
        for path in batch.path:
            with Image.open(path) as image:
                opened.append(theirs(image.convert("RGB")))
        yield batch.images, torch.stack(opened), batch.labels


def _spread(values: Any) -> tuple[float, float, float]:
    place = max(0, round(0.99 * len(values)) - 1)
    return float(values.double().mean()), float(values.kthvalue(place + 1).values), float(values.max())


def load_network(name: str, num_classes: int) -> Any:
    """The network that NAME, NAME=FILE, MODULE:FUNCTION or MODULE:FUNCTION=FILE stands for, for images in [0, 1].

    ValueError, TypeError, FileNotFoundError, ImportError: there is no such network, function or file.
    """
    import torch

    known, equals, file = name.partition("=")
    if equals and not Path(file).is_file():
        raise FileNotFoundError(f"there is no file of weights {file}")
    if ":" in known:
        module, _, function = known.partition(":")
        make = getattr(importlib.import_module(module), function, None)
        if make is None:
            raise ValueError(f"{module} has no {function}")
        network = make(Path(file)) if equals else make()
        if not isinstance(network, torch.nn.Module):
            raise TypeError(f"{known} must return a torch module, got {type(network).__name__}")
        return network
    from torchvision.models import get_model, list_models
    from torchvision.transforms import v2

    if known not in list_models():
        raise ValueError(f"torchvision has no network {known!r}; give NAME=FILE, or MODULE:FUNCTION")
    if equals:
        state = torch.load(file, map_location="cpu", weights_only=True)
        network = get_model(known, num_classes=len(list(state.values())[-1]))
        network.load_state_dict(state)
    else:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = get_model(known, num_classes=num_classes)
    return torch.nn.Sequential(v2.Normalize(MEAN, STD), network)


def table(found: Sequence[Parity]) -> list[str]:
    """What was found, as the lines of a Markdown table."""
    columns = ("pixels: mean, 99 %, most", "logits: mean, 99 %, most", "accuracy, DALI", "torchvision", "same")
    lines = [f"| interpolation | images | {' | '.join(columns)} |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for one in found:
        pixels, logits = (", ".join(f"{value:.3g}" for value in values) for values in (one.pixels, one.logits))
        right = " | ".join(f"{value:.2%}" for value in (*one.accuracy, one.agree))
        lines.append(f"| {one.interpolation} | {one.num_images:,} | {pixels} | {logits} | {right} |")
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {__package__}.parity", description=(__doc__ or "").split(":")[0])
    add = parser.add_argument
    add("model", help="NAME=FILE or NAME of torchvision, or MODULE:FUNCTION")
    add("images", help="a folder of class folders, or one with a split to validate on")
    add("--interpolation", nargs="+", choices=INTERPOLATIONS, default=list(INTERPOLATIONS), help="both by default")
    add("--size", type=int, default=imagenet.SIZE, metavar="N", help=f"pixels along each side ({imagenet.SIZE})")
    add("--batch_size", type=int, default=32, metavar="N", help="images that are compared at a time (32)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
