"""The loaders of all pipelines share their arguments: written once, and plain to see on each of them."""

import ast
import inspect
import pickle
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mixdali import Cutout, GridMix, Mix, MixUp
from pipelines import cifar, imagenet
from pipelines.arguments import TrainArguments, TrainGraph, ValArguments, ValGraph
from pipelines.sources.source import Source

SHARED = {
    function: kind
    for module in (cifar, imagenet)
    for function, kind in (
        (module.train_loader, TrainArguments),
        (module.val_loader, ValArguments),
        (module.train_pipeline, TrainGraph),
        (module.val_pipeline, ValGraph),
    )
}
SOURCE = Source(np.zeros((6, 4, 4, 3), np.uint8), np.arange(6) % 3)


@pytest.mark.parametrize("function", SHARED, ids=lambda function: f"{function.__module__}.{function.__name__}")
def test_a_shared_argument_shows_on_every_loader_with_its_default_and_its_documentation(function: Any) -> None:
    shown = inspect.signature(function).parameters
    for field in fields(SHARED[function]):
        assert shown[field.name].kind is inspect.Parameter.KEYWORD_ONLY
        assert shown[field.name].annotation == field.type
        assert shown[field.name].default == (inspect.Parameter.empty if field.default is MISSING else field.default)
        assert re.search(rf"^{field.name}\s", inspect.getdoc(function) or "", re.MULTILINE)
    assert next(iter(shown)) == "source"
    assert pickle.loads(pickle.dumps(function)) is function


def test_wrong_arguments_are_named_with_the_nearest_right_ones() -> None:
    good = {"batch_size": 2, "num_classes": 3}
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (cifar.train_loader, good | {"mixx": None}, "train_loader has no argument 'mixx'; nearest: mix"),
        (imagenet.val_loader, good | {"smothing": 0.1}, "val_loader has no argument 'smothing'; there are: batch_size"),
        (imagenet.val_loader, {"batch_size": 2}, "val_loader: missing a required argument: 'num_classes'"),
        (cifar.train_pipeline, good | {"num_thread": 1}, "no argument 'num_thread'; nearest: num_threads"),
    ]
    for function, given, message in cases:
        with pytest.raises(TypeError, match=message):
            function(SOURCE, **given)
    with pytest.raises(TypeError, match="train_loader: too many positional arguments"):
        cifar.train_loader(SOURCE, 2, num_classes=3)  # type: ignore[call-arg]


FORM: dict[str, Any] = {"mean": (0.5, 0.4, 0.3), "std": 0.25, "dtype": "float16", "output_layout": "HWC"}
EACH = ("images", "unmixed", "view1")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return Source(sorted(map(str, folder.iterdir())), np.arange(4) % 3)


@pytest.mark.parametrize("outputs", [EACH[:1], EACH[:2], EACH], ids=len)
@pytest.mark.parametrize("mix", [None, MixUp(), GridMix(), Cutout(length=2)], ids=str)
@pytest.mark.parametrize("module", [cifar, imagenet])
def test_all_images_come_in_the_form_that_is_asked_for(
    module: Any, mix: Mix | None, outputs: tuple[str, ...], pictures: Source
) -> None:
    rng = np.random.default_rng(0)
    arrays = Source(rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8), np.arange(4) % 3)
    source = arrays if module is cifar else pictures
    settings = {"batch_size": 4, "num_classes": 3, "size": 8, "mix": mix, "device": "cpu", "outputs": outputs}
    usual = next(iter(module.train_loader(source, **settings)))
    other = next(iter(module.train_loader(source, **settings, **FORM)))
    for name in outputs:
        expected = (usual[outputs.index(name)] - torch.tensor(FORM["mean"]).reshape(3, 1, 1)) / FORM["std"]
        made = other[outputs.index(name)]
        assert made.dtype == torch.float16
        torch.testing.assert_close(made.float(), expected.permute(0, 2, 3, 1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("module", [cifar, imagenet])
def test_so_do_validation_images_and_bytes_come_too(module: Any, pictures: Source) -> None:
    source = SOURCE if module is cifar else pictures
    settings = {"batch_size": 3, "num_classes": 3, "size": 8, "device": "cpu"}
    usual = next(iter(module.val_loader(source, **settings))).images
    half = next(iter(module.val_loader(source, **settings, **FORM))).images
    expected = (usual - torch.tensor(FORM["mean"]).reshape(3, 1, 1)) / FORM["std"]
    torch.testing.assert_close(half.float(), expected.permute(0, 2, 3, 1), rtol=1e-3, atol=1e-3)
    whole = next(iter(module.val_loader(source, **settings, dtype="uint8"))).images
    assert torch.equal(whole, (usual * 255).round().to(torch.uint8))


def test_a_form_that_cannot_be_had_is_refused_when_the_loader_is_made() -> None:
    for how, message in (
        ({"mean": (123.7, 116.3, 103.5)}, r"mean is in units of images in \[0, 1\], got"),
        ({"mean": (0.5, 0.5)}, "mean and std must be 3 numbers, one for each channel, or one for all, got 2"),
        ({"dtype": "float8"}, "dtype must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            cifar.train_loader(SOURCE, batch_size=2, num_classes=3, **how)


def test_training_never_asks_for_normalised_images() -> None:
    """The model's first layer normalises, so that an attack never meets a normalised stream."""
    for path in (Path(__file__).parents[2] / "train").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("_loader", "to_float", ".apply")):
                assert not {"mean", "std"} & {keyword.arg for keyword in node.keywords}, path


def test_the_source_may_be_given_by_name() -> None:
    assert len(cifar.val_loader(source=SOURCE, batch_size=4, num_classes=3, device="cpu")) == 2


@pytest.mark.parametrize(
    ("told", "other"),
    [
        ("mean", {"mean": 0.4}),
        ("std", {"std": 0.5}),
        ("dtype", {"dtype": "uint8"}),
        ("layout", {"output_layout": "HWC"}),
    ],
)
def test_a_state_of_another_form_of_images_is_refused(told: str, other: dict[str, Any]) -> None:
    source = Source(np.zeros((8, 6, 6, 3), np.uint8), np.zeros(8, np.int64))
    settings: dict[str, Any] = {"num_classes": 2, "batch_size": 4, "device": "cpu", "num_threads": 1, "shard": (0, 1)}
    state = cifar.train_loader(source, **settings).state_dict()
    with pytest.raises(ValueError, match=f"the state is of another loader: its .*{told} is"):
        cifar.train_loader(source, **settings, **other).load_state_dict(state)
    half = cifar.train_loader(source, **settings, dtype="float16").state_dict()
    cifar.train_loader(source, **settings, dtype=torch.float16).load_state_dict(half)  # the same by another name
