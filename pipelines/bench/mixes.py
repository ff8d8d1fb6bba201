"""The mixes that are measured against no mix. A line here adds one."""

from typing import Any

from mixdali import (
    Choose,
    CutMix,
    CutMixMinMax,
    DirichletMixUp,
    FMix,
    GMix,
    GridMix,
    HMix,
    Mix,
    MixUp,
    Mosaic,
    ResizeMix,
    SmoothMix,
)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet

MIXES: dict[str, Mix] = {
    "MixUp": MixUp(),
    "CutMix": CutMix(),
    "Choose(MixUp, CutMix)": Choose([MixUp(), CutMix()]),
    "Choose, per batch": Choose([MixUp(per="batch"), CutMix(per="batch")], per="batch"),
    "CutMixMinMax": CutMixMinMax(),
    "ResizeMix": ResizeMix(),
    "HMix": HMix(),
    "Mosaic": Mosaic(),
    "DirichletMixUp of 3": DirichletMixUp(),
    "GridMix": GridMix(),
    "SmoothMix": SmoothMix(),
    "GMix": GMix(),
    "FMix": FMix(),
    "FMix, per batch": FMix(per="batch"),
}
QUICK = ("MixUp", "CutMix")
# Other forms of images than float32 CHW in [0, 1], by the name of a row: the mix and what it is asked for.
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "MixUp, mean and std": ("MixUp", {"mean": MEAN, "std": STD}),
    "CutMix, mean and std": ("CutMix", {"mean": MEAN, "std": STD}),
    "MixUp, float16": ("MixUp", {"dtype": "float16"}),
    "CutMix, float16": ("CutMix", {"dtype": "float16"}),
    "MixUp, mean and std, float16 HWC": (
        "MixUp",
        {"mean": MEAN, "std": STD, "dtype": "float16", "output_layout": "HWC"},
    ),
}
