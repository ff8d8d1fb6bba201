"""`mix.apply` on torch tensors: compiled as one graph, in any float type, with gradients."""

import pytest
import torch

from mixdali import Mix, Plan
from tests.helpers.methods import METHODS, PIXEL_METHODS

ALL = METHODS | PIXEL_METHODS
NUMBER, SIZE = 5, (7, 9)


def drawn(mix: Mix) -> tuple[torch.Tensor, torch.Tensor, Plan]:
    rng = torch.Generator().manual_seed(0)
    images, targets = torch.rand(NUMBER, 3, *SIZE, generator=rng), torch.eye(NUMBER)
    return images, targets, mix.draw(images, targets=targets, rng=rng)


@pytest.mark.parametrize("method", ALL)
def test_apply_compiles_as_one_graph_and_gives_the_same(method: str) -> None:
    torch.compiler.reset()
    mix = ALL[method]
    images, targets, plan = drawn(mix)
    compiled = torch.compile(mix.apply, backend="eager", fullgraph=True)
    for one, other in zip(compiled(images, targets, plan), mix.apply(images, targets, plan), strict=True):
        assert torch.equal(one, other)


def test_one_compiled_apply_serves_batch_after_batch() -> None:
    """New plans and a last batch of another size, without being compiled again for each."""
    torch.compiler.reset()
    mix, graphs = METHODS["choose-all"], []

    def backend(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    compiled = torch.compile(mix.apply, backend=backend, fullgraph=True)
    rng = torch.Generator().manual_seed(0)
    for number in (8, 8, 8, 6, 7, 5):
        images, targets = torch.rand(number, 3, *SIZE, generator=rng), torch.eye(number)
        plan = mix.draw(images, rng=rng)
        torch.testing.assert_close(compiled(images, targets, plan), mix.apply(images, targets, plan), rtol=0, atol=1e-6)
    assert len(graphs) <= 2


@pytest.mark.parametrize("method", ALL)
def test_images_and_targets_keep_their_float_type(method: str) -> None:
    mix = ALL[method]
    images, targets, plan = drawn(mix)
    exact, _ = mix.apply(images.double(), targets, plan)
    for dtype, tolerance in ((torch.float64, 0), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
        mixed, soft = mix.apply(images.to(dtype), targets.double(), plan)
        assert mixed.dtype == dtype
        assert soft.dtype == torch.float64
        torch.testing.assert_close(mixed.double(), exact, rtol=0, atol=tolerance)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_flow_back_by_the_weights(method: str) -> None:
    """The sum of a mixed batch's pixels times c[n] has, for every own pixel, the gradient that its shares add up to."""
    mix = METHODS[method]
    images, targets, plan = drawn(mix)
    images, weight = images.double().requires_grad_(), torch.arange(1.0, NUMBER + 1, dtype=torch.float64)
    mixed, soft = mix.apply(images, targets.double(), plan)
    (mixed * weight[:, None, None, None]).sum().backward()
    # every mixed image hands out as much as it has pixels, by the shares of its target
    pixels = 3 * SIZE[0] * SIZE[1]
    torch.testing.assert_close(images.grad.sum((1, 2, 3)), pixels * weight @ soft, rtol=0, atol=1e-4)
    assert torch.isfinite(images.grad).all()


@pytest.mark.parametrize("method", ALL)
def test_apply_draws_nothing_and_leaves_what_it_is_given(method: str) -> None:
    mix = ALL[method]
    images, targets, plan = drawn(mix)
    before = [value.clone() for value in (images, targets, *plan.parts().values())]
    state = torch.get_rng_state()
    first, second = mix.apply(images, targets, plan), mix.apply(images, targets, plan)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    after = (images, targets, *plan.parts().values())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert torch.equal(state, torch.get_rng_state())
