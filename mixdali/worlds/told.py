"""Rules that DALI's own errors tell: they show the functions in which an operator was made, by their names."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

ONE_SIZE = "all images of a batch that is mixed must be of one size: resize or crop them first"
NO_BYTES = 'images with layout="CHW" must be floats in [0, 1], got bytes: for uint8 leave layout as "HWC"'
TARGETS = "targets of a mix must be float32 (num_classes,), as many classes for all of a batch"


def told(rule: str, make: Callable[[], Any]) -> Any:
    """What `make` makes, by a function whose name is the rule, several words that hold "must be"."""
    return FunctionType(make.__code__.replace(co_name=rule), make.__globals__, rule, None, make.__closure__)()
