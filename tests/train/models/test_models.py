"""The networks: what they are called, how large they are, and where they normalise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from train.models import Normalise, PreActResNet, build_model
from train.models.preact_resnet import Block, Kind
from train.models.pyramidnet import Bottleneck as Pyramid
from train.objectives.parts.hidden import classifier, recorded_map, stages


def build(name: str, num_classes: int = 10, seed: int = 0) -> nn.Module:
    return build_model(name, num_classes=num_classes, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), seed=seed)


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_known_networks_have_their_known_size() -> None:
    # Three by three convolutions of 64, 128, 256, 512 channels; torchvision's own count for ResNet-50.
    assert size(build("preact_resnet18")) == 11_172_170
    assert size(build("resnet50", num_classes=1000)) == 25_557_032
    assert size(build("preact_resnet8")) == size(build("preact_resnet8_w16")) == 77_850


@pytest.mark.parametrize(
    ("name", "depth"), [("8", 8), ("14", 14), ("20", 20), ("18", 18), ("34", 34), ("50", 50), ("101", 101)]
)
def test_a_network_is_as_deep_as_its_name_says(name: str, depth: int) -> None:
    layers = [m for m in build(f"preact_resnet{name}_w4").modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    shortcuts = [m for m in build(f"preact_resnet{name}_w4").modules() if getattr(m, "shortcut", None) is not None]
    assert len(layers) - len(shortcuts) == depth


def test_a_block_that_keeps_the_shape_starts_from_its_input() -> None:
    block = PreActResNet((1,), 4, 2).blocks[0]
    for convolution in (block.conv1, block.conv2):
        nn.init.zeros_(convolution.weight)
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x.clone()), x)


def test_the_first_layer_normalises() -> None:
    model = build("preact_resnet8_w4")
    assert isinstance(model[0], Normalise)
    grey = torch.tensor([0.4, 0.8, 0.6]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    torch.testing.assert_close(model[0](grey)[0, :, 0, 0], torch.tensor([0.0, 1.0, 0.0]))


def test_in_double_precision_a_network_has_the_right_gradient() -> None:
    model = build("preact_resnet8_w4", num_classes=3).double()
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    logits = model(images)
    assert logits.shape == (2, 3)
    assert logits.dtype == torch.float64
    assert torch.autograd.gradcheck(model, images, fast_mode=True)


def test_the_seed_alone_decides_the_weights() -> None:
    before = torch.get_rng_state()
    first, again, other = (build("preact_resnet8_w4", seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["1.stem.weight"], other["1.stem.weight"])


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "googlenet"])
def test_a_network_of_torchvision_gives_plain_logits_in_training(name: str) -> None:
    assert build(name, num_classes=5).train()(torch.rand(2, 3, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "offered"), [("resnet51", "resnet50"), ("preact_resnet16", "preact_resnet18"), ("zzz", "preact_resnet8")]
)
def test_an_unknown_network_is_answered_with_its_neighbours(name: str, offered: str) -> None:
    with pytest.raises(ValueError, match=f"model '{name}' is unknown.*{offered}"):
        build(name)


def test_wide_residual_networks_have_their_papers_size() -> None:
    with torch.device("meta"):
        found = {name: size(PreActResNet((depth,) * 3, 160, 10, stem=16)) for name, depth in (("28", 4), ("34", 5))}
    assert found == {"28": 36_479_194, "34": 46_160_474}


def test_a_wide_residual_network_by_name_takes_settings() -> None:
    model = build('wide_resnet10_2(activation="silu", zero_head=True, norm_momentum=0.01)')
    network = model[1]
    assert isinstance(network, PreActResNet)
    assert network.stem.out_channels == 16
    assert [block.conv2.out_channels for block in network.blocks] == [32, 64, 128]
    assert {module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)} == {0.01}
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(images), torch.zeros(2, 10))
    block = network.blocks[0].eval()
    hidden = torch.randn(2, 16, 5, 5, generator=torch.Generator().manual_seed(1))
    active = nn.functional.silu(block.norm1(hidden))
    expected = block.conv2(nn.functional.silu(block.norm2(block.conv1(active)))) + block.shortcut(active)
    torch.testing.assert_close(block(hidden), expected)


# What torchvision's and timm's stems for large images have more than a 3x3 convolution of 64 channels.
LARGER_STEM = 3 * 64 * (7 * 7 - 3 * 3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("preact_resnet50", "timm:resnetv2_50"),
        ("preact_resnet101", "timm:resnetv2_101"),
        ("cifar_resnet18", "resnet18"),
        ("cifar_resnet34", "resnet34"),
    ],
)
def test_a_network_has_as_many_parameters_as_that_of_a_well_known_library(ours: str, theirs: str) -> None:
    if theirs.startswith("timm:"):
        pytest.importorskip("timm")
    with torch.device("meta"):
        found, known = size(build(ours, 1000)), size(build(theirs, 1000))
    assert found == known - LARGER_STEM


def test_resnet34_for_small_images_is_torchvision_s_after_its_stem() -> None:
    from torchvision import models

    ours, theirs = build("cifar_resnet34", 7)[1].eval(), models.resnet34(num_classes=7).eval()
    theirs.conv1, theirs.maxpool = ours.conv1, nn.Identity()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.data = own.data
    images = torch.randn(2, 3, 14, 18, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(images), theirs(images))


def test_resnet110_and_pyramidnet_have_their_papers_size() -> None:
    # 1.7 and 26.8 million, as the papers count them; and layer by layer.
    with torch.device("meta"):
        resnet, pyramid = size(build("cifar_resnet110")), size(build("pyramidnet200(alpha=240)", 100))
    assert (round(resnet / 1e6, 1), round(pyramid / 1e6, 1)) == (1.7, 26.8)
    stages = [(16, 16), (16, 32), (32, 64)]
    blocks = [(into if first else width, width) for into, width in stages for first in [True] + 17 * [False]]
    inside = sum(9 * into * width + 9 * width * width + 4 * width for into, width in blocks)
    shortcuts = sum(into * width + 2 * width for into, width in stages if into != width)
    assert resnet == 27 * 16 + 2 * 16 + inside + shortcuts + 65 * 10
    widths = [round(16 + 240 * number / 66) for number in range(1, 67)]
    each = [
        2 * into + into * width + 2 * width + 9 * width * width + 2 * width + 4 * width * width + 8 * width
        for into, width in zip([16, *(4 * width for width in widths)], widths, strict=False)
    ]
    assert pyramid == 27 * 16 + 2 * 16 + sum(each) + 2 * 4 * widths[-1] + (4 * widths[-1] + 1) * 100


def test_the_shortcut_of_pyramidnet_is_the_input_with_empty_channels() -> None:
    block = Pyramid(8, 4, 2).eval()
    nn.init.zeros_(block.norm4.weight)
    x = torch.randn(2, 8, 6, 5, generator=torch.Generator().manual_seed(0))
    found = block(x)
    torch.testing.assert_close(found[:, :8], nn.functional.avg_pool2d(x, 2, ceil_mode=True))
    assert not bool(found[:, 8:].any())
    assert build("pyramidnet11(alpha=9)")(torch.rand(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(("stride", "shape"), [(1, (6, 8)), (2, (3, 4))])
def test_deepmind_s_blocks_pad_as_jax_does_and_take_the_shortcut_from_the_input(
    stride: int, shape: tuple[int, int]
) -> None:
    hidden = torch.randn(2, 4, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def padded(values: torch.Tensor) -> torch.Tensor:
        # Of even sides "SAME" pads k - stride pixels, the greater half behind.
        before = 1 if stride == 1 else 0
        return nn.functional.pad(values, (before, 1, before, 1))

    def conv(layer: nn.Module, values: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(padded(values), layer.weight, stride=stride)

    wide = Block(4, 8, stride, Kind(padding="same")).double().eval()
    narrow = Block(4, 8, stride, Kind(padding="same", shortcut="3x3")).double().eval()
    for block in (wide, narrow):
        active = nn.functional.relu(block.norm1(hidden))
        inner = nn.functional.relu(block.norm2(conv(block.conv1, active)))
        out = nn.functional.conv2d(inner, block.conv2.weight, padding=1)
        beside = conv(block.shortcut, hidden) if block is narrow else None
        if beside is None:
            beside = nn.functional.conv2d(active, block.shortcut.weight, stride=stride)
        torch.testing.assert_close(block(hidden), out + beside)
        assert block(hidden).shape[2:] == shape


def test_haiku_s_first_weights_are_cut_at_two_deviations_of_one_over_the_root_of_the_inputs() -> None:
    network = build('wide_resnet10_4(init="lecun")')[1]
    for layer in (network.blocks[1].conv1, network.blocks[2].shortcut):
        values = layer.weight.detach().flatten() * layer.weight[0].numel() ** 0.5
        assert float(values.abs().max()) <= 2 + 1e-5
        assert float(values.std()) == pytest.approx(0.8796, rel=0.05)


def test_deepmind_s_resnet18_has_larger_shortcuts() -> None:
    with torch.device("meta"):
        found = size(build('preact_resnet18(shortcut="3x3", padding="same")')) - size(build("preact_resnet18"))
    assert found == 8 * (64 * 128 + 128 * 256 + 256 * 512)


@pytest.mark.parametrize("name", ["cifar_resnet20_w4", "pyramidnet11(alpha=9)", "preact_resnet50_w4"])
def test_the_new_networks_have_stages_and_a_last_map(name: str) -> None:
    network = build(name)
    assert {"input", "stage1", "stage2", "stage3"} <= set(stages(network))
    with recorded_map(network) as maps:
        logits = network(torch.rand(2, 3, 16, 16))
    head = classifier(network)
    torch.testing.assert_close(head(maps[0].mean(dim=(2, 3)).relu()), logits)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar_resnet34(width=3)", "model cifar_resnet34 has no settings, got width"),
        ("pyramidnet200(alpha=0)", "alpha must be above 0, got 0"),
        ("pyramidnet201", "model 'pyramidnet201' is unknown.*pyramidnet200"),
        ("cifar_resnet111", "model 'cifar_resnet111' is unknown.*cifar_resnet110"),
        ("preact_resnet18(shortcut='5x5')", "shortcut must be one of 1x1, 3x3, got '5x5'"),
        ("wide_resnet28_10(padding='left')", "padding must be one of even, same, got 'left'"),
        ("wide_resnet28_10(init='xavier')", "init must be one of he, lecun, got 'xavier'"),
        ("wide_resnet28_10(activaton='silu')", "no setting 'activaton'; nearest: activation"),
        ("wide_resnet28_10(activation='gelu')", "activation must be one of relu, silu, got 'gelu'"),
        ("preact_resnet8(norm_momentum=0)", r"norm_momentum must be in \(0, 1\], got 0"),
        ("preact_resnet8(16)", "must be a name, or a name with settings as in Python"),
        ("wide_resnet29_10", "model 'wide_resnet29_10' is unknown; nearest: .*wide_resnet28_10"),
        ("resnet18(depth=3)", "model resnet18 with"),
    ],
)
def test_a_wrong_setting_of_a_network_is_one_clear_line(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name)


def test_timm_s_transformers_train_on_small_images() -> None:
    pytest.importorskip("timm")
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    small = "depth=2, embed_dim=48, num_heads=4, drop_path_rate=0.1"
    vit = f"timm:vit_tiny_patch16_224(img_size=32, patch_size=4, {small})"
    xcit = f"timm:xcit_nano_12_p16_224(img_size=32, patch_size=4, {small})"
    for name in (vit, xcit):
        first, again = build(name), build(name)
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
        first.train()(images).sum().backward()
        assert first.eval()(images).shape == (2, 10)
    # 64 patches of 4 x 4 pixels: of the four halving convolutions two are left.
    assert build(xcit)[1].patch_embed(images)[1] == (8, 8)
    for wrong, message in (
        ("timm:xcit_nano_12_p16_225", "timm has no model 'xcit_nano_12_p16_225'; nearest: .*xcit_nano_12_p16_224"),
        ("timm:vit_tiny_patch16_224(pretrained=True)", "pretrained cannot be set here"),
        ("timm:vit_tiny_patch16_224(deph=3)", "deph"),
    ):
        with pytest.raises(ValueError, match=message):
            build(wrong)


def test_a_shortcut_is_a_convolution_with_its_stride() -> None:
    block = Block(4, 8, stride=2).double().eval()
    hidden = torch.randn(2, 4, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    active = nn.functional.relu(block.norm1(hidden))
    shortcut = nn.functional.conv2d(active, block.shortcut.weight, stride=2)
    expected = block.conv2(nn.functional.relu(block.norm2(block.conv1(active)))) + shortcut
    torch.testing.assert_close(block(hidden), expected)
