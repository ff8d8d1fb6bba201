"""Every mixing method with small settings. A line here gives a method all the shared tests in every world."""

from mixdali import Choose, CutMix, Mix, MixUp

METHODS: dict[str, Mix] = {
    "mixup": MixUp(),
    "mixup-0.2": MixUp(alpha=0.2),
    "mixup-batch": MixUp(per="batch", partner="permutation"),
    "mixup-flip": MixUp(partner="flip"),
    "mixup-roll": MixUp(partner="roll"),
    "mixup-pair": MixUp(per="pair", partner="flip"),
    "cutmix": CutMix(),
    "cutmix-batch": CutMix(per="batch", partner="permutation"),
    "choose": Choose([MixUp(alpha=0.8), CutMix()], weights=[1, 2]),
    "choose-batch": Choose([MixUp(per="batch"), CutMix(per="batch")], per="batch"),
    "choose-mixups": Choose([MixUp(alpha=0.1), MixUp(alpha=8.0)]),
    "choose-partners": Choose([MixUp(partner="permutation"), CutMix(partner="flip")]),
    "choose-nested": Choose([Choose([MixUp(), CutMix()]), CutMix(prob=0.5)]),
}
