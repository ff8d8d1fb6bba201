"""The default type and device of torch, which a user sets for a program of his own, change no objective, no attack."""

import subprocess
import sys

DEFAULTS = """
import copy
import torch
from tests.helpers.nets import NUM_CLASSES, preact, seeded
from tests.train.objectives.test_given_draws import ATTACKS, OBJECTIVES, batch_of
from train.attacks import attack_classes, dlr

batch = batch_of()
network = preact()
usual = {name: objective for name, objective in OBJECTIVES.items() if objective.num_outputs(NUM_CLASSES) == NUM_CLASSES}
states = {name: objective.setup(network, 100, NUM_CLASSES) for name, objective in usual.items()}

def step(name, draws):
    model, state = copy.deepcopy(network), copy.deepcopy(states[name])
    loss, metrics = usual[name](model, batch, state, draws)
    loss.backward()
    slopes = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    return {"loss": loss.detach(), **metrics, **slopes}

def everything():
    found = {}
    for name, objective in usual.items():
        draws = objective.draw(batch, seeded())
        given = {key: value.tolist() for key, value in draws.items()}
        steps = {"draws": draws, "drawn": step(name, draws), "own": step(name, None), "given": step(name, given)}
        found |= {f"{name} {kind} {key}": value for kind, of_step in steps.items() for key, value in of_step.items()}
    model = copy.deepcopy(network).eval()
    for name, attack in ATTACKS.items():
        found[name] = attack(batch.images, lambda x: dlr(model(x), batch.targets), generator=seeded())
    found["targeted"] = attack_classes(ATTACKS["apgd"], batch.images, model, batch.targets, generator=seeded())
    return found

expected = everything()
torch.set_default_dtype(torch.float64)
for device in ("cpu", "meta"):
    torch.set_default_device(device)
    found = everything()
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        other = found[name]
        assert other.device.type == "cpu", (name, device)
        assert one.dtype == other.dtype, (name, one.dtype, other.dtype)
        torch.testing.assert_close(other, one, rtol=0, atol=0, equal_nan=True, msg=name)
"""


def test_the_default_type_and_device_of_torch_change_no_objective_and_no_attack() -> None:
    """In a process of its own, as they hold for all of one."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", DEFAULTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
