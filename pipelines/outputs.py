"""What a batch carries beside images and targets, by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import do_not_convert

import mixdali
from mixdali import derive_seed
from mixdali.methods.erasing import Erasing

from .augment.policies import Policy

TRAIN = ("images", "targets", "labels", "index", "path", "unmixed", "view1", "view2", "plan")
VAL = ("images", "targets", "labels", "index", "path")
VIEWS = ("view1", "view2")


# Where views ask for conditions in a graph, DALI rewrites a pipeline's functions; those with none are left alone.
@do_not_convert
def output_names(outputs: Sequence[str], known: Sequence[str], mix: mixdali.Mix | None = None) -> tuple[str, ...]:
    """The pipeline's outputs, one name each: "plan" is as many as the mix's plan has parts.

    ValueError for one that is not to be had.
    """
    for name in outputs:
        if name not in known:
            raise ValueError(f"outputs must be among {', '.join(known)}; got {name!r}")
    if len(set(outputs)) != len(outputs) or "images" not in outputs:
        raise ValueError(f'outputs must be different names, "images" among them, got {tuple(outputs)!r}')
    if "plan" not in outputs:
        return tuple(outputs)
    if mix is None:
        raise ValueError('the output "plan" needs a mix, got mix=None')
    return tuple(part for name in outputs for part in (_plan_parts(mix) if name == "plan" else (name,)))


def _plan_parts(mix: mixdali.Mix) -> tuple[str, ...]:
    """Which parts the mix's plans have, learned from one that is drawn here."""
    import torch

    plan = mix.draw(torch.zeros(2, 3, 4, 4), targets=torch.zeros(2, dtype=torch.int64), rng=torch.Generator(), epoch=0)
    return tuple(f"plan.{name}" for name in plan.parts())


def needs(outputs: Sequence[str], mix: mixdali.Mix | None = None) -> tuple[str, ...]:
    """What a source must hand over for these outputs: "images", and others where something uses them."""
    if mix is not None and mix.uses_classes:
        outputs = (*outputs, "labels")
    used = {"labels": {"labels", "targets"}, "index": {"index"}, "path": {"path"}}
    return ("images", *(name for name, users in used.items() if users & set(outputs)))


@do_not_convert
def output_nodes(
    names: Sequence[str],
    nodes: Mapping[str, DataNode],
    *,
    num_classes: int,
    form: Mapping[str, Any],
    smoothing: float = 0.0,
    mix: mixdali.Mix | None = None,
    erasing: Erasing | None = None,
    epoch: DataNode | None = None,
    seed: int = 0,
) -> tuple[DataNode, ...]:
    """The nodes of these names, all on the images' device.

    nodes  what `needs` asked for, "images" uint8 HWC, "labels", "index" and "path" one integer an image; and the views.
    form   what images are handed out in: of `pipelines.arguments.ValGraph`.
    epoch  for a mix or an erasing that changes with it.
    seed   of both.
    """
    images = nodes["images"]
    made: dict[str, DataNode] = dict(nodes)
    targets = mixdali.one_hot(nodes["labels"], num_classes, smoothing) if "targets" in names else None
    before = form if erasing is None else {}
    if "unmixed" in names or (mix is None and erasing is None):
        made["unmixed"] = mixdali.to_float(images, **form)
    made |= {view: mixdali.to_float(nodes[view], layout="CHW", **form) for view in VIEWS if view in nodes}
    if mix is None:
        mixed = mixdali.to_float(images) if erasing is not None else made["unmixed"]
        made["targets"] = targets
    else:
        plan = mix.draw(images, targets=nodes.get("labels"), rng=seed, epoch=epoch)
        mixed, made["targets"] = mix.apply(images, targets, plan, **before)
        made |= {f"plan.{name}": value for name, value in plan.parts().items()}
    made["images"] = erased(mixed, erasing, form, epoch=epoch, seed=seed)
    return tuple(made[name].gpu() if images.device == "gpu" else made[name] for name in names)


def erased(images: DataNode, erasing: Erasing | None, form: Mapping[str, Any], *, epoch: Any, seed: int) -> DataNode:
    """float CHW in [0, 1] -> the same after the erasing, in this form; without an erasing they have it already."""
    if erasing is None:
        return images
    plan = erasing.draw(images, rng=derive_seed(seed, "erasing"), epoch=epoch, layout="CHW")
    return erasing.apply(images, None, plan, layout="CHW", **form)[0]


def graph_settings(outputs: Sequence[str], auto_augment: Policy | None = None) -> dict[str, bool]:
    """What DALI must be told to build these outputs, after these operations."""
    conditional = set(VIEWS) & set(outputs) or auto_augment is not None
    return {"enable_conditionals": True} if conditional else {}
