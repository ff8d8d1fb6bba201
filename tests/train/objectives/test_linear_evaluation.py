"""Linear evaluation: one layer begins anew and learns; all before it stays as it was, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tests.helpers.training import ALONE, TINY, new_training, run_steps
from train.files.checkpoint import save
from train.loop.epochs import make_batch, train_step
from train.objectives import LinearEvaluation
from train.objectives.parts.hidden import classifier

LINEAR = replace(TINY, mix=None, objective=LinearEvaluation(), weight_decay=0.0, ema_decay=None)


def test_only_the_last_layer_learns_and_it_begins_anew(tmp_path: Path) -> None:
    before = run_steps(replace(TINY, ema_decay=None), 2)
    save(tmp_path / "last.pt", before.state.to_checkpoint(before.train, ALONE))
    recipe = replace(LINEAR, weights=str(tmp_path / "last.pt"))
    training = new_training(recipe)
    layer = classifier(training.state.model)
    first = {name: value.clone() for name, value in training.state.model.state_dict().items()}
    for epoch in range(2):
        for raw in training.train:
            train_step(recipe, training.state, make_batch(raw, epoch, training.state.step, ALONE.device), ALONE)
    after = training.state.model.state_dict()
    moved = {name for name in first if not torch.equal(first[name], after[name])}
    own = {
        name for name, value in training.state.model.named_parameters() if value is layer.weight or value is layer.bias
    }
    assert moved == own
    old = before.state.model.state_dict()
    assert {name for name in old if not torch.equal(old[name], first[name])} == own
