"""Files with something changed in them: a bit, a stretch, their length."""

from __future__ import annotations

import random


def mutated(whole: bytes, rng: random.Random) -> bytes:
    """One to three changes at random places."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(whole) + 1)
        stretch = whole[start : start + rng.randint(1, 40)]
        changed = {
            "flip": lambda part: bytes(byte ^ (1 << rng.randrange(8)) if rng.random() < 0.1 else byte for byte in part),
            "zero": lambda part: bytes(len(part)),
            "drop": lambda part: b"",
            "twice": lambda part: part + part,
            "noise": lambda part: rng.randbytes(len(part)),
        }[rng.choice(("flip", "flip", "zero", "drop", "twice", "noise"))](stretch)
        whole = whole[:start] + changed + whole[start + len(stretch) :]
        if rng.random() < 0.1:
            whole = whole[: rng.randrange(len(whole) + 1)]
    return whole
