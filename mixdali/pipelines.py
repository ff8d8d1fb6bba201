"""`mixdali.pipelines` in a checkout, where the pipelines lie beside this package: `pipelines` by its second name.

The wheel has the folder itself in this file's place. Both names are the same modules here, so that a `Source` of the
one is a `Source` of the other.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines import check, cifar, imagenet, preview  # noqa: F401

CHECKOUT = Path(__file__).resolve().parents[1]


class SecondName:
    """Finds and loads the modules of `pipelines` for who asks for them as `mixdali.pipelines`."""

    @classmethod
    def find_spec(cls, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        first = find_spec(name.removeprefix("mixdali.")) if name.startswith(f"{__name__}.") else None
        if first is None:
            return None
        is_package = first.submodule_search_locations is not None  # `python -m` runs the __main__ of such a one
        return spec_from_loader(name, cls(first), is_package=is_package)  # type: ignore[arg-type]

    def __init__(self, first: ModuleSpec) -> None:
        self._first = first

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._first.name)
        self._first = module.__spec__ or self._first
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._first  # the import system has put that of the second name there

    def get_code(self, name: str) -> CodeType | None:
        """For `python -m`."""
        return self._first.loader.get_code(self._first.name)  # type: ignore[union-attr]


def _pipelines() -> ModuleType:
    try:
        found = importlib.import_module("pipelines")
    except ModuleNotFoundError as error:
        if error.name != "pipelines":
            raise
        raise ImportError(f"the pipelines lie in {CHECKOUT}, which is not on Python's path; pip install it") from error
    if CHECKOUT / "pipelines" not in (Path(folder).resolve() for folder in found.__path__):
        raise ImportError(
            f"mixdali is imported from {CHECKOUT}, whose pipelines are hidden by another package of that name, "
            f"{found.__file__ or list(found.__path__)}; pip install {CHECKOUT} without --editable, or rename the other"
        )
    return found


sys.meta_path.insert(0, SecondName)
sys.modules[__name__] = _pipelines()
