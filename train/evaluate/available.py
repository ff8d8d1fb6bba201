"""The parts of an evaluation, by name.

A part is a function of a `Setup` and of `remember`, and returns a dict of plain numbers, strings, lists and dicts by
text. It draws nothing but from `setup.seed`, prints nothing and writes nothing. What takes long it passes in pieces to
`remember(name, compute)`, which gives back what an evaluation that was stopped has computed under that name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from train.data.images import HeldOutImages, identify_images, labels_of
from train.evaluate.parts import auto
from train.evaluate.parts.adversarial import Keep, Saved, measure_saved
from train.evaluate.parts.attacks import Ascent, measure_pgd
from train.evaluate.parts.by_class import by_class
from train.evaluate.parts.calibration import measure_attacked, measure_calibration
from train.evaluate.parts.class_maps import why_no_maps
from train.evaluate.parts.corruptions import SMALLEST, Published, maker, measure_corruptions
from train.evaluate.parts.deformations import measure_deformations
from train.evaluate.parts.detection import measure_detection
from train.evaluate.parts.doubts import measure_doubts
from train.evaluate.parts.embedding import measure_embedding
from train.evaluate.parts.inside import has_classifier
from train.evaluate.parts.landscape import measure_landscape
from train.evaluate.parts.localisation import measure_localisation
from train.evaluate.parts.noise import measure_noise
from train.evaluate.parts.occlusion import measure_occlusion
from train.evaluate.parts.pointing import measure_pointing, why_not_larger
from train.evaluate.parts.published import Variant, measure_real, measure_variants
from train.evaluate.parts.risk import measure_selective
from train.evaluate.parts.shifts import Network, Networks, Remember, check_labels, read_logits
from train.evaluate.parts.spectrum import measure_spectrum
from train.evaluate.parts.transfer import measure_fgsm, measure_transfer
from train.files.checkpoint import digest_file

# Radii in Linf of the parts fgsm and transfer, whatever the norm of the others: those of the papers on mixing.
ONE_STEP_RADII = tuple(steps / 255 for steps in (1, 2, 4, 8))
INSIDE = ("spectrum", "embedding", "localisation", "pointing")
"""Parts that look into the networks."""
TRANSFER_RADII = tuple(steps / 255 for steps in (4, 8))


@dataclass(frozen=True, eq=False)
class Setup:
    """All that a part may ask for."""

    networks: Networks
    """By name."""
    images: HeldOutImages
    classes: Sequence[str]
    """Their names."""
    ascents: Mapping[str, Ascent]
    """How the parts pgd, pgd20, pgd50 and doubts go about it, by name; doubts takes its ball alone. Empty where the
    norm is none of theirs."""
    ensemble: auto.Ensemble
    """autoattack: which attacks."""
    seed: int
    source: Network | None = None
    """transfer: whom the adversarial images are made for."""
    source_name: str | None = None
    published: Published | None = None
    """corruptions: those that were made before."""
    others: Mapping[str, HeldOutImages] = field(default_factory=dict)
    """detection: images of other classes, by name."""
    variants: Mapping[str, tuple[Variant, HeldOutImages]] = field(default_factory=dict)
    """variants: other images of the classes, by name."""
    real: Sequence[frozenset[int]] | None = None
    """real: ReaL's labels of the images."""
    boxes: np.ndarray | None = None
    """localisation: (N, 4) where the images' objects are."""
    saved: Saved | None = None
    """saved: the adversarial images of a file."""
    keep: Callable[[str], Keep] | None = None
    """Where adversarial images are to be saved, what takes those of a part."""


Measure = Callable[[Setup, Remember], dict[str, Any]]


def clean(setup: Setup, remember: Remember) -> dict[str, Any]:
    """By network, accuracy on the images as they are, and by class."""
    logits, labels = read_logits(setup.networks, setup.images)
    found = {}
    for name, values in logits.items():
        check_labels(values, labels)
        right = values.argmax(dim=1) == labels
        by_name = by_class(right.long().tolist(), labels.numpy(), setup.classes)
        found[name] = {"accuracy": float(right.double().mean()), "by_class": by_name}
    return found


