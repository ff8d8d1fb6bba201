"""Reaching into networks: stages have names, a change takes part in the forward pass, and no hook stays behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from tests.helpers.nets import count_hooks, plain, preact, seeded
from train.models import Normalise, PreActResNet
from train.objectives.parts.draws import draw_beta, draw_dirichlet, draw_lam, draw_permutation, host_generator
from train.objectives.parts.hidden import (
    bare,
    changed,
    classifier,
    find_stage,
    mix,
    pick_stage,
    recorded,
    recorded_map,
    stages,
)


def images(count: int = 4, size: int = 16) -> Tensor:
    return torch.rand(count, 3, size, size, generator=seeded(1), dtype=torch.float64)


class LikeTimm(nn.Module):
    """The outline of timm's staged networks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2, stride=2)
        self.stages = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 2, stride=2))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)).mean(dim=(2, 3)))


def double(hidden: Tensor) -> Tensor:
    return 2 * hidden


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("preact_resnet8_w4", ["1.blocks.0", "1.blocks.1", "1.blocks.2"]),
        ("preact_resnet18_w4", ["1.blocks.1", "1.blocks.3", "1.blocks.5", "1.blocks.7"]),
        ("resnet18", ["1.layer1", "1.layer2", "1.layer3", "1.layer4"]),
        ("convnext_tiny", ["1.features.1", "1.features.3", "1.features.5", "1.features.7"]),
        ("mobilenet_v3_small", [f"1.features.{place}" for place in (0, 1, 3, 8, 12)]),
    ],
)
def test_the_stages_of_known_networks_end_before_the_resolution_falls(name: str, ends: list[str]) -> None:
    with torch.device("meta"):
        network: nn.Module
        if name.startswith("preact"):
            network = PreActResNet((1, 1, 1) if "8_" in name and "18" not in name else (2, 2, 2, 2), 4, 5)
        else:
            network = torchvision.models.get_model(name)
    model = nn.Sequential(Normalise((0.5,), (0.5,)), network)
    names = {module: name for name, module in model.named_modules()}
    found = stages(model)
    assert list(found) == ["input", *(f"stage{number + 1}" for number in range(len(ends)))]
    assert [names[module] for module in list(found.values())[1:]] == ends
    assert names[found["input"]] == "0"


def test_a_vision_transformer_has_a_stage_after_each_layer() -> None:
    with torch.device("meta"):
        network = torchvision.models.vit_b_16()
    assert len(stages(network)) == 1 + 12


def test_other_networks_have_stages_too() -> None:
    assert list(stages(LikeTimm())) == ["input", "stage1", "stage2"]
    net = plain()
    assert list(stages(net).values())[1:] == [net.first, net.third]


def test_a_module_s_own_name_is_a_stage_with_and_without_the_normalisation() -> None:
    model = preact()
    assert find_stage(model, "1.blocks.0.conv1") is find_stage(model, "blocks.0.conv1") is model[1].blocks[0].conv1


def test_an_unknown_stage_is_answered_with_those_there_are() -> None:
    with pytest.raises(
        ValueError, match="PreActResNet has no stage 'stage7'; there are: input, stage1, stage2, stage3;"
    ):
        find_stage(preact(), "stage7")
    with pytest.raises(ValueError, match=r"layer must be from 0 to 1.*got 2"):
        pick_stage(("input", "stage1"), torch.tensor(2))


def test_the_network_goes_on_with_what_the_change_gives() -> None:
    net, x = plain(), images(size=12)
    with changed(net, "second", double):
        found = net(x)
    torch.testing.assert_close(found, net.head(net.flat(net.third(2 * net.second(net.first(x))))))
    with changed(net, "input", double):
        found = net(x)
    torch.testing.assert_close(found, net(2 * x))


def test_the_input_is_what_comes_out_of_the_normalisation() -> None:
    model, x = preact().eval(), images()
    with changed(model, "input", double):
        found = model(x)
    torch.testing.assert_close(found, model[1](2 * model[0](x)))


def test_gradients_flow_through_the_change() -> None:
    net, x, scale = plain(), images(size=12), torch.ones((), dtype=torch.float64, requires_grad=True)
    with changed(net, "first", lambda hidden: scale * hidden):
        out = net(x)
    out.sum().backward()
    expected = torch.autograd.grad(net.head(net.flat(net.third(net.second(net.first(x))))).sum(), net.first.weight)[0]
    torch.testing.assert_close(net.first.weight.grad, expected)
    assert scale.grad is not None


def test_no_hook_stays_behind_whatever_happens() -> None:
    model, x = preact(), images()

    def breaks(hidden: Tensor) -> Tensor:
        raise KeyboardInterrupt

    for stage in ("input", "stage2"):
        with changed(model, stage, double):
            assert count_hooks(model) == 1
            model(x)
        with pytest.raises(KeyboardInterrupt), changed(model, stage, breaks):
            model(x)
    with recorded(model[1].head), pytest.raises(RuntimeError):
        model(x[:, :2])
    assert count_hooks(model) == 0


def test_a_stage_that_does_not_run_once_is_refused() -> None:
    net, x = plain(), images(size=12)
    with pytest.raises(ValueError, match="stage 'first' ran 0 times"), changed(net, "first", double):
        pass
    with pytest.raises(ValueError, match="stage 'first' ran 2 times"), changed(net, "first", double):
        net(x), net(x)
    assert count_hooks(net) == 0


