"""What takes many minutes to see; `make test-long` runs it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.sources.files import read_cifar
from tests.helpers.evaluations import Linear, classifier, grey_images, held_out, package_network, tensor_of
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


FULL: dict[str, dict[str, Any]] = {
    "plus": {"version": "plus"},
    "rand": {"version": "rand"},
    "L1": {"norm": "L1", "eps": 0.05},
    "passes": {"version": "custom", "attacks": ("apgd-ce", "apgd-t"), "passes": 3},
}


@pytest.mark.parametrize("case", FULL.values(), ids=FULL)
def test_every_version_is_the_package_at_its_full_settings(case: dict[str, Any]) -> None:
    """Of a small network, where some images withstand all attacks and others do not; the images too."""
    package = pytest.importorskip("pyautoattack", reason="needs pyautoattack")
    source, network = grey_images(24), classifier(Linear())
    ensemble = auto.Ensemble(**({"eps": 0.5 / 255} | case))
    kept: dict[str, torch.Tensor] = {}
    found = auto.measure_autoattack({"n": network}, held_out(source), ensemble, seed=3, keep=kept.__setitem__)["n"]
    attacks = list(ensemble.attacks) or None
    settings: dict[str, Any] = {"eps": ensemble.eps, "norm": ensemble.norm, "seed": 3, "attacks": attacks}
    attack = package.AutoAttack(network, version=ensemble.version, **settings)
    attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = 3
    if ensemble.passes is not None:
        attack.apgd.eot_iter = attack.apgd_targeted.eot_iter = ensemble.passes
    images = torch.cat([batch.images for batch in held_out(source)])
    labels = torch.tensor(np.array(source.labels)).long()
    with torch.random.fork_rng():
        reached, guesses = attack.run_standard_evaluation(images, labels, batch_size=16)
    assert found["robust"] == (guesses == labels).long().tolist()
    assert torch.equal(kept["n"], reached)
    assert 0 < found["accuracy"] < found["after"]["clean"]


def test_memory_does_not_grow_over_a_thousand_steps_of_pgd_10() -> None:
    world = World(torch.device("cpu"))
    recipe = replace(madry2018towards.small, model="preact_resnet8_w8", batch_size=32, num_images=2000)
    recipe = replace(recipe, precision=resolve_precision("auto", world.device))
    sources = prepare_sources(recipe, read_sources("cifar", None), None)
    loader = train_loader(recipe, Run(device="cpu", num_threads=1), sources, world, recipe.objective.outputs)
    state = new_state(recipe, sources, world, len(loader))
    stretch = run_steps(recipe, state, loader, world, 1000)
    assert stretch.late - stretch.early < 10
