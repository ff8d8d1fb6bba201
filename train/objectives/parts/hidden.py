"""Reaching into a network that was not written for it: stages by name, forward hooks, nothing left behind.

A stage is a place between two layers. Every network has `input`, what its first layer sees after the normalisation, and
`stage1`, `stage2`, ..., where the next step down in resolution is about to begin. Any other place is the output of a
module, by the module's name (`layer3.0`, `blocks.4`).

The network may be wrapped in DistributedDataParallel, compiled, or both: pass it as it is and call it as it is. A
compiled network runs uncompiled while a hook is in it, because compiled code does not see hooks that come later.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from mixdali.worlds.tensor_draws import here
from train.models import Normalise, PreActResNet

INPUT = "input"


def bare(model: nn.Module) -> nn.Module:
    """The network inside the wrappers of data parallelism and of torch.compile."""
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def stages(model: nn.Module) -> dict[str, nn.Module]:
    """The stages of a network by name, in order, each with the module whose output it is.

    `input` belongs to the layer that normalises; a network without one has only the network itself there, and its
    input is meant. A network of an unknown layout has no stages but its input.
    """
    network = bare(model)
    found = {INPUT: _normaliser(network) or network}
    ends = _stage_ends(_after_normaliser(network))
    return found | {f"stage{number}": end for number, end in enumerate(ends, start=1)}


def find_stage(model: nn.Module, name: str) -> nn.Module:
    """The module whose output is the stage `name`: of `stages`, or any module by its own name.

    Raises:
        ValueError: there is none, with the stages there are.
    """
    network = bare(model)
    known = stages(network)
    inner = dict(_after_normaliser(network).named_modules())
    modules = dict(network.named_modules())
    for place in (known, modules, inner):
        if name and name in place:
            return place[name]
    raise ValueError(
        f"{_kind(network)} has no stage {name!r}; there are: {', '.join(known)}; any module's name will do too"
    )


def check_stages(model: nn.Module, names: Sequence[str]) -> None:
    """ValueError, in one line, unless there is at least one name and each is a stage of the network."""
    if not names:
        raise ValueError(f"stages must name at least one place to mix, such as {INPUT!r}, got none")
    for name in names:
        find_stage(model, name)


def pick_stage(names: Sequence[str], layer: Tensor) -> str:
    """The stage with the number `layer` () in `names`. ValueError if there is none of that number."""
    number = int(layer)
    if not 0 <= number < len(names):
        raise ValueError(f"layer must be from 0 to {len(names) - 1}, a place in stages {tuple(names)}, got {number}")
    return names[number]


@contextmanager
def changed(model: nn.Module, stage: str, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the block one forward pass of `model` goes on with change(hidden) instead of hidden at this stage.

    Gradients flow through the change. The hook is gone when the block is left, also by an exception.

    Raises:
        ValueError: an unknown stage, one whose module gives no tensor, or one that does not run exactly once.
    """
    runs = 0

    def apply(value: Any) -> Tensor:
        nonlocal runs
        runs += 1
        if not isinstance(value, Tensor):
            raise ValueError(f"stage {stage!r} gives a {type(value).__name__}; only a tensor can be mixed")
        return change(value)

    module = find_stage(model, stage)
    if stage == INPUT and _normaliser(bare(model)) is None:
        handle = module.register_forward_pre_hook(lambda _, args: (apply(args[0]), *args[1:]))
    else:
        handle = module.register_forward_hook(lambda _, args, output: apply(output))
    try:
        with _uncompiled():
            yield
    finally:
        handle.remove()
    if runs != 1:
        raise ValueError(f"stage {stage!r} ran {runs} times in one forward pass; take another place to mix")


@contextmanager
def recorded(module: nn.Module, *, inputs: bool = False) -> Iterator[list[Tensor]]:
    """A list that gets the output of `module` (or its first input) each time it runs inside the block."""
    seen: list[Tensor] = []
    if inputs:
        handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    else:
        handle = module.register_forward_hook(lambda _, args, output: seen.append(output))
    try:
        with _uncompiled():
            yield seen
    finally:
        handle.remove()


def classifier(model: nn.Module) -> nn.Linear:
    """The last linear layer of a network, which gives the logits. ValueError if there is none."""
    linear = [module for module in bare(model).modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"{_kind(bare(model))} has no linear layer at its end")
    return linear[-1]


