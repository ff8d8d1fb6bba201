"""What a batch carries beside images and targets, by name."""

from collections.abc import Mapping, Sequence

from nvidia.dali import fn, types
from nvidia.dali.data_node import DataNode

import mixdali

TRAIN = ("images", "targets", "labels", "index", "unmixed", "plan")
VAL = ("images", "targets", "labels", "index")
_PLAN = ("plan.partner", "plan.lam", "plan.box", "plan.weight")


def output_names(outputs: Sequence[str], known: Sequence[str], mix: mixdali.Mix | None = None) -> tuple[str, ...]:
    """The pipeline's outputs, one name each: "plan" is four of them. ValueError for one that is not to be had."""
    for name in outputs:
        if name not in known:
            raise ValueError(f"outputs must be among {', '.join(known)}; got {name!r}")
    if len(set(outputs)) != len(outputs) or "images" not in outputs:
        raise ValueError(f'outputs must be different names, "images" among them, got {tuple(outputs)!r}')
    if "plan" in outputs and mix is None:
        raise ValueError('the output "plan" needs a mix, got mix=None')
    return tuple(part for name in outputs for part in (_PLAN if name == "plan" else (name,)))


def needs(outputs: Sequence[str]) -> tuple[str, ...]:
    """What a source must hand over for these outputs: "images", and "labels" and "index" where something uses them."""
    used = {"labels": {"labels", "targets"}, "index": {"index"}}
    return ("images", *(name for name, users in used.items() if users & set(outputs)))


def output_nodes(
    names: Sequence[str],
    nodes: Mapping[str, DataNode],
    *,
    num_classes: int,
    smoothing: float = 0.0,
    mix: mixdali.Mix | None = None,
    seed: int = 0,
) -> tuple[DataNode, ...]:
    """The nodes of these names, all on the images' device.

    nodes  what `needs` asked for: "images" uint8 HWC; "labels" and "index" one integer an image.
    seed   the mix's.
    """
    images = nodes["images"]
    made: dict[str, DataNode] = dict(nodes)
    if "targets" in names:
        made["targets"] = mixdali.one_hot(nodes["labels"], num_classes, smoothing)
    if "unmixed" in names or mix is None:
        made["unmixed"] = mixdali.to_float(images)
    if mix is None:
        made["images"] = made["unmixed"]
    else:
        plan = mix.draw(images, rng=seed)
        made["images"], made["targets"] = mix.apply(images, made.get("targets"), plan)
        if "plan.partner" in names:
            made |= _plan_nodes(images, plan)
    return tuple(made[name].gpu() if images.device == "gpu" else made[name] for name in names)


def _plan_nodes(images: DataNode, plan: mixdali.Plan) -> dict[str, DataNode]:
    if plan.mask is not None:
        raise ValueError('the output "plan" does not carry masks; leave it out for this mix')
    size = images.shape(dtype=types.INT32)
    whole = fn.stack(0 * size[0], 0 * size[1], size[0], size[1])
    box = whole if plan.box is None else plan.box
    return {"plan.partner": plan.partner, "plan.lam": plan.lam, "plan.box": box, "plan.weight": plan.weight}
