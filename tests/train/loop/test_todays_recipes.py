"""The small variants of ImageNet's recipes, in two processes: stopped within an epoch they go on to the byte."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.processes import torchrun

RECIPES = ("imagenet_rn50", "wightman2021resnet", "leclerc2023ffcv", "touvron2021training")

# What one process of two does: nine steps of two epochs at once; and again, stopped after the third and after the
# seventh. Then all that was learned must be equal.
WORKER = """
import json, sys
from dataclasses import replace
import torch
from train.cli.main import find_recipe
from train.data.loaders import train_loader
from train.data.sources import prepare_sources, read_sources
from train.loop.epochs import make_batch, train_step
from train.loop.state import new_state
from train.machine.distributed import open_world
from train.machine.run import Run

root, out, *names = sys.argv[1:]

def run(recipe, sources, world, stops):
    loader = train_loader(recipe, Run(num_threads=1), sources, world, recipe.objective.outputs)
    state = new_state(recipe, sources, world, len(loader))
    while state.step < 9:
        for raw in loader:
            train_step(recipe, state, make_batch(raw, state.epoch, state.step, world.device), world)
            if state.step == 9:
                return state, raw.images
            if state.step in stops:
                saved = state.to_checkpoint(loader, world)
                stops = stops[1:]
                loader = train_loader(recipe, Run(num_threads=1), sources, world, recipe.objective.outputs)
                state = new_state(recipe, sources, world, len(loader))
                state.load_checkpoint(saved, loader, world)
                break
        else:
            state.epoch, state.epoch_step = state.epoch + 1, 0

same = {}
with open_world("cpu") as world:
    for name in names:
        recipe = replace(find_recipe(name, "small")[1], batch_size=8, precision="float32", num_images=None)
        if recipe.progressive is not None:  # another size in the second epoch
            recipe = replace(recipe, progressive=replace(recipe.progressive, sides=((0, 32), (1, 48))))
        sources = prepare_sources(recipe, read_sources(recipe.data, root), root)
        (whole, images), (broken, others) = (run(recipe, sources, world, stops) for stops in ((), (3, 7)))
        pairs = [(whole.model, broken.model)] + ([] if whole.ema is None else [(whole.ema.module, broken.ema.module)])
        equal = torch.equal(images, others)
        for first, second in pairs:
            equal &= all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values()))
        same[name] = bool(equal)
    if world.is_main:
        open(out, "w").write(json.dumps(same))
"""


@pytest.mark.long
def test_they_go_on_to_the_byte_in_two_processes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        path = tmp_path / "data" / ("train" if number < 48 else "val") / "abc"[number % 3] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((70 + number, 90), Image.Resampling.BICUBIC).save(path)
    (tmp_path / "worker.py").write_text(WORKER)
    out = tmp_path / "same.json"
    done = torchrun(str(tmp_path / "worker.py"), str(tmp_path / "data"), str(out), *RECIPES, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(out.read_text()) == dict.fromkeys(RECIPES, True)
