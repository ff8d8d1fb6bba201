"""Everything that changes while a run trains, and its form in a checkpoint."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from mixdali import derive_seed
from train.data.batches import Loader
from train.data.sources import STATISTICS, Sources
from train.files import checkpoint
from train.machine.clock import Clock
from train.machine.distributed import World, data_parallel
from train.models import build_model, start_from
from train.optim.averaging import Average
from train.optim.layers import decayed_by_layer
from train.optim.optimizers import decay_groups
from train.recipe import Recipe


@dataclass
class UnderWay:
    """A step that has had some of its parts; it is in no checkpoint."""

    kept: list[Tensor] | None = None
    """The network's running means and variances before it, if they may be put back."""
    loss: Tensor = field(default_factory=lambda: torch.zeros(()))
    """Of its parts so far, summed."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Their metrics, summed."""

    def add(self, loss: Tensor, metrics: Mapping[str, Tensor]) -> None:
        """Count one more part."""
        self.loss = self.loss.to(loss.device) + loss
        add_up(self.sums, metrics)


def add_up(sums: dict[str, Tensor], more: Mapping[str, Tensor]) -> None:
    """Add what is called the same, in float64."""
    for name, value in more.items():
        total = sums.get(name)
        sums[name] = value.detach().double() if total is None else total + value


SKIPPED = "skipped_steps"
"""Among the sums of an epoch's metrics: steps that were left out."""


@dataclass
class State:
    """The network and all that its training depends on. Built by `new_state`, moved on by the loop."""

    network: dict[str, Any]
    """The arguments of `build_model`, without the seed."""
    fresh: list[str]
    """The tensors of the network that do not start from the recipe's file of weights, where it names one."""
    model: nn.Module
    """The bare network."""
    parallel: nn.Module
    """What a training step calls: the network, in several processes wrapped to average the gradients."""
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR
    scaler: torch.amp.GradScaler
    ema: Average | None
    objective: nn.Module
    """What the objective remembers, and what it learns beside the network."""
    generator: torch.Generator
    """The randomness of the objective, on the model's device."""
    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Finished steps of the whole run."""
    epoch_step: int = 0
    """Finished steps of this epoch."""
    parts: int = 1
    """Batches of the loader that a step takes, one after the other."""
    part: int = 0
    """Those of them that the step under way has had. There is no checkpoint within a step."""
    under_way: UnderWay = field(default_factory=UnderWay)
    """That step."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """The metrics of this epoch's steps in this process, of all their parts, summed."""
    clock: Clock = field(default_factory=Clock)
    """Where the time went."""
    best: float = 0.0
    """The best held-out accuracy so far, of the average where one is kept; under attack where that is measured."""
    history: list[dict[str, float]] = field(default_factory=list)
    """What was measured in each finished epoch."""

    def to_checkpoint(self, loader: Loader, world: World) -> dict[str, Any]:
        """The whole state as tensors, numbers and strings; the randomness and place in the data of every process."""
        ranks = world.gather(
            {
                "loader": loader.state_dict(),
                "generator": self.generator.get_state(),
                "torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state(world.device) if world.device.type == "cuda" else None,
                "sums": {name: value.cpu() for name, value in self.sums.items()},
            }
        )
        return {
            "network": self.network,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "ema_count": 0 if self.ema is None else self.ema.count,
            "objective": self.objective.state_dict(),
            "ranks": ranks,
            "parts": self.parts,
            "clock": dataclasses.asdict(self.clock),
            **{name: getattr(self, name) for name in ("epoch", "step", "epoch_step", "best", "history")},
        }

    def load_checkpoint(self, content: dict[str, Any], loader: Loader, world: World, *, exact: bool = True) -> bool:
        """Go back to the moment of `to_checkpoint`.

        Args:
            exact: False where versions, the device, the number of processes or that of parts may have changed: what
                then cannot be taken over is begun anew, the order of the images and the random draws.

        Returns:
            Whether the images still to come are those that would have come.
        """
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.schedule.load_state_dict(content["schedule"])
        # Another number format may have none, or need its first.
        if content["scaler"]:
            self.scaler.load_state_dict(content["scaler"])
        if self.ema is not None:
            self.ema.module.load_state_dict(content["ema"])
            self.ema.count = content["ema_count"]
        self.objective.load_state_dict(content["objective"])
        self.clock = Clock(**content["clock"])
        for name in ("epoch", "step", "epoch_step", "best", "history"):
            setattr(self, name, content[name])
        ranks = content["ranks"]
        if len(ranks) != world.size or content.get("parts", 1) != self.parts:
            if exact:
                raise ValueError(
                    "a state of another number of processes, or of parts of a step, cannot be gone on with"
                )
            self._share_anew(ranks, content.get("parts", 1), loader, world)
            return False
        mine = ranks[world.rank]
        self._load_draws(mine, world, exact)
        self.sums = {name: value.to(world.device) for name, value in mine["sums"].items()}
        try:
            loader.load_state_dict(mine["loader"])
        except ValueError:
            if exact:
                raise
            loader.load_state_dict(mine["loader"], exact=False)
            return False
        return True

    def _share_anew(self, ranks: list[dict[str, Any]], parts: int, loader: Loader, world: World) -> None:
        """Go on with batches shared out among another number of processes or parts: from the same step, with other
        images and draws, which follow from the old ones."""
        seed = derive_seed(self.generator.initial_seed(), "shared out anew", self.step, world.size, self.parts)
        self.generator.manual_seed(seed)
        # What a layer draws is seeded on all devices.
        torch.manual_seed(derive_seed(seed, "layers"))
        self.sums = {}
        for name in ranks[0]["sums"]:
            total = torch.stack([rank["sums"][name] for rank in ranks]).sum(dim=0).to(world.device)
            # A step that was left out counts once, whatever its parts.
            self.sums[name] = total / len(ranks) * (1 if name == SKIPPED else self.parts / parts)
        begin_at(loader, self.epoch, self.epoch_step * self.parts)

    def _load_draws(self, mine: dict[str, Any], world: World, exact: bool) -> None:
        """The states of the generators; on another device, which cannot take them, new ones that follow from them."""
        on_cuda = world.device.type == "cuda"
        torch.set_rng_state(mine["torch"])
        if exact or on_cuda == (mine["cuda"] is not None):
            self.generator.set_state(mine["generator"])
            if on_cuda:
                torch.cuda.set_rng_state(mine["cuda"], world.device)
            return
        seed = derive_seed(self.generator.initial_seed(), "another device", self.step)
        self.generator.manual_seed(seed)
        if on_cuda:
            torch.cuda.manual_seed(derive_seed(seed, "layers"))


