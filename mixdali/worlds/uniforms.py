"""Numbers in [0, 1) and partners by name, from one random number an image, so that a plan asks DALI for one, whatever
it draws.

A random operator costs about as much as all of a plan's arithmetic. A hash of an image's key and a name's is as good as
an operator with a seed of its own: no other draw moves it.
"""

from typing import Any

import numpy as np

PER = ("image", "batch", "pair")
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LEFT_OUT = np.uint64(40)  # of 64 bits: a float32 below 1 has 24
_STEP = np.float32(2.0**-24)


def hashed(key: Any, name: Any) -> Any:
    """uint64 from the bits (uint64) of an image's key and of a draw's name.

    Twice the end of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014,
    with the constants of variant 13 of Stafford's), which is one to one and makes every bit depend on every other.
    """
    bits = key
    for _ in range(2):
        bits = bits + name
        bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
        bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
        bits = bits ^ (bits >> np.uint64(31))
    return bits


def fraction(bits: Any) -> Any:
    """A multiple of 2 ** -24 in [0, 1) as float32, from a hash."""
    return np.float32(bits >> _LEFT_OUT) * _STEP


def exchanged(choices: Any, order: Any) -> None:
    """Into `order` a permutation of its places, by exchanging each but the first, from the last on, with its choice."""
    for i in range(len(order)):
        order[i] = i
    for i in range(len(order) - 1, 0, -1):
        chosen = choices[i]
        order[i], order[chosen] = order[chosen], order[i]


def uniforms(keys: np.ndarray, name: int, per: str) -> np.ndarray:
    """(N,) float32, a draw of a batch with these keys (N, 2) float32; `per` as in `mixdali.Mix`."""
    places = np.arange(len(keys))
    if per == "batch":
        places[:] = 0
    elif per == "pair":
        places = np.minimum(places, places[::-1])
    return np.asarray(fraction(hashed(keys.view(np.uint64)[places, 0], np.uint64(name))))


def partners(keys: np.ndarray, name: int, rule: str) -> np.ndarray:
    """(N,) float32, a permutation of the batch: any one, or by the rule "cycle" one that is a single cycle.

    Each as likely as any other: exchanges with a place up to the own one (Fisher and Yates, by Durstenfeld), or for a
    cycle before it (Sattolo, "An algorithm to generate a random cyclic permutation", Inf. Process. Lett. 22, 1986).
    """
    others = np.arange(len(keys), dtype=np.uint64) + np.uint64(rule != "cycle")
    choices = hashed(keys.view(np.uint64)[:, 0], np.uint64(name)) % np.maximum(others, np.uint64(1))
    order = np.empty(len(keys), np.float32)
    exchanged(choices.astype(np.int64), order)
    return order
