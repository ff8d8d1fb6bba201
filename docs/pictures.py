"""Draw the pictures of docs/methods, from the embedded digits: python -m docs.pictures

Two for each method: `NAME.png` is what `python -m mixdali.pipelines.preview` draws; `NAME-row.png` is six images, whose
own images and partners are the same for every method.
"""

from pathlib import Path

import torch
from mixdali.pipelines.expressions import parse_mix
from mixdali.pipelines.preview import mixed_batch
from mixdali.pipelines.show.pictures import draw_batch
from mixdali.pipelines.sources import digits
from mixdali.pipelines.sources.files import read_folder
from mixdali.pipelines.sources.source import Source
from PIL import Image

from mixdali import Mix
from mixdali.pipelines import imagenet

FOLDER = Path(__file__).parent / "methods"

PICTURES = {
    "mixup": "MixUp(alpha=1.0)",
    "cutmix": "CutMix(alpha=1.0)",
    "cutmixminmax": "CutMixMinMax(minmax=(0.2, 0.8))",
    "resizemix": "ResizeMix(scope=(0.1, 0.8))",
    "fmix": "FMix(alpha=1.0)",
    "gridmix": "GridMix(alpha=1.0)",
    "smoothmix": "SmoothMix(spread=(0.25, 0.5))",
    "hmix": "HMix(alpha=1.0, ratio=0.5)",
    "gmix": "GMix(alpha=1.0)",
    "mosaic": "Mosaic(alpha=1.0)",
    "dirichlet": "DirichletMixUp(num_images=3)",
    "choose": "Choose([MixUp(alpha=1.0), CutMix(alpha=1.0), FMix()])",
    "noisy": "Noisy(MixUp(alpha=1.0), additive=0.4)",
    "cutout": "Cutout(length=40)",
    "randomerasing": 'RandomErasing(prob=1.0, value="noise")',
}
SIDE, ROW_SIDE, ROW = 96, 80, 6
MOST_BYTES, SEED = 60_000, 10


def main() -> None:
    source = read_folder(digits.image_folder(), "train")
    for name, expression in PICTURES.items():
        mix = parse_mix(expression)
        batch = mixed_batch("imagenet", source, mix, size=SIDE, batch_size=16, seed=SEED, epoch=0, augment=False)
        path = FOLDER / f"{name}.png"
        draw_batch(path, batch, mix, source.classes, count=3, title=expression, subtitle="")
        shrink(Image.open(path), path)
        shrink(row(mix, source), FOLDER / f"{name}-row.png")
    shrink(views(source), FOLDER / "augmix-row.png")


def row(mix: Mix, source: Source) -> Image.Image:
    """Six images beside each other; their partners are the same whatever the mix."""
    batch = mixed_batch(
        "imagenet", source, parse_mix("MixUp()"), size=ROW_SIDE, batch_size=ROW, seed=4, epoch=0, augment=False
    )
    rng = torch.Generator().manual_seed(0)
    given = {"partner": torch.arange(ROW).roll(1)} if mix.draw(batch.unmixed).partner is not None else {}
    plan = mix.draw(batch.unmixed, rng=rng, **given)
    return side_by_side(mix.apply(batch.unmixed, None, plan)[0])


def views(source: Source) -> Image.Image:
    """Three images, each followed by two of AugMix's views of it."""
    outputs = ("images", "view1", "view2")
    loader = imagenet.train_loader(
        source, batch_size=3, num_classes=10, size=ROW_SIDE, outputs=outputs, augment=False, seed=1, device="cpu"
    )
    return side_by_side(torch.stack(next(iter(loader)), dim=1).flatten(0, 1))


def side_by_side(images: torch.Tensor) -> Image.Image:
    """(N, 3, H, W) in [0, 1] with white between them."""
    space = torch.ones(3, images.shape[2], 6)
    parts = [part for image in images for part in (image, space)][:-1]
    return Image.fromarray((torch.cat(parts, dim=2) * 255).round().byte().permute(1, 2, 0).numpy())


def shrink(picture: Image.Image, path: Path) -> None:
    """With as many colours as MOST_BYTES leave room for."""
    for colours in (256, 192, 128, 96, 64):
        picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size < MOST_BYTES:
            return


if __name__ == "__main__":
    main()
