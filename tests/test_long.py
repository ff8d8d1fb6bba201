"""What takes many minutes to see; `make test-long` runs it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.sources.files import read_cifar
from tests.helpers.evaluations import classifier, held_out, package_network, tensor_of
from train.bench.memory import run_steps
from train.data.loaders import train_loader
from train.data.sources import prepare_sources, read_sources
from train.evaluate.parts import auto
from train.loop.state import new_state
from train.machine.distributed import World
from train.machine.precision import resolve_precision
from train.machine.run import Run
from train.recipes import madry2018towards

pytestmark = pytest.mark.long


@pytest.mark.parametrize(("eps", "survivors"), [(0.5 / 255, True), (8 / 255, False)], ids=["0.5", "8"])
def test_autoattack_is_the_package_at_its_full_settings(
    eps: float, survivors: bool, shared_data: Callable[[str], Path]
) -> None:
    """Within 0.5 / 255 some images withstand all four attacks, within 8 / 255 none does."""
    package = pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    module = package_network()
    source = read_cifar(shared_data("cifar10/cifar-10-python.tar.xz"), "test").select(np.arange(4, 8))
    images, labels = tensor_of(source.items), torch.tensor(np.array(source.labels)).long()
    networks = {"n": classifier(module)}
    ensemble = auto.Ensemble(eps=eps)
    (found,) = auto.measure_autoattack(networks, held_out(source, 10, batch_size=4), ensemble, seed=3).values()
    attack = package.AutoAttack(module, version="standard", eps=eps, norm="Linf", seed=3)
    with torch.random.fork_rng():
        _, guesses = attack.run_standard_evaluation(images, labels, batch_size=4)
    assert found["robust"] == (guesses == labels).long().tolist()
    assert (found["accuracy"] > 0) == survivors


def test_memory_does_not_grow_over_a_thousand_steps_of_pgd_10() -> None:
    world = World(torch.device("cpu"))
    recipe = replace(madry2018towards.small, model="preact_resnet8_w8", batch_size=32, num_images=2000)
    recipe = replace(recipe, precision=resolve_precision("auto", world.device))
    sources = prepare_sources(recipe, read_sources("cifar", None), None)
    loader = train_loader(recipe, Run(device="cpu", num_threads=1), sources, world, recipe.objective.outputs)
    state = new_state(recipe, sources, world, len(loader))
    stretch = run_steps(recipe, state, loader, world, 1000)
    assert stretch.late - stretch.early < 10
