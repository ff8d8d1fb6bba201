"""Sets that are drawn by a seed: points in the plane, and the two synthetic sequence sets that the field knows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn import datasets

from mixdali import derive_seed
from train.tables.table import Table

NUM_SAMPLES = 600
NOISE = 0.1
"""Deviation of the points in the plane around what they are drawn on."""
INNER = 0.5
"""Radius of the inner circle, in that of the outer one."""


def circles(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two circles with one centre. What lies between two points of the outer one is often on the inner one."""
    return datasets.make_circles(NUM_SAMPLES, noise=NOISE, factor=INNER, random_state=_state(random))


def moons(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles, one reaching into the other."""
    return datasets.make_moons(NUM_SAMPLES, noise=NOISE, random_state=_state(random))


def line(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Three clusters in a row, the outer two of one class: half way between these lies the other class."""
    place = random.integers(3, size=NUM_SAMPLES)
    points = np.stack([place - 1.0, np.zeros(NUM_SAMPLES)], axis=1) + 1.5 * NOISE * random.normal(size=(NUM_SAMPLES, 2))
    return points, (place == 1).astype(np.int64)


def cylinder_bell_funnel(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of 128 steps: white noise and, from step a to step b, a block, a rise or a fall of height about 6.

    Saito, "Local feature extraction and its applications using a library of bases", PhD thesis, Yale, 1994.
    """
    length, count = 128, NUM_SAMPLES
    labels = np.arange(count) % 3
    start = random.integers(16, 33, size=(count, 1))
    width = random.integers(32, 97, size=(count, 1))
    height = 6 + random.normal(size=(count, 1))
    steps = np.arange(1, length + 1)
    inside = (steps >= start) & (steps <= start + width)
    risen = (steps - start) / width
    shape = np.choose(labels[:, None], [np.ones_like(risen), risen, 1 - risen])
    return (height * shape * inside + random.normal(size=(count, length)))[:, None], labels


def control_charts(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of 60 steps: noise alone, a cycle, a trend up or down, or a step up or down.

    Alcock and Manolopoulos, "Time-series similarity queries employing a feature-based approach", 1999: 100 of each of
    six kinds.
    """
    length, count = 60, NUM_SAMPLES
    labels = np.arange(count) % 6
    steps = np.arange(1, length + 1)

    def uniform(low: float, high: float) -> np.ndarray:
        return random.uniform(low, high, size=(count, 1))

    cycle = uniform(10, 15) * np.sin(2 * np.pi * steps / uniform(10, 15))
    trend = uniform(0.2, 0.5) * steps
    step = uniform(7.5, 20) * (steps >= uniform(length / 3, 2 * length / 3))
    shape = np.choose(labels[:, None], [0 * cycle, cycle, trend, -trend, step, -step])
    return (30 + 2 * random.uniform(-3, 3, size=(count, length)) + shape)[:, None], labels


Maker = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
DRAWN: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "circles": (circles, ("outer", "inner")),
    "moons": (moons, ("upper", "lower")),
    "line": (line, ("outer", "middle")),
    "cylinder_bell_funnel": (cylinder_bell_funnel, ("cylinder", "bell", "funnel")),
    "control_charts": (control_charts, ("normal", "cyclic", "rising", "falling", "step up", "step down")),
}


def draw(name: str, seed: int) -> Table:
    """600 samples of a set in `DRAWN`, about as many of each class."""
    make, classes = DRAWN[name]
    features, labels = make(np.random.default_rng(derive_seed(seed, name)))
    return Table(name, torch.from_numpy(features).float(), torch.from_numpy(labels).long(), classes)


def _state(random: np.random.Generator) -> int:
    return int(random.integers(2**31))