def with_classes(setup: Setup, found: dict[str, Any]) -> dict[str, Any]:
    """What an attack found, with the accuracies by class."""
    labels = labels_of(setup.images).numpy()
    return {name: {**one, "by_class": by_class(one["robust"], labels, setup.classes)} for name, one in found.items()}


def calibration(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_calibration(setup.networks, setup.images, seed=setup.seed)


def calibration_attacked(setup: Setup, remember: Remember) -> dict[str, Any]:
    ascent = setup.ascents["pgd20"]
    return measure_attacked(setup.networks, setup.images, ascent, seed=setup.seed, remember=remember)


def noise(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_noise(setup.networks, setup.images, seed=setup.seed, remember=remember)


def occlusion(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_occlusion(setup.networks, setup.images, seed=setup.seed, remember=remember)


def deformations(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_deformations(setup.networks, setup.images, seed=setup.seed, remember=remember)


def selective(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_selective(setup.networks, setup.images, setup.images.num_classes, remember=remember)


def landscape(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_landscape(setup.networks, setup.images, seed=setup.seed, remember=remember)


def landscape_attacked(setup: Setup, remember: Remember) -> dict[str, Any]:
    ball = setup.ascents["doubts"]
    return measure_landscape(
        setup.networks, setup.images, seed=setup.seed, eps=ball.eps, norm=ball.norm, remember=remember
    )


def corruptions(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_corruptions(
        setup.networks,
        setup.images,
        seed=setup.seed,
        num_classes=setup.images.num_classes,
        published=setup.published,
        remember=remember,
    )


def detection(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_detection(setup.networks, setup.images, setup.others, seed=setup.seed, remember=remember)


def variants(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_variants(setup.networks, setup.variants, remember=remember)


def real(setup: Setup, remember: Remember) -> dict[str, Any]:
    assert setup.real is not None
    return measure_real(setup.networks, setup.images, setup.real)


def spectrum(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_spectrum(setup.networks, setup.images, remember=remember)


def embedding(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_embedding(setup.networks, setup.images, remember=remember)


def localisation(setup: Setup, remember: Remember) -> dict[str, Any]:
    assert setup.boxes is not None
    return measure_localisation(setup.networks, setup.images, setup.boxes, remember=remember)


def pointing(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_pointing(setup.networks, setup.images, seed=setup.seed, remember=remember)


def fgsm(setup: Setup, remember: Remember) -> dict[str, Any]:
    return measure_fgsm(setup.networks, setup.images, eps=ONE_STEP_RADII, remember=remember)


def transfer(setup: Setup, remember: Remember) -> dict[str, Any]:
    assert setup.source is not None
    return measure_transfer(
        setup.networks,
        setup.images,
        source=setup.source,
        eps=TRANSFER_RADII,
        seed=setup.seed,
        remember=remember,
    )


def pgd(part: str, setup: Setup, remember: Remember) -> dict[str, Any]:
    keep = None if setup.keep is None else setup.keep(part)
    ascent = setup.ascents[part]
    found = measure_pgd(setup.networks, setup.images, ascent, seed=setup.seed, remember=remember, keep=keep)
    return with_classes(setup, found)


def autoattack(setup: Setup, remember: Remember) -> dict[str, Any]:
    keep = None if setup.keep is None else setup.keep("autoattack")
    found = auto.measure_autoattack(
        setup.networks, setup.images, setup.ensemble, seed=setup.seed, remember=remember, keep=keep
    )
    return with_classes(setup, found)


def saved(setup: Setup, remember: Remember) -> dict[str, Any]:
    assert setup.saved is not None
    return measure_saved(setup.networks, setup.images, setup.saved, remember=remember)


def doubts(setup: Setup, remember: Remember) -> dict[str, Any]:
    ball = setup.ascents["doubts"]
    return measure_doubts(
        setup.networks, setup.images, eps=ball.eps, norm=ball.norm, seed=setup.seed, remember=remember
    )


PARTS: dict[str, Measure] = {
    "clean": clean,
    "calibration": calibration,
    "noise": noise,
    "occlusion": occlusion,
    "deformations": deformations,
    "corruptions": corruptions,
    "variants": variants,
    "real": real,
    "detection": detection,
    "selective": selective,
    "embedding": embedding,
    "spectrum": spectrum,
    "localisation": localisation,
    "pointing": pointing,
    "landscape": landscape,
    "fgsm": fgsm,
    "transfer": transfer,
    "pgd": partial(pgd, "pgd"),
    "pgd20": partial(pgd, "pgd20"),
    "pgd50": partial(pgd, "pgd50"),
    "autoattack": autoattack,
    "saved": saved,
    "landscape_attacked": landscape_attacked,
    "calibration_attacked": calibration_attacked,
    "doubts": doubts,
}
"""In the order in which they are measured, cheap ones first."""


def own_settings(name: str, setup: Setup) -> dict[str, Any]:
    """What decides the numbers of a part and is not common to all; plain."""
    if name in ("pgd", "pgd20", "pgd50"):
        return setup.ascents[name].plain()
    if name == "calibration_attacked":
        return setup.ascents["pgd20"].plain()
    if name in ("doubts", "landscape_attacked"):
        ball = setup.ascents["doubts"]
        return {"norm": ball.norm, "eps": ball.eps}
    if name == "autoattack":
        return {**setup.ensemble.plain(), "package": auto.maker()}
    if name == "saved":
        assert setup.saved is not None
        return {"file": str(setup.saved.path), "digest": digest_file(setup.saved.path)}
    if name == "transfer":
        return {"source": setup.source_name}
    if name == "corruptions":
        return {"made_by": maker() if setup.published is None else str(setup.published.folder)}
    if name == "variants":
        return {"folders": {other: identify_images(variant.source) for other, (variant, _) in setup.variants.items()}}
    if name == "real":
        assert setup.real is not None
        text = repr([sorted(labels) for labels in setup.real])
        return {"labels": hashlib.sha256(text.encode()).hexdigest()[:12]}
    if name == "localisation":
        assert setup.boxes is not None
        return {"boxes": hashlib.sha256(setup.boxes.tobytes()).hexdigest()[:12]}
    if name == "detection":
        return {"ood": {other: len(images) for other, images in setup.others.items()}}
    return {}


def why_not(name: str, setup: Setup) -> str | None:
    """Why a part cannot be measured; None if it can."""
    if name == "variants" and not setup.variants:
        return "variants needs folders of other images of the classes; pass --variants"
    if name == "real" and setup.real is None:
        return "real needs ReaL's list of labels; pass --real"
    if name == "transfer" and setup.source is None:
        return "transfer needs the checkpoint of another network; pass --source"
    if name == "corruptions" and setup.published is None:
        if min(setup.images.size) < SMALLEST:
            return f"corruptions are made for images of {SMALLEST} x {SMALLEST} pixels or more"
        return _missing(maker)
    if name == "localisation" and setup.boxes is None:
        return (
            "localisation needs to know where the objects are: of the embedded digits it does, of other images by "
            "--boxes; CIFAR has no boxes, and pointing needs none"
        )
    if name in INSIDE:
        return _not_inside(name, setup)
    if name in ("pgd", "pgd20", "pgd50", "landscape_attacked", "calibration_attacked", "doubts") and not setup.ascents:
        return f"{name} knows the norms Linf and L2; --parts autoattack knows L1 too"
    if name == "saved" and setup.saved is None:
        return "saved needs a file of adversarial images; pass --adversarial"
    if name == "autoattack":
        return auto.too_few(setup.images.num_classes, setup.ensemble) or _missing(auto.maker)
    return None


def _not_inside(name: str, setup: Setup) -> str | None:
    """Why a part that looks into the networks cannot."""
    counts = np.bincount(labels_of(setup.images).numpy())
    if name in ("spectrum", "embedding") and counts.max() < 2:
        return f"{name} needs two images of a class at least"
    if name == "embedding" and (counts > 0).sum() < 2:
        return "embedding needs images of two classes at least"
    if name == "pointing" and (counts > 0).sum() < 4:
        return "pointing needs images of four classes at least"
    for network in setup.networks.values():
        if name == "embedding" and not has_classifier(network):
            return "embedding is what enters a network's last linear layer, and this one has none"
        if name in ("localisation", "pointing") and (reason := why_no_maps(network)) is not None:
            return f"{name} needs class activation maps: {reason}"
        if name == "pointing" and (reason := why_not_larger(network, setup.images)) is not None:
            return reason
    return None


def _missing(find: Callable[[], str]) -> str | None:
    try:
        find()
    except ImportError as error:
        return str(error)
    return None
