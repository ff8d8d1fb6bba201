"""Where the adversarial images of an evaluation go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from train.evaluate.parts.adversarial import Keep, Saved, read_adversarial, write_adversarial

OwnSettings = Callable[[str], Mapping[str, Any]]


@dataclass(eq=False)
class Saving:
    """A file that grows by the parts of an evaluation."""

    path: Path
    index: np.ndarray
    labels: np.ndarray
    settings_of: OwnSettings
    """A part -> what its attack is set to."""
    settings: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    images: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, index: np.ndarray, labels: np.ndarray, settings_of: OwnSettings) -> Saving:
        """With what an earlier evaluation of the same images left in the file.

        Raises:
            ValueError, FileNotFoundError: there is no such folder, or the file is of something else.
        """
        if path.suffix != ".npz":
            raise ValueError(f"save_adversarial must end in .npz, got {path}")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"save_adversarial: there is no folder {path.parent}")
        made = cls(path, index, labels, settings_of)
        if path.exists():
            old = read_adversarial(path)
            if not (np.array_equal(old.index, index) and np.array_equal(old.labels, labels)):
                raise ValueError(f"{path} holds adversarial images of other images; name another file")
            made.settings, made.images = dict(old.settings), dict(old.images)
        return made

    def keep(self, part: str) -> Keep:
        """What takes the images of a part."""
        return partial(self._take, part)

    def _take(self, part: str, network: str, images: Tensor) -> None:
        self.images[part, network] = images.numpy()

    def write(self, part: str) -> None:
        """The images of this part are complete."""
        self.settings[part] = self.settings_of(part)
        write_adversarial(Saved(self.path, self.index, self.labels, self.settings, self.images))

    def check_holds(self, part: str) -> None:
        """ValueError unless the file has the images of a part that was measured before, at the same settings."""
        if self.settings.get(part) != self.settings_of(part):
            raise ValueError(
                f"the folder holds {part}, whose adversarial images were not saved in {self.path}; pass another --name"
            )