def pooling_place(model: nn.Module) -> tuple[nn.Module, bool]:
    """Where a network's last map (N, C, H, W) passes, the one that is averaged over its positions and classified.

    Returns:
        A module, and whether the map is its input (True) or becomes its output (False).

    Raises:
        ValueError: the network has no pooling layer by which the map could be found.
    """
    network = _after_normaliser(bare(model))
    if isinstance(network, PreActResNet):
        return network.norm, False
    kinds = ("AdaptiveAvgPool2d", "SelectAdaptivePool2d")  # torch's own, and timm's
    pools = [module for module in network.modules() if type(module).__name__ in kinds]
    if not pools:
        raise ValueError(f"{_kind(network)} has no pooling layer by which its last map could be found")
    return pools[-1], True


@contextmanager
def recorded_map(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that, after the block, holds the last map of each forward pass in it."""
    module, inputs = pooling_place(model)
    with recorded(module, inputs=inputs) as seen:
        yield seen
    if not inputs:
        # What comes between the batch norm of our network and its pooling; nothing happens to what is active already.
        network = _after_normaliser(bare(model))
        assert isinstance(network, PreActResNet)
        seen[:] = [network.activation(hidden) for hidden in seen]


def mix(values: Tensor, partner: Tensor, lam: Tensor) -> Tensor:
    """lam values + (1 - lam) values[partner], in at least float32 inside and in the dtype of `values` outside.

    Args:
        values: (N, ...) images, hidden values or targets.
        partner: (N,) with whom each row is mixed.
        lam: () or (N,) in [0, 1], the weight of the row that keeps its place.
    """
    work = torch.promote_types(values.dtype, torch.float32)
    # Numbers on the host go to a GPU without waiting for it.
    weight = here(lam).to(values.device, work, non_blocking=True)
    weight = weight.reshape(weight.shape + (1,) * (values.ndim - weight.ndim))
    own, other = values.to(work), values[partner.to(values.device, non_blocking=True)].to(work)
    return torch.lerp(other, own, weight).to(values.dtype)


def _uncompiled() -> AbstractContextManager[Any]:
    # What was never imported has compiled nothing, and is slow to import.
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _normaliser(network: nn.Module) -> nn.Module | None:
    return next((module for module in network.modules() if isinstance(module, Normalise)), None)


def _after_normaliser(network: nn.Module) -> nn.Module:
    """The second of two, where the first only normalises."""
    if isinstance(network, nn.Sequential) and len(network) == 2 and isinstance(network[0], Normalise):
        return bare(network[1])
    return network


def _stage_ends(network: nn.Module) -> list[nn.Module]:
    """The last module of each stage, for the layouts in use: ResNets, `stages`, and chains of blocks."""
    children = dict(network.named_children())
    layers = [module for name, module in children.items() if name.startswith("layer") and name[5:].isdigit()]
    if layers:
        return layers
    if isinstance(several := children.get("stages"), nn.Sequential | nn.ModuleList):
        return list(several)
    encoder = children.get("encoder")
    chains = [children.get("blocks"), children.get("features"), getattr(encoder, "layers", None), network]
    chain = next((chain for chain in chains if isinstance(chain, nn.Sequential | nn.ModuleList)), nn.Sequential())
    return _ends_of_resolutions(list(chain))


def _ends_of_resolutions(chain: list[nn.Module]) -> list[nn.Module]:
    """The modules before which, or before the classifier, the resolution falls; without a fall every module."""
    tail = (nn.Flatten, nn.Linear, nn.AdaptiveAvgPool2d)
    length = next((place for place, module in enumerate(chain) if isinstance(module, tail)), len(chain))
    body = chain[:length]
    falls = [place for place, module in enumerate(body) if place > 0 and _shrinks(module)]
    return [body[place - 1] for place in [*falls, len(body)]] if falls else body


def _shrinks(block: nn.Module) -> bool:
    kinds = (nn.Conv1d, nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    strides = [module.stride for module in block.modules() if isinstance(module, kinds)]
    return any(max(stride) > 1 if isinstance(stride, tuple) else stride > 1 for stride in strides)


def _kind(network: nn.Module) -> str:
    return type(_after_normaliser(network)).__name__