def begin_at(loader: Loader, epoch: int, batches: int) -> None:
    """Let a loader's next iteration be this epoch, without its first batches, which are read for nothing."""
    if batches >= len(loader):
        loader.set_epoch(epoch + 1)
        return
    loader.set_epoch(epoch)
    if batches:
        deque(islice(loader, batches), maxlen=0)
        # An epoch that was left early is over; one that a state was loaded in goes on.
        loader.load_state_dict(loader.state_dict())


def new_state(
    recipe: Recipe,
    sources: Sources,
    world: World,
    steps_per_epoch: int,
    own: Mapping[str, Any] | None = None,
    *,
    parts: int = 1,
) -> State:
    """The state before the first step: the same initial weights in every process, its own randomness in each.

    `own` is what the recipe file defines, for a network of its own. Seeds torch's global generator, which layers such
    as dropout draw from; the caller restores it.
    """
    mean, std = STATISTICS[sources.kind]
    num_outputs = recipe.objective.num_outputs(sources.num_classes)
    network: dict[str, Any] = {"name": recipe.model, "num_classes": num_outputs, "mean": mean, "std": std}
    model = build_model(**network, seed=derive_seed(recipe.seed, "model"), own=own)
    fresh = (
        []
        if recipe.weights is None
        else start_from(model, checkpoint.check_weights(checkpoint.find(Path(recipe.weights))))
    )
    if recipe.sync_batch_norm:
        model = _with_shared_statistics(model, world)
    model = model.to(world.device).to(memory_format=torch.channels_last)
    parallel = data_parallel(model, world)
    if recipe.compile:
        parallel = torch.compile(parallel)  # type: ignore[assignment]
    objective = _set_up(recipe, model, sources, world)
    groups = decay_groups(model, _learned(objective), recipe.weight_decay, recipe.decayed)
    if recipe.nonfinite == "skip" and any(True for _ in objective.buffers()):
        raise ValueError(
            f"nonfinite must be stop with {type(recipe.objective).__name__}, which remembers what it has seen"
        )
    if recipe.layer_decay is not None:
        groups = decayed_by_layer(groups, model, recipe.layer_decay, recipe.lr)
    optimizer = recipe.optimizer.build(groups, recipe.lr)
    ema = None
    if recipe.ema_decay is not None:
        ema = Average(model, recipe.ema_decay, warmup=recipe.ema_warmup, buffers=recipe.ema_buffers)
    torch.manual_seed(derive_seed(recipe.seed, "layers", world.rank))
    return State(
        network=network,
        fresh=fresh,
        model=model,
        parallel=parallel,
        optimizer=optimizer,
        schedule=LambdaLR(optimizer, lambda step: recipe.schedule.rate(step / steps_per_epoch, recipe.num_epochs)),
        scaler=torch.amp.GradScaler(world.device.type, enabled=recipe.precision == "float16"),
        ema=ema,
        objective=objective,
        parts=parts,
        generator=torch.Generator(world.device).manual_seed(derive_seed(recipe.seed, "objective", world.rank)),
    )


def _with_shared_statistics(model: nn.Module, world: World) -> nn.Module:
    """The same network, whose batch norms take their statistics over the batches of all processes."""
    if world.size > 1 and world.kind == "cpu":
        raise ValueError("sync_batch_norm needs GPUs in several processes: torch has it for those alone; leave it out")
    synced: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return synced


def _set_up(recipe: Recipe, model: nn.Module, sources: Sources, world: World) -> nn.Module:
    """What the objective remembers; what it learns begins alike in every process, and is averaged as the network is."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(recipe.seed, "setup"))
        objective = recipe.objective.setup(model, sources.num_samples, sources.num_classes).to(world.device)
    if world.size > 1:
        for parameter in _learned(objective):
            parameter.register_post_accumulate_grad_hook(lambda parameter: _average_gradient(parameter, world))
    return objective


def _learned(objective: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in objective.parameters() if parameter.requires_grad]


def _average_gradient(parameter: Tensor, world: World) -> None:
    assert parameter.grad is not None
    parameter.grad = world.sum(parameter.grad) / world.size
