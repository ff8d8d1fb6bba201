"""Wrong input to a mix gets one clear line that says what to do."""

import numpy as np
import pytest
import torch

import mixdali
from mixdali import Choose, CutMix, MixUp, Plan, derive_seed, one_hot

IMAGES, TARGETS = torch.zeros(4, 3, 5, 6), torch.eye(4)


@pytest.mark.parametrize("method", [MixUp, CutMix])
def test_settings_out_of_range(method: type) -> None:
    for alpha in (0, -1, float("inf"), float("nan"), "1"):
        with pytest.raises(ValueError, match=r"alpha must be a number above 0, got .*; not to mix at all, use prob=0"):
            method(alpha=alpha)
    for prob in (-0.1, 1.1, None):
        with pytest.raises(ValueError, match=f"{method.__name__}: prob must be a number from 0 to 1"):
            method(prob=prob)
    with pytest.raises(ValueError, match="per must be one of 'image', 'batch', 'pair', got 'elem'"):
        method(per="elem")
    with pytest.raises(ValueError, match=r"partner must be one of .* got 'random'"):
        method(partner="random")
    with pytest.raises(TypeError):
        method(0.2)


def test_choose_without_a_choice() -> None:
    for mixes in ([], [None], ["mixup"]):
        with pytest.raises(TypeError, match="Choose: mixes must be a list of one or more methods"):
            Choose(mixes)
    for weights in ([1], [1, -1], [0, 0], [1, float("inf")]):
        with pytest.raises(ValueError, match="Choose: weights must be 2 numbers from 0 up, not all 0"):
            Choose([MixUp(), CutMix()], weights)


def test_what_is_not_a_batch() -> None:
    with pytest.raises(TypeError, match=r"got numpy\.ndarray; turn arrays into tensors with torch\.from_numpy"):
        MixUp()(np.zeros((4, 3, 5, 6), np.float32), TARGETS)
    with pytest.raises(TypeError, match=r"images must be a float tensor .* got torch.uint8 .* mixdali\.to_float"):
        MixUp()(IMAGES.to(torch.uint8), TARGETS)
    with pytest.raises(TypeError, match=r"images must be a float tensor \(N, C, H, W\), got .* \(3, 5, 6\)"):
        CutMix()(IMAGES[0], TARGETS)
    with pytest.raises(TypeError, match=r"images must be uint8 or float, got torch.int64"):
        mixdali.to_float(IMAGES.long())
    with pytest.raises(ValueError, match="layout of torch tensors must be one of 'CHW', got 'HWC'"):
        MixUp()(IMAGES, TARGETS, layout="HWC")


def test_labels_where_targets_belong() -> None:
    for targets in (torch.arange(4), torch.arange(4).float(), [0, 1, 2, 3]):
        with pytest.raises(TypeError, match=r"targets must be probabilities .* use mixdali\.one_hot"):
            MixUp()(IMAGES, targets)
    with pytest.raises(ValueError, match="a row for each of the 4 images, got 3"):
        MixUp()(IMAGES, TARGETS[:3])


def test_one_hot_of_what_is_no_label() -> None:
    with pytest.raises(TypeError, match=r"labels must be integers \(N,\), got torch.float32"):
        one_hot(torch.rand(4), 10)
    with pytest.raises(TypeError, match=r"labels must be integers \(N,\), got torch.int64 \(4, 1\)"):
        one_hot(torch.zeros(4, 1, dtype=torch.long), 10)
    for num_classes in (0, 2.0, True):
        with pytest.raises(ValueError, match="num_classes must be a whole number above 0"):
            one_hot(torch.arange(2), num_classes)
    with pytest.raises(ValueError, match=r"smoothing must be a number from 0 to 1, got 1\.5"):
        one_hot(torch.arange(2), 2, smoothing=1.5)


def test_plans_that_lack_something() -> None:
    plan = Plan(torch.tensor([1, 0, 3, 2]), torch.full((4,), 0.5))
    with pytest.raises(ValueError, match=r"CutMix needs plan\.box"):
        CutMix().apply(IMAGES, TARGETS, plan)
    box = torch.tensor([[0, 0, 2, 2]] * 4)
    with pytest.raises(ValueError, match=r"CutMix needs plan\.lam, and every layer's share, to mix targets"):
        CutMix().apply(IMAGES, TARGETS, Plan(plan.partner, None, box, torch.zeros(4)))
    with pytest.raises(ValueError, match=r"plan\.weight must be given"):
        Choose([MixUp(), CutMix()]).apply(IMAGES, TARGETS, plan)


def test_draws_of_unknown_names_and_generators_of_the_wrong_kind() -> None:
    with pytest.raises(TypeError, match=r"no draw is called gamma; this mix draws lam, partner \(nearest: lam\)"):
        MixUp().draw(IMAGES, gamma=0.5)
    with pytest.raises(TypeError, match=r"rng must be a torch\.Generator on the CPU.* got 0"):
        MixUp().draw(IMAGES, rng=0)


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = Choose([MixUp(), CutMix()], prob=0.5).draw(IMAGES)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(0)
    second = Choose([MixUp(), CutMix()], prob=0.5).draw(IMAGES)
    assert not (torch.equal(first.lam, second.lam) and torch.equal(first.partner, second.partner))


def test_the_same_generator_gives_the_same_draws() -> None:
    def draw() -> Plan:
        return Choose([MixUp(), CutMix()], prob=0.5).draw(IMAGES, rng=torch.Generator().manual_seed(3))

    assert all(
        torch.equal(getattr(draw(), name), getattr(draw(), name)) for name in ("partner", "lam", "box", "weight")
    )


def test_seeds_are_told_apart_by_name_and_are_the_same_everywhere() -> None:
    seeds = [derive_seed(0), derive_seed(1), derive_seed(0, "a"), derive_seed(0, "b"), derive_seed(0, "a", "b")]
    seeds += [derive_seed(0, 1), derive_seed(0, "1"), derive_seed(0, "a", 1)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**62 for seed in seeds)
    assert derive_seed(0, "mix", 0) == 2116082768141922756
    with pytest.raises(TypeError, match=r"seed must be an int, got 0\.5"):
        derive_seed(0.5)
