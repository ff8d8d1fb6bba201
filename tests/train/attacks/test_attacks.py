"""Attacks: the authors' images with given draws, what holds for every attack, and mistakes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.helpers.adversarial import adam_attack, kl_sum, rice_attack, trades_attack
from tests.helpers.attack_cases import EPS, L2, LINF, every_attack, uniform
from tests.helpers.nets import NUM_CLASSES, make_batch, plain, preact, seeded
from train.attacks import APGD, FGSM, PGD, Attack, attacked, margin
from train.attacks.attack import gradient
from train.objectives.cross_entropy import cross_entropy


def inside(norm: str, eps: float, count: int = 6, size: int = 12, seed: int = 3) -> Tensor:
    """Starts as the authors draw them in L2: a direction, and a share of the radius."""
    if norm == "Linf":
        return uniform(count, 3, size, size, width=eps, seed=seed)
    noise = torch.randn(count, 3, size, size, generator=seeded(seed), dtype=torch.float64)
    share = torch.rand(count, 1, 1, 1, generator=seeded(seed + 1), dtype=torch.float64)
    return noise * share / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1) * eps


def test_it_finds_the_images_of_rice_et_al() -> None:
    batch = make_batch()
    assert batch.labels is not None
    for attack in (LINF, L2):
        model, start = preact().eval(), inside(attack.norm, attack.eps)
        found = attack(batch.images, lambda x, m=model: cross_entropy(m(x), batch.targets), start=start)
        move = rice_attack(
            model,
            batch.images,
            batch.labels,
            [start],
            eps=attack.eps,
            step=attack.step_size,
            steps=attack.num_steps,
            norm=attack.norm,
        )
        torch.testing.assert_close(found, batch.images + move, rtol=0, atol=1e-8)


def test_of_several_restarts_each_image_gets_its_worst_as_rice_et_al_choose_it() -> None:
    batch, model = make_batch(), preact().eval()
    assert batch.labels is not None
    starts = torch.stack([inside("Linf", EPS, seed=seed) for seed in (3, 5, 7)])
    attack = PGD(eps=EPS, step_size=2 / 255, num_steps=3, restarts=3)
    found = attack(batch.images, lambda x: cross_entropy(model(x), batch.targets), start=starts)
    move = rice_attack(model, batch.images, batch.labels, list(starts), eps=EPS, step=2 / 255, steps=3)
    torch.testing.assert_close(found, batch.images + move, rtol=0, atol=1e-8)
    single = PGD(eps=EPS, step_size=2 / 255, num_steps=3)
    each = [single(batch.images, lambda x: cross_entropy(model(x), batch.targets), start=start) for start in starts]
    chosen = Counter(
        next(n for n, one in enumerate(each) if torch.equal(one[row], found[row])) for row in range(len(found))
    )
    assert len(chosen) > 1
    flat = attack(batch.images, lambda x: 0 * x.flatten(1).sum(1), start=starts)
    torch.testing.assert_close(flat, (batch.images + starts[-1]).clamp(0, 1))


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_it_finds_the_images_of_trades(norm: Any) -> None:
    batch, model = make_batch(), preact()
    start = 0.001 * torch.randn(batch.images.shape, generator=seeded(5), dtype=torch.float64)
    eps, steps = (0.031, 10) if norm == "Linf" else (0.5, 5)
    step = 0.007 if norm == "Linf" else 2 * eps / steps
    attack = PGD(
        norm=norm, eps=eps, step_size=step, num_steps=steps, start="gaussian", project_start=False, box_first=True
    )
    with attacked(model, "eval") as network:
        found = attack(batch.images, lambda x: kl_rows(network, x, batch.images), start=start)
    expected = trades_attack(model, batch.images, start, eps=eps, step=step, steps=steps, norm=norm)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def kl_rows(model: nn.Module, moved: Tensor, images: Tensor) -> Tensor:
    rows = F.kl_div(F.log_softmax(model(moved), dim=1), F.softmax(model(images), dim=1), reduction="none").sum(1)
    torch.testing.assert_close(rows.sum(), kl_sum(model, moved, images))
    return rows


def test_adam_steps_are_those_of_deepmind() -> None:
    batch, model = make_batch(), preact().eval()
    start, targets = uniform(6, 3, 12, 12), torch.rand(6, NUM_CLASSES, generator=seeded(1), dtype=torch.float64)
    targets = targets / targets.sum(1, keepdim=True)
    attack = PGD(eps=EPS, step_size=0.1, num_steps=10, step="adam", drops=(5,))
    found = attack(batch.images, lambda x: cross_entropy(model(x), targets), start=start)
    torch.testing.assert_close(found, adam_attack(model, batch.images, targets, start, eps=EPS), rtol=0, atol=1e-8)


def test_one_step_from_noise_is_the_one_of_fast_adversarial_training() -> None:
    batch, model, start = make_batch(), preact().eval(), uniform(6, 3, 12, 12)
    assert batch.labels is not None
    found = FGSM(eps=EPS, step_size=10 / 255)(
        batch.images, lambda x: cross_entropy(model(x), batch.targets), start=start
    )
    begin = (batch.images + start).clamp(0, 1).requires_grad_()
    (slopes,) = torch.autograd.grad(F.cross_entropy(model(begin), batch.labels), begin)
    move = (begin.detach() - batch.images + 10 / 255 * slopes.sign()).clamp(-EPS, EPS)
    torch.testing.assert_close(found, (batch.images + move).clamp(0, 1), rtol=0, atol=1e-8)


def test_n_fgsm_keeps_its_noise_and_is_only_cut_to_the_range_of_images() -> None:
    batch, model, start = make_batch(), preact().eval(), uniform(6, 3, 12, 12, width=2 * EPS)
    attack = FGSM(eps=EPS, step_size=EPS, noise=2.0, project=False)
    found = attack(batch.images, lambda x: cross_entropy(model(x), batch.targets), start=start)
    noisy = (batch.images + start).clamp(0, 1)
    _, slopes = gradient(lambda x: cross_entropy(model(x), batch.targets), noisy)
    torch.testing.assert_close(found, (noisy + EPS * slopes.sign()).clamp(0, 1), rtol=0, atol=1e-12)
    assert float((found - batch.images).abs().max()) > 1.5 * EPS
    drawn = attack.draw(batch.images, seeded())
    assert EPS < float(drawn.abs().max()) <= 2 * EPS


def edge_images(seed: int, count: int) -> Tensor:
    """Images of which many pixels are black or white."""
    return (1.6 * torch.rand(count, 2, 3, 4, generator=seeded(seed)) - 0.3).clamp(0, 1)


def curved(seed: int) -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.Tanh(), nn.Linear(8, NUM_CLASSES))
    generator = seeded(seed)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.7, generator=generator)
    return net


@every_attack
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 5), share=st.sampled_from([0.0, 0.3, 1.0, 4.0]))
def test_it_stays_in_the_ball_and_in_the_range_of_images(attack: Attack, seed: int, count: int, share: float) -> None:
    attack = type(attack)(**{**vars(attack), "eps": attack.eps * share})
    images, model = edge_images(seed, count), curved(seed)
    labels = torch.arange(count) % NUM_CLASSES
    loss = lambda x: F.cross_entropy(model(x), labels, reduction="none")  # noqa: E731
    found = attack(images, loss, generator=seeded(seed))
    assert found.shape == images.shape
    assert not found.requires_grad
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    move = (found - images).flatten(1)
    length = move.abs().amax(1) if attack.norm == "Linf" else move.norm(dim=1)
    assert float(length.max()) <= attack.eps * (1 + 1e-5) + 1e-7


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("make", [PGD, APGD])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 5), size=st.sampled_from([0.1, 1.0, 3.0]))
def test_the_best_is_never_below_the_start_and_more_steps_never_lower_it(
    make: Any, norm: Any, seed: int, steps: int, size: float
) -> None:
    images, model = edge_images(seed, 4).double(), curved(seed).double()
    labels = torch.arange(4)
    loss = lambda x: F.cross_entropy(model(x), labels, reduction="none")  # noqa: E731
    eps = 0.1 if norm == "Linf" else 0.5
    if make is PGD:
        attack: Attack = PGD(norm=norm, eps=eps, step_size=size * eps, num_steps=steps, keep="best")
        longer: Attack = PGD(norm=norm, eps=eps, step_size=size * eps, num_steps=steps + 3, keep="best")
        assert bool((loss(longer(images, loss, generator=seeded(1))) >= loss_of(attack, images, loss)).all())
    else:
        attack = APGD(norm=norm, eps=eps, num_steps=steps)
    begin = attack.draw(images, seeded(1))
    start = PGD(norm=norm, eps=eps, step_size=0.0, num_steps=0)(images, loss, start=begin)
    assert bool((loss_of(attack, images, loss) >= loss(start) - 1e-12).all())


def loss_of(attack: Attack, images: Tensor, loss: Any) -> Tensor:
    return loss(attack(images, loss, generator=seeded(1)))


@pytest.mark.parametrize("keep", ["last", "best"])
@pytest.mark.parametrize("start", ["uniform", "gaussian", "none"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_zero_steps_return_the_start(norm: Any, start: Any, keep: Any) -> None:
    images = 0.2 + 0.6 * torch.rand(4, 3, 5, 5, generator=seeded(), dtype=torch.float64)
    attack = PGD(norm=norm, eps=0.1, step_size=0.02, num_steps=0, start=start, keep=keep)
    drawn = attack.draw(images, seeded(4))
    found = attack(images, lambda x: x.flatten(1).sum(1), start=drawn)
    torch.testing.assert_close(found, images + drawn, rtol=0, atol=1e-12)
    assert (start == "none") == torch.equal(found, images)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), eps=st.sampled_from([0.02, 0.2, 1.0]))
def test_on_a_linear_loss_it_finds_the_optimum(seed: int, eps: float) -> None:
    images = edge_images(seed, 3).double()
    weights = torch.randn(images.shape, generator=seeded(seed + 1), dtype=torch.float64)
    loss = lambda x: (weights * x).flatten(1).sum(1)  # noqa: E731
    corner = torch.where(weights > 0, (images + eps).clamp(max=1), (images - eps).clamp(min=0))
    for attack in (
        FGSM(eps=eps, step_size=eps, noise=0.0),
        PGD(eps=eps, step_size=eps, num_steps=2),
        APGD(eps=eps, num_steps=2),
    ):
        torch.testing.assert_close(attack(images, loss, generator=seeded()), corner, rtol=0, atol=1e-12)


def test_on_a_linear_loss_in_l2_it_goes_along_the_weights() -> None:
    images = torch.full((3, 2, 4, 4), 0.5, dtype=torch.float64)
    weights = torch.randn(images.shape, generator=seeded(), dtype=torch.float64)
    best = images + 0.3 * weights / weights.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    loss = lambda x: (weights * x).flatten(1).sum(1)  # noqa: E731
    for attack in (
        PGD(norm="L2", eps=0.3, step_size=0.3, num_steps=40),
        APGD(norm="L2", eps=0.3, num_steps=100),
    ):
        found = attack(images, loss, generator=seeded())
        torch.testing.assert_close(found, best, rtol=0, atol=1e-3)
    one = PGD(norm="L2", eps=0.3, step_size=0.3, num_steps=1, start="none")(images, loss)
    torch.testing.assert_close(one, best, rtol=0, atol=1e-7)


@every_attack
def test_the_order_and_the_company_of_the_images_do_not_matter(attack: Attack) -> None:
    batch, model = make_batch(), plain().double()
    start = attack.draw(batch.images, seeded())
    restarts = getattr(attack, "restarts", 1)
    order = torch.tensor([4, 0, 5, 2])

    def search(rows: Tensor) -> Tensor:
        begin = start[:, rows] if restarts > 1 else start[rows]
        return attack(batch.images[rows], lambda x: cross_entropy(model(x), batch.targets[rows]), start=begin)

    torch.testing.assert_close(search(order), search(torch.arange(6))[order], rtol=0, atol=1e-9)


@every_attack
def test_the_same_generator_finds_the_same_and_the_global_one_is_not_touched(attack: Attack) -> None:
    batch, model = make_batch(), plain()
    before = torch.get_rng_state()

    def search(seed: int | None) -> Tensor:
        generator = None if seed is None else seeded(seed)
        return attack(batch.images, lambda x: cross_entropy(model(x), batch.targets), generator=generator)

    assert torch.equal(search(1), search(1))
    drawn = attack.draw(batch.images, seeded(1))
    with_draw = attack(batch.images, lambda x: cross_entropy(model(x), batch.targets), start=drawn)
    torch.testing.assert_close(search(1), with_draw, rtol=0, atol=1e-12)
    if getattr(attack, "start", "") != "none":
        assert not torch.equal(search(1), search(2))
        assert not torch.equal(search(None), search(None))
    assert torch.equal(torch.get_rng_state(), before)


def test_starts_follow_their_laws() -> None:
    images = torch.zeros(400, 3, 4, 4)
    flat = LINF.draw(images, seeded()).flatten()
    assert float(flat.abs().max()) <= EPS
    assert float(flat.mean()) == pytest.approx(0, abs=0.02 * EPS)
    assert float(flat.var()) == pytest.approx(EPS**2 / 3, rel=0.03)
    radii = L2.draw(images, seeded()).flatten(1).norm(dim=1) / L2.eps
    assert float(radii.max()) <= 1 + 1e-6
    assert float(radii.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(radii.var()) == pytest.approx(1 / 12, rel=0.15)
    gaussian = PGD(eps=0.031, step_size=0.007, start="gaussian").draw(images, seeded())
    assert float(gaussian.std()) == pytest.approx(0.001, rel=0.03)
    edge = APGD(eps=EPS).draw(images, seeded()).flatten(1).abs().amax(1)
    torch.testing.assert_close(edge, torch.full_like(edge, EPS))


def test_soft_targets_are_attacked_as_such() -> None:
    batch, model = make_batch(), plain()
    lam, other = 0.7, batch.targets.roll(1, 0)
    soft = lam * batch.targets + (1 - lam) * other
    start = uniform(6, 3, 12, 12)
    found = LINF(batch.images, lambda x: cross_entropy(model(x), soft), start=start)
    assert batch.labels is not None
    pair = (batch.labels, batch.labels.roll(1), lam)
    move = rice_attack(model, batch.images, pair, [start], eps=EPS, step=2 / 255, steps=5)
    torch.testing.assert_close(found, batch.images + move, rtol=0, atol=1e-8)


# Starts that are given.


@pytest.mark.parametrize("start", ["uniform", "gaussian", "none"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_whether_a_given_start_is_projected_hangs_on_the_setting_and_not_on_the_name_of_another(
    norm: Any, start: Any
) -> None:
    images, given = torch.full((2, 3, 4, 4), 0.99, dtype=torch.float64), torch.full((2, 3, 4, 4), 0.02)
    seen: list[Tensor] = []

    def loss(some: Tensor) -> Tensor:
        seen.append(some.detach())
        return some.flatten(1).sum(1)

    for project, first in ((True, 1.0), (False, 1.01)):
        seen.clear()
        eps = 0.02 if norm == "Linf" else 0.2
        attack = PGD(norm=norm, eps=eps, step_size=0.01, num_steps=1, start=start, project_start=project)
        found = attack(images, loss, start=given)
        torch.testing.assert_close(seen[0], torch.full_like(images, first), rtol=0, atol=1e-7)
        assert float(found.max()) <= 1


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_auto_pgd_brings_a_given_start_into_the_ball(norm: Any) -> None:
    images, far = torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64), torch.full((2, 3, 4, 4), 0.4)
    attack = APGD(norm=norm, eps=0.1, num_steps=2)
    # The further away, the greater the loss: a start outside the ball would stay the best.
    found = attack.search(images, lambda some: (some - images).abs().flatten(1).sum(1), start=far)
    move = (found - images).flatten(1)
    assert float(move.abs().amax() if norm == "Linf" else move.norm(dim=1).amax()) <= 0.1 + 1e-9


# Mistakes.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PGD(eps=8, step_size=2 / 255), r"PGD: eps must be from 0 to 1, in units of .*8 / 255, not 8\), got 8"),
        (lambda: PGD(eps=8 / 255, step_size=2), r"PGD: step_size must be from 0 to 1, .*, got 2"),
        (lambda: PGD(norm="L2", eps=128, step_size=0.1), "PGD: eps must be from 0 to 64, .*, got 128"),
        (lambda: APGD(eps=8), "APGD: eps must be from 0 to 1"),
        (lambda: FGSM(eps=8, step_size=0.1), "FGSM: eps must be from 0 to 1"),
        (lambda: FGSM(eps=0.1, step_size=10), "FGSM: step_size must be from 0 to 1"),
        (lambda: FGSM(eps=0.1, step_size=0.1, noise=-1), "FGSM: noise must not be negative, got -1"),
        (lambda: PGD(eps=-0.1, step_size=0.1), "PGD: eps must be from 0 to 1"),
        (lambda: PGD(eps=float("nan"), step_size=0.1), "PGD: eps must be from 0 to 1"),
        (lambda: PGD(eps=0.1, step_size=0.1, norm="L1"), "PGD: norm must be one of 'Linf', 'L2', got 'L1'"),
        (lambda: PGD(eps=0.1, step_size=0.1, step="sgd"), "PGD: step must be one of 'steepest', 'adam'"),
        (
            lambda: PGD(eps=0.1, step_size=0.1, start="normal"),
            "PGD: start must be one of 'uniform', 'gaussian', 'none'",
        ),
        (
            lambda: PGD(eps=0.1, step_size=0.1, project_start=False, keep="best"),
            "PGD: project_start must be True where the start may be the result: .*, got False",
        ),
        (lambda: PGD(eps=0.1, step_size=0.1, keep="first"), "PGD: keep must be one of 'last', 'best'"),
        (lambda: PGD(eps=0.1, step_size=0.1, num_steps=-1), "PGD: num_steps must be a whole number from 0 up, got -1"),
        (lambda: PGD(eps=0.1, step_size=0.1, restarts=0), "PGD: restarts must be a whole number above 0, got 0"),
        (lambda: APGD(eps=0.1, num_steps=0), "APGD: num_steps must be a whole number above 0, got 0"),
        (lambda: APGD(eps=0.1, rho=2), "APGD: rho must be a number from 0 to 1, got 2"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@every_attack
def test_images_that_were_normalised_are_refused(attack: Attack) -> None:
    images = make_batch().images
    for wrong, text in (
        ((images - 0.5) / 0.25, "from -2 to 2"),
        (images * 255, "from 0.* to 25[45]"),
        (images * torch.nan, "from nan to nan"),
    ):
        with pytest.raises(ValueError, match=rf"an attack needs images in \[0, 1\], got values {text}"):
            attack(wrong, lambda x: x.flatten(1).sum(1))
    with pytest.raises(TypeError, match=r"float images in \[0, 1\], got torch.uint8; divide bytes by 255"):
        attack((images * 255).byte(), lambda x: x.flatten(1).sum(1))


def test_a_radius_in_l2_that_holds_all_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"PGD: eps must be at most 8, the distance from a black image .*, got 9"):
        PGD(norm="L2", eps=9, step_size=1)(torch.rand(2, 1, 8, 8), lambda x: x.flatten(1).sum(1))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda x: x.sum(), r"one number for each of the 6 images, got \(\)"),
        (lambda x: x.flatten(1), r"one number for each of the 6 images, got \(6, 432\)"),
        (lambda x: torch.zeros(len(x)), "must depend on the images it is called with, got a constant"),
    ],
)
def test_a_loss_that_no_attack_can_use_is_refused(loss: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LINF(make_batch().images, loss)


def test_a_start_of_another_shape_is_refused() -> None:
    images = make_batch().images
    with pytest.raises(ValueError, match=r"PGD: start must have the shape \(6, 3, 12, 12\), got \(3, 12, 12\)"):
        LINF(images, lambda x: x.flatten(1).sum(1), start=torch.zeros(3, 12, 12))
    with pytest.raises(ValueError, match=r"APGD: start must have the shape \(2, 6, 3, 12, 12\), got \(6, 3, 12, 12\)"):
        APGD(eps=0.1, restarts=2)(images, lambda x: x.flatten(1).sum(1), start=torch.zeros_like(images))


def test_the_margin_tells_what_is_missed() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    torch.testing.assert_close(margin(logits, torch.eye(3)), torch.tensor([-1.0, 2.0, 1.0]))
    soft = torch.tensor([[0.25, 0.75, 0.0]])
    torch.testing.assert_close(margin(logits[:1], soft), torch.tensor([0.25 * -1 + 0.75 * 2]))
