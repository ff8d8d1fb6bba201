"""Numbers in [0, 1) by name, from one random number an image, so that a plan asks DALI for one, whatever it draws.

A random operator costs about as much as all of a plan's arithmetic. A hash of an image's key and a name's is as good as
an operator with a seed of its own: no other draw moves it.
"""

from typing import Any

import numpy as np

PER = ("image", "batch", "pair")
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LEFT_OUT = np.uint64(40)  # of 64 bits: a float32 below 1 has 24
_STEP = np.float32(2.0**-24)


def uniform(key: Any, name: Any) -> Any:
    """A multiple of 2 ** -24 in [0, 1) as float32, from the bits (uint64) of an image's key and of a draw's name.

    Twice the end of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014,
    with the constants of variant 13 of Stafford's), which is one to one and makes every bit depend on every other.
    """
    bits = key
    for _ in range(2):
        bits = bits + name
        bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
        bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
        bits = bits ^ (bits >> np.uint64(31))
    return np.float32(bits >> _LEFT_OUT) * _STEP


def uniforms(keys: np.ndarray, name: int, per: str) -> np.ndarray:
    """(N,) float32, a draw of a batch with these keys (N, 2) float32; `per` as in `mixdali.Mix`."""
    places = np.arange(len(keys))
    if per == "batch":
        places[:] = 0
    elif per == "pair":
        places = np.minimum(places, places[::-1])
    return np.asarray(uniform(keys.view(np.uint64)[places, 0], np.uint64(name)))
