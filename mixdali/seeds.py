"""One seed a run; every other seed is derived from it by name."""


def derive_seed(seed: int, *names: str | int) -> int:
    """A seed in [0, 2**62) that depends on `seed` and on every name, and on nothing else.

    derive_seed(0, "crop") and derive_seed(0, "flip") are unrelated, on every machine and in every version of Python.
    Names are told apart by type: "1" and 1 give different seeds.
    """
    # here, since it loads OpenSSL, which takes longer than all the rest of this package
    import hashlib

    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an int, got {seed!r}")
    digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2
