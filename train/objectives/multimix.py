"""MultiMix and Dense MultiMix.

Venkataramanan, Kijak, Amsaleg and Avrithis, "Embedding Space Interpolation Beyond Mini-Batch, Beyond Pairs and Beyond
Examples", NeurIPS 2023, arXiv:2311.05538; with a teacher as in its first version, "Teach me how to Interpolate a Myriad
of Embeddings", arXiv:2206.14868.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mixdali.checks import one_of, require
from mixdali.draws import WEIGHT, check_law
from train.objectives.batch import Batch
from train.objectives.cross_entropy import accuracy, cross_entropy
from train.objectives.objective import Draws, Metrics, Objective, checked_draws
from train.objectives.parts.draws import (
    Expected,
    draw_dirichlet,
    draw_lam,
    draw_permutation,
    expected_mix,
    host_generator,
)
from train.objectives.parts.hidden import classifier, mix, pooling_place, recorded_map


@dataclass(frozen=True, kw_only=True)
class MultiMix(Objective):
    """Mix whole batches of embeddings, at the last layer before the classifier, into many more than the batch has.

    With embeddings z_k and targets t_k of the N images, each of `num_tuples` tuples has weights l_k from a Dirichlet
    distribution over the N images, and adds the cross-entropy of the logits of sum_k l_k z_k with sum_k l_k t_k. The
    classifier is linear and weights sum to 1, so logits are mixed instead of embeddings: the same numbers, cheaper.

    `dense` mixes the last map at each of its R positions j before the pooling, with weights l_k a_k(j) that are scaled
    to sum to 1, and takes the loss at each. The attention a_k, which sums to 1 over the positions, is what is positive
    of z_k(j) . u_k; no gradient is held back.

    With `group_size` all but so many images of a tuple, drawn for it, weigh 0. With `clean_share` c the loss is (1 - c)
    that of the tuples and c the cross-entropy of the images as they are. The paper has the whole batch in a tuple; by
    itself that teaches next to nothing, as all mixed targets are nearly the same.

    A share `input_prob` of the steps is input mixup instead.

    With `teacher_weight` w > 0 targets are (1 - w) t + w p, p the predictions for the clean images by a moving average
    of the model, which runs as the model in training does (batch norm uses the batch) and is kept in the state.

    Draws: `weights` (num_tuples, N), or for input mixup `lam` () and `partner` (N,). With `dense`,
    `attention` (N, R) can be given beside the weights, in [0, 1] and then scaled to sum to 1, in place of what is
    computed (`attention_of`). The metric "accuracy" is that of the images as they went through the model: clean ones
    unless the step was input mixup.
    """

    needs_clean: ClassVar[str] = "mixes the embeddings itself"

    num_tuples: int = 1000
    """Mixed embeddings a step; with `dense`, at each position."""
    alpha: tuple[float, float] = (0.5, 2.0)
    """Bounds between which each tuple's Dirichlet parameter is drawn, uniformly. The larger the batch, the closer one
    near 1 brings all weights to 1/N, and so all mixed targets to the same."""
    group_size: int | None = None
    """Images in a tuple, drawn for each tuple anew; all others weigh 0. None: the whole batch."""
    clean_share: float = 0.0
    """Share of the loss that is the cross-entropy of the images as they are, in steps that mix the embeddings."""
    dense: bool = False
    """Mix and classify at every position of the last map."""
    attention: Literal["gap", "cam"] = "gap"
    """With `dense`, u_k: "gap" is the mean of z_k over the positions, "cam" the classifier's weights for t_k."""
    input_prob: float = 0.5
    """Chance that a step mixes the images instead of the embeddings."""
    input_alpha: float = 1.0
    """Input mixup's lam is Beta(input_alpha, input_alpha)."""
    teacher_weight: float = 0.0
    """Share of the teacher's predictions in the targets; 0 trains without a teacher."""
    teacher_decay: float = 0.999
    """How much of the teacher's weights a step keeps."""
    chunk_size: int = 16384
    """Mixed embeddings that are in memory at once; if there are more, they are mixed again for the gradient."""

    def __post_init__(self) -> None:
        low, high = self.alpha
        require(self.num_tuples >= 1, "MultiMix: num_tuples", self.num_tuples, "must be 1 or more")
        require(0 < low <= high, "MultiMix: alpha", self.alpha, "must be two numbers above 0, the lower first")
        one_of("MultiMix: attention", self.attention, ("gap", "cam"))
        require(self.input_alpha > 0, "MultiMix: input_alpha", self.input_alpha, "must be above 0")
        if self.group_size is not None:
            require(self.group_size >= 2, "MultiMix: group_size", self.group_size, "must be 2 or more, or None for all")
        for name in ("input_prob", "clean_share", "teacher_weight"):
            require(0 <= getattr(self, name) <= 1, f"MultiMix: {name}", getattr(self, name), "must be in [0, 1]")
        require(0 <= self.teacher_decay < 1, "MultiMix: teacher_decay", self.teacher_decay, "must be in [0, 1)")
        require(self.chunk_size >= 1, "MultiMix: chunk_size", self.chunk_size, "must be 1 or more")

    def setup(self, model: nn.Module, num_samples: int, num_classes: int) -> nn.Module:
        """ValueError if `dense` does not fit the model."""
        if self.dense:
            classifier(model)
            pooling_place(model)
        state = nn.Module()
        if self.teacher_weight > 0:
            state.teacher = copy.deepcopy(model).requires_grad_(False).train()
        return state

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        count, host = len(batch.images), host_generator(generator)
        if float(torch.rand((), generator=host, dtype=torch.float32, device="cpu")) < self.input_prob:
            return {"lam": draw_lam(self.input_alpha, host), "partner": draw_permutation(count, generator)}
        low, high = self.alpha
        uniform = torch.rand(self.num_tuples, generator=generator, dtype=torch.float64, device=generator.device)
        alpha = low + (high - low) * uniform
        if self.group_size is None or self.group_size >= count:
            return {"weights": draw_dirichlet(alpha, count, generator)}
        # The places of the smallest of as many random numbers are a group without repetition.
        keys = torch.rand(self.num_tuples, count, generator=generator, device=generator.device)
        groups = keys.topk(self.group_size, dim=1, largest=False).indices
        shares = draw_dirichlet(alpha, self.group_size, generator)
        return {"weights": shares.new_zeros(self.num_tuples, count).scatter(1, groups, shares)}

    def expected(self, batch: Batch, given: Collection[str]) -> dict[str, Expected]:
        of_input = expected_mix(len(batch.images))
        if not of_input.keys().isdisjoint(given):
            return of_input
        draws = {"weights": Expected(None, partial(_check_weights, len(batch.images)))}
        attention = {"attention": Expected(None, WEIGHT, needed=False)} if self.dense else {}
        return draws | attention | {name: replace(wanted, needed=False) for name, wanted in of_input.items()}

    def __call__(
        self, model: nn.Module, batch: Batch, state: nn.Module, draws: Draws | None = None
    ) -> tuple[Tensor, Metrics]:
        draws = checked_draws(self, batch, draws)
        targets = self._targets(batch, state)
        if "weights" not in draws:
            lam, partner = draws["lam"], draws["partner"]
            logits, hits = model(mix(batch.images, partner, lam)), mix(batch.targets, partner, lam)
            loss = cross_entropy(logits, mix(targets, partner, lam)).mean()
        elif self.dense:
            hits = batch.targets
            with recorded_map(model) as maps:
                logits = model(batch.images)
            loss = self._dense_loss(maps[0], classifier(model), targets, draws)
        else:
            logits, hits = model(batch.images), batch.targets
            loss = self._loss(logits, targets, draws["weights"])
        if "weights" in draws and self.clean_share > 0:
            loss = torch.lerp(loss, cross_entropy(logits, targets).mean().to(loss), self.clean_share)
        return loss, {"loss": loss.detach(), "accuracy": accuracy(logits.detach(), hits).mean()}

    @torch.no_grad()
    def after_step(self, model: nn.Module, batch: Batch, state: nn.Module) -> None:
        """Moves the teacher, where there is one."""
        if self.teacher_weight > 0:
            teacher = [parameter.data for parameter in state.get_submodule("teacher").parameters()]
            torch._foreach_lerp_(teacher, [parameter.data for parameter in model.parameters()], 1 - self.teacher_decay)

    def _targets(self, batch: Batch, state: nn.Module) -> Tensor:
        if self.teacher_weight == 0:
            return batch.targets
        with torch.no_grad():
            logits = state.get_submodule("teacher")(batch.images)
        predicted = logits.to(torch.promote_types(logits.dtype, batch.targets.dtype)).softmax(dim=1)
        return torch.lerp(batch.targets.to(predicted), predicted, self.teacher_weight)

    def _loss(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        work = torch.promote_types(logits.dtype, torch.float32)
        with torch.autocast(logits.device.type, enabled=False):
            return self._by_chunks(_sum_of_losses, weights.to(logits.device, work), logits.to(work), targets.to(work))

    def attention_of(self, hidden: Tensor, head: nn.Linear, targets: Tensor) -> Tensor:
        """Of the last map (N, D, H, W), the classifier and targets (N, K): (N, H W), rows that sum to 1."""
        maps, kernel = hidden.flatten(2), head.weight.to(hidden.dtype)
        towards = maps.mean(dim=2) if self.attention == "gap" else targets.to(hidden.dtype) @ kernel
        return _normalised(torch.einsum("kdr,kd->kr", maps, towards).relu(), dim=1)

    def _dense_loss(self, hidden: Tensor, head: nn.Linear, targets: Tensor, draws: Draws) -> Tensor:
        if hidden.ndim != 4 or hidden.shape[1] != head.in_features:
            raise ValueError(
                f"dense MultiMix needs a last map (N, {head.in_features}, H, W) for the classifier, found "
                f"{tuple(hidden.shape)}; pass dense=False for this model"
            )
        work = torch.promote_types(hidden.dtype, torch.float32)
        with torch.autocast(hidden.device.type, enabled=False):
            hidden, targets = hidden.to(work), targets.to(work)
            maps, kernel = hidden.flatten(2), head.weight.to(work)
            if "attention" in draws:
                attention = _checked_attention(draws["attention"].to(maps), (len(maps), maps.shape[2]))
            else:
                attention = self.attention_of(hidden, head, targets)
            logits = torch.einsum("kdr,cd->krc", maps, kernel)
            if head.bias is not None:
                logits = logits + head.bias.to(work)
            return self._by_chunks(
                _sum_of_dense_losses,
                draws["weights"].to(hidden.device, work),
                logits,
                targets,
                attention,
                positions=maps.shape[2],
            )

    def _by_chunks(
        self, sum_of_losses: Callable[..., Tensor], weights: Tensor, *others: Tensor, positions: int = 1
    ) -> Tensor:
        """The mean loss of all tuples and positions, from the sums of those that are in memory at once."""
        chunks = weights.split(max(1, self.chunk_size // positions))
        if len(chunks) == 1:
            total = sum_of_losses(weights, *others)
        else:
            again = partial(checkpoint, sum_of_losses, use_reentrant=False, preserve_rng_state=False)
            total = torch.stack([again(chunk, *others) for chunk in chunks]).sum()
        return total / (len(weights) * positions)


def _sum_of_losses(weights: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
    """weights (n, N), logits (N, K), targets (N, K) -> () over n tuples."""
    return cross_entropy(weights @ logits, weights @ targets).sum()


def _sum_of_dense_losses(weights: Tensor, logits: Tensor, targets: Tensor, attention: Tensor) -> Tensor:
    """weights (n, N), logits (N, R, K), targets (N, K), attention (N, R) -> () over n tuples and R positions."""
    shares = _normalised(weights.unsqueeze(2) * attention, dim=1)
    mixed_logits = torch.einsum("nkr,krc->nrc", shares, logits)
    mixed_targets = torch.einsum("nkr,kc->nrc", shares, targets)
    return cross_entropy(mixed_logits.flatten(0, 1), mixed_targets.flatten(0, 1)).sum()


def _check_weights(count: int, name: str, weights: Tensor) -> None:
    if weights.ndim != 2 or weights.shape[1] != count:
        raise ValueError(f"draw {name} must be (num_tuples, {count}), got {tuple(weights.shape)}")
    check_law(name, weights, WEIGHT)


def _checked_attention(given: Tensor, shape: tuple[int, int]) -> Tensor:
    if given.shape != shape:
        raise ValueError(
            f"draw attention must be {shape}, a weight for each image and position, got {tuple(given.shape)}"
        )
    return _normalised(given, dim=1)


def _normalised(values: Tensor, dim: int) -> Tensor:
    """Scaled to sum to 1 along `dim`; where all are 0 they stay 0, and count nothing."""
    total = values.sum(dim=dim, keepdim=True)
    return values / torch.where(total > 0, total, 1.0)
