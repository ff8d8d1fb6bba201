"""See what a mix does to images: python -m mixdali.pipelines.preview [FOLDER] --mix 'CutMix(alpha=1.0)' --out a.png

Every image of the picture is a mixed one, beside the parents it was made of, with its boxes, its lam and the bars of
its target. They come from the training pipeline for that folder, on the CPU.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from mixdali import Loader, Mix, derive_seed
from mixdali.checks import count
from mixdali.names import one_line

from . import cifar, imagenet
from .arguments import Size, run_settings
from .expressions import mix_names, parse_mix
from .outputs import TRAIN, output_names
from .sources.datasets.known import find_kind, read_train
from .sources.source import Source

PROGRAM = f"python -m {__package__}.preview"
OUTPUTS = ("images", "targets", "labels", "unmixed", "plan")
DEFAULT_MIX = "Choose([MixUp(alpha=1.0), CutMix(alpha=1.0)])"
PARTNERS = 16  # images in a batch, of which partners are taken, where nothing else is said


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; -> the exit code. A mistake of the user is one line on stderr and code 2."""
    try:
        print(draw_preview(_parser().parse_args(arguments)))
        return 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(one_line(error), file=sys.stderr)
        return 2


def draw_preview(chosen: argparse.Namespace) -> str:
    """Draw what the command line asks for; -> what was written."""
    mix = parse_mix(chosen.mix)
    out = _free(chosen.out, chosen.force)
    count("--epoch", chosen.epoch)
    draw = _draw_batch()
    kind, source = read_source(chosen.folder)
    number = chosen.batch_size or min(len(source), max(PARTNERS, chosen.num_images))
    if chosen.num_images > number:
        raise ValueError(f"--num_images {chosen.num_images} is more than the batch of {number}; raise --batch_size")
    batch = mixed_batch(
        kind,
        source,
        mix,
        size=_size(chosen.size),
        batch_size=number,
        seed=chosen.seed,
        epoch=chosen.epoch,
        augment=chosen.augment,
    )
    place = "the embedded digits" if chosen.folder is None else chosen.folder
    images = "1 image" if chosen.num_images == 1 else f"{chosen.num_images} images"
    facts = f"{images} of epoch {chosen.epoch}, seed {chosen.seed}, from {place}"
    width, height = draw(
        out, batch, mix, _names(source), count=chosen.num_images, title=chosen.mix.strip(), subtitle=facts
    )
    return f"wrote {out}: {facts}, {width} x {height} pixels"


def read_source(folder: str | None) -> tuple[Literal["cifar", "imagenet"], Source]:
    """The training images of a folder, or without one the embedded digits, and whose pipeline is theirs."""
    if folder is None:
        from .sources import digits

        folder = str(digits.cifar_folder())
    return find_kind(folder), read_train(folder)


def mixed_batch(
    kind: Literal["cifar", "imagenet"],
    source: Source,
    mix: Mix,
    *,
    size: Size | None,
    batch_size: int,
    seed: int,
    epoch: int,
    augment: bool,
) -> Any:
    """The first batch of a training that begins with this epoch, on the CPU, with the outputs a picture needs."""
    pipeline = (cifar if kind == "cifar" else imagenet).train_pipeline(
        source,
        num_classes=len(_names(source)),
        mix=mix,
        size=size,
        outputs=OUTPUTS,
        augment=augment,
        first_epoch=epoch,
        seed=derive_seed(seed, "epoch", epoch),
        **run_settings(batch_size, None, "cpu"),
    )
    return next(iter(Loader(pipeline, output_names(OUTPUTS, TRAIN, mix), num_samples=len(source))))


def _names(source: Source) -> tuple[str, ...]:
    return source.classes or tuple(str(label) for label in range(int(source.labels.max()) + 1))


def _size(numbers: list[int] | None) -> Size | None:
    if numbers is None or len(numbers) == 1:
        return numbers[0] if numbers else None
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    raise ValueError(f"--size is height and width, or one number for a square, got {len(numbers)} numbers")


def _free(out: Path, force: bool) -> Path:
    if out.suffix.lower() != ".png":
        raise ValueError(f"--out must end in .png, got {out}")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out: there is no folder {out.parent}")
    if out.is_dir() or (out.exists() and not force):
        raise FileExistsError(f"{out} is there already; give another --out, or --force to replace a file")
    return out


def _draw_batch() -> Any:
    try:
        from .show.pictures import draw_batch
    except ImportError as error:
        raise ImportError(f"pictures need matplotlib: pip install 'mixdali[tools]' ({error})") from error
    return draw_batch


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; {PROGRAM} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="A PNG of mixed training images beside their parents, with lam, boxes and targets.",
        epilog=f"Methods: {', '.join(mix_names())}. Their settings may be Ramp(...) and Fixed(...).",
    )
    add = parser.add_argument
    add("folder", nargs="?", help="CIFAR's pickles or class folders of images; the embedded digits if left out")
    add("--mix", default=DEFAULT_MIX, metavar="MIX", help=f"as in Python; {DEFAULT_MIX} by default")
    add("--out", type=Path, default=Path("preview.png"), metavar="FILE", help="preview.png by default")
    add("--force", action="store_true", help="replace the file if it is there")
    add("--num_images", type=_positive, default=8, metavar="N", help="images of the picture (8)")
    add("--batch_size", type=_positive, metavar="N", help=f"images among which partners are found ({PARTNERS} or more)")
    add("--size", type=_positive, nargs="+", metavar="N", help="height and width in pixels, one number for a square")
    add("--seed", type=int, default=0, metavar="N", help="the same seed gives the same picture (0)")
    add("--epoch", type=int, default=0, metavar="N", help="for mixes that change over the epochs, from 0 up (0)")
    add("--augment", action=argparse.BooleanOptionalAction, default=True, help="random crop and flip, as in training")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, got {text}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
