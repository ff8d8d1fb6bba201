"""The loaders of all pipelines share their arguments: written once, and plain to see on each of them."""

import inspect
import pickle
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
import pytest

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
        assert f"\n{field.name} " in inspect.getdoc(function)
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


def test_the_source_may_be_given_by_name() -> None:
    assert len(cifar.val_loader(source=SOURCE, batch_size=4, num_classes=3, device="cpu")) == 2
