"""Eight Gaussians: what is counted, what the discriminator is shown, and that a training follows from its seed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.nets import seeded
from train.generator import gaussians
from train.generator.gaussians import Settings, centres, count_modes, draw_real, summary, train_generator
from train.generator.training import told_apart

TINY = Settings(num_steps=20, width=8, batch_size=8, discriminator_steps=1)


def test_the_mixture_itself_has_all_modes_and_good_samples() -> None:
    real = draw_real(2_000, 0.02, seeded(0))
    found = count_modes(real, 0.02)
    assert found["modes"] == 8
    # a Gaussian of the plane lies within three deviations with 1 - exp(-9 / 2)
    assert abs(found["good"] - (1 - math.exp(-4.5))) < 0.01
    assert torch.allclose(centres().norm(dim=1), torch.tensor(2.0))


def test_a_mode_counts_from_a_tenth_of_its_share_on_and_only_good_samples_count() -> None:
    """Of 800 samples 100 would be each mode's: ten good ones find it, nine do not."""
    near, off = centres()[0], torch.zeros(2)
    samples = [*[near] * 10, *[centres()[1]] * 9, *[centres()[2] + torch.tensor([0.0, 0.07])] * 100]
    samples += [off] * (800 - len(samples))
    assert count_modes(torch.stack(samples), 0.02) == {"modes": 1.0, "good": pytest.approx(19 / 800)}


def test_the_second_half_of_a_training_tells_how_steady_it_was() -> None:
    looks = [{"modes": float(modes), "good": modes / 8} for modes in (8, 8, 2, 6)]
    found = summary(looks)
    assert found["modes"] == 6
    assert found["modes_least"] == 2
    assert found["modes_second_half"] == 4
    assert found["good_second_half"] == 0.5


def test_with_mixup_the_discriminator_sees_mixtures_and_tells_how_real_each_is() -> None:
    real, drawn = torch.ones(500, 2), torch.zeros(500, 2)
    seen, goal = told_apart(0.2, real, drawn, seeded(1))
    assert torch.allclose(seen, goal[:, None].expand(-1, 2))
    # Beta(0.2, 0.2): mean 1/2, variance 1 / (4 * 1.4)
    assert abs(float(goal.mean()) - 0.5) < 0.06
    assert abs(float(goal.var()) - 1 / 5.6) < 0.02
    seen, goal = told_apart(0.0, real, drawn, seeded(1))
    assert torch.equal(seen[:, 0], goal)
    assert goal.sum() == 500


def test_a_training_follows_from_its_seed_and_mixup_changes_it() -> None:
    first, same = train_generator(TINY), train_generator(TINY)
    assert len(first) == 20
    assert all(torch.equal(one, other) for one, other in zip(first, same, strict=True))
    for changed in (replace(TINY, seed=1), replace(TINY, mixup=0.2)):
        assert not torch.equal(first[-1], train_generator(changed)[-1])


def test_the_command_leaves_numbers_and_a_picture(tmp_path: Path) -> None:
    words = ["--num_steps", "20", "--width", "8", "--folder", str(tmp_path)]
    assert gaussians.main(words) == 0
    folder = tmp_path / "gaussians"
    found = json.loads((folder / "numbers.json").read_text())["parts"]["gaussians"]["last"]
    assert set(found) == {"modes", "good", "modes_second_half", "good_second_half", "modes_least"}
    assert (folder / "samples.png").stat().st_size
    with pytest.raises(ValueError, match="num_steps must be 20 or more, to look so often, got 19"):
        gaussians.main(["--num_steps", "19"])
