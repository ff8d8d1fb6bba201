"""The mixes that are measured against no mix. A line here adds one."""

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