def test_only_tensors_can_be_changed() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    net = nn.Sequential(Pair())
    with pytest.raises(ValueError, match="stage '0' gives a tuple"), changed(net, "0", double):
        net(images())


def compiled(net: nn.Module) -> Any:
    return torch.compile(net, backend="eager")


@pytest.mark.filterwarnings("ignore:.*torch._dynamo.*:FutureWarning")
@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("wrap", ["compiled", "parallel", "compiled in parallel", "parallel in compiled"])
def test_wrappers_see_the_change_and_nothing_of_it_later(wrap: str) -> None:
    net, x = plain(), images(size=12)
    parallel = nn.parallel.DistributedDataParallel
    wrapped = {
        "compiled": lambda: compiled(net),
        "parallel": lambda: parallel(net),
        "compiled in parallel": lambda: parallel(compiled(net)),
        "parallel in compiled": lambda: compiled(parallel(net)),
    }[wrap]()
    assert bare(wrapped) is net
    usual = wrapped(x)
    for stage in ("input", "stage1"):
        with changed(net, stage, double):
            expected = net(x)
        with changed(wrapped, stage, double):
            torch.testing.assert_close(wrapped(x), expected)
        assert not torch.equal(expected, usual)
    torch.testing.assert_close(wrapped(x), usual)


def test_the_mixture_weighs_the_own_row_with_lam() -> None:
    rows, partner = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64), torch.tensor([1, 2, 0])
    expected = torch.tensor([[1.75], [3.5], [1.75]], dtype=torch.float64)
    torch.testing.assert_close(mix(rows, partner, torch.tensor(0.25)), expected)
    torch.testing.assert_close(mix(rows, partner, torch.tensor([0.25, 1.0, 0.0]))[:, 0], expected.new([1.75, 2, 1]))


def test_half_precision_is_mixed_in_single_precision() -> None:
    rows = torch.tensor([[100.0], [101.0]], dtype=torch.bfloat16)
    lam = torch.tensor(0.3, dtype=torch.float64)
    found = mix(rows, torch.tensor([1, 0]), lam)
    assert found.dtype == torch.bfloat16
    # The nearest bfloat16 numbers to 100.7 and 100.3.
    assert found[:, 0].tolist() == [100.5, 100.5]


def test_gradients_reach_both_parents() -> None:
    rows = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    mix(rows, torch.tensor([1, 0]), torch.tensor(0.3))[0].sum().backward()
    torch.testing.assert_close(rows.grad, torch.tensor([[0.3], [0.7]], dtype=torch.float64))


@pytest.mark.parametrize("name", ["preact_resnet8_w4", "resnet18"])
def test_the_last_map_averages_to_what_the_classifier_sees(name: str) -> None:
    model = preact(name)
    with recorded_map(model) as maps, recorded(classifier(model), inputs=True) as embeddings:
        model(images(size=64))
    torch.testing.assert_close(maps[0].mean(dim=(2, 3)), embeddings[0])
    assert bool((maps[0] >= 0).all())
    assert count_hooks(model) == 0


def test_a_network_without_pooling_has_no_last_map() -> None:
    with pytest.raises(ValueError, match="Sequential has no pooling layer"), recorded_map(plain()):
        pass


def test_beta_draws_follow_their_law_also_at_tiny_alpha() -> None:
    draws = draw_beta(2, 5, seeded(), (20_000,))
    assert draws.dtype == torch.float64
    assert float(draws.mean()) == pytest.approx(2 / 7, abs=0.005)
    assert float(draws.var()) == pytest.approx(10 / (49 * 8), abs=0.001)
    tiny = draw_beta(1e-8, 1e-8, seeded(), (4_000,))
    assert set(tiny.tolist()) == {0.0, 1.0}
    assert float(tiny.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(draw_lam(0, seeded())) == 1


def test_dirichlet_draws_follow_their_law_also_at_tiny_alpha() -> None:
    draws = draw_dirichlet(torch.full((20_000,), 0.5), 4, seeded())
    torch.testing.assert_close(draws.sum(dim=1), torch.ones(20_000, dtype=torch.float64))
    torch.testing.assert_close(draws.mean(dim=0), torch.full((4,), 0.25, dtype=torch.float64), rtol=0, atol=0.01)
    # The variance of one weight is a (A - a) / A^2 (A + 1), with A the sum of the parameters.
    assert float(draws.var(dim=0).mean()) == pytest.approx(0.5 * 1.5 / (4 * 3), abs=0.002)
    tiny = draw_dirichlet(torch.full((100,), 1e-9), 4, seeded())
    assert bool(tiny.isfinite().all())
    torch.testing.assert_close(tiny.max(dim=1).values, torch.ones(100, dtype=torch.float64))


def test_any_permutation_can_be_drawn() -> None:
    generator = seeded()
    drawn = {tuple(draw_permutation(3, generator).tolist()) for _ in range(200)}
    assert len(drawn) == 6


def test_a_generator_on_the_cpu_is_its_own_host() -> None:
    generator = seeded()
    assert host_generator(generator) is generator


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_generator_on_a_gpu_has_a_repeatable_host() -> None:
    def numbers(generator: torch.Generator) -> list[float]:
        return [float(torch.rand((), generator=host_generator(generator))) for _ in range(3)]

    first = numbers(torch.Generator("cuda").manual_seed(1))
    assert len(set(first)) == 3
    assert numbers(torch.Generator("cuda").manual_seed(1)) == first
    assert numbers(torch.Generator("cuda").manual_seed(2)) != first
