"""Networks that a function of the user returns."""

from __future__ import annotations

import importlib
import os
import sys

from torch import nn


def is_function(name: str) -> bool:
    """Whether it is written as MODULE:FUNCTION."""
    module, _, function = name.partition(":")
    return bool(module and function)


def call_function(name: str) -> nn.Module:
    """The network that MODULE:FUNCTION returns; a module is looked for in the working folder too.

    Raises:
        ImportError, ValueError, TypeError: there is no such module or function, or it returns no torch module.
    """
    module, _, function = name.partition(":")
    if os.getcwd() not in sys.path:
        # Where the user's own module lies; a program that was installed does not look there.
        sys.path.insert(0, os.getcwd())
    try:
        make = getattr(importlib.import_module(module), function, None)
    except ImportError as error:
        raise ImportError(f"{name}: {error}") from error
    if not callable(make):
        raise ValueError(f"{name}: the module {module} has no function {function!r}")
    network = make()
    if not isinstance(network, nn.Module):
        raise TypeError(f"{name} must return a torch.nn.Module, got {type(network).__name__}")
    return network
