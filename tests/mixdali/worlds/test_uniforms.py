"""Draws by name from one key an image: their law, that names do not know of each other, and who shares a draw."""

from itertools import permutations

import numpy as np
import pytest
from nvidia.dali import fn, pipeline_def

from mixdali.seeds import derive_seed
from mixdali.worlds.uniforms import partners, uniforms

IMAGES = 1 << 18


def names(count: int) -> list[int]:
    return [derive_seed(1, str(i)) % (1 << 48) for i in range(count)]


@pytest.fixture(scope="module")
def keys() -> np.ndarray:
    """As DALI draws them."""

    @pipeline_def(batch_size=1 << 13, num_threads=2, device_id=None)
    def pipeline():
        return fn.random.uniform(range=(0.0, 1.0), shape=[2], seed=5)

    pipe = pipeline()
    return np.concatenate([np.array(pipe.run()[0].as_array()) for _ in range(IMAGES >> 13)])


def chi_square(counts: np.ndarray) -> float:
    """In standard deviations from its mean."""
    expected = counts.sum() / counts.size
    return ((counts - expected) ** 2 / expected).sum().item() / np.sqrt(2 * counts.size) - np.sqrt(counts.size / 2)


def test_every_name_is_uniform_and_no_two_know_of_each_other(keys: np.ndarray) -> None:
    draws = [uniforms(keys, name, "image") for name in names(6)]
    for i, one in enumerate(draws):
        assert one.dtype == np.float32
        assert one.min() >= 0
        assert one.max() < 1
        assert abs(chi_square(np.histogram(one, bins=256, range=(0, 1))[0])) < 5
        for other in draws[:i]:
            assert abs(chi_square(np.histogram2d(one, other, bins=32, range=[(0, 1), (0, 1)])[0].ravel())) < 5
            assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(IMAGES)


def test_neighbours_in_a_batch_do_not_know_of_each_other(keys: np.ndarray) -> None:
    draw = uniforms(keys, names(1)[0], "image")
    assert abs(np.corrcoef(draw[1:], draw[:-1])[0, 1]) < 5 / np.sqrt(IMAGES)
    assert len(np.unique(draw)) > 0.98 * IMAGES  # 2 ** 24 values: about one in 128 is met twice


@pytest.mark.parametrize("bits", range(0, 48, 7))
def test_keys_and_names_that_differ_in_one_bit_give_unrelated_draws(keys: np.ndarray, bits: int) -> None:
    name = names(1)[0]
    near_key = (keys.view(np.uint64) ^ np.uint64(1 << bits)).view(np.float32)
    draw = uniforms(keys, name, "image")
    for near in (uniforms(near_key, name, "image"), uniforms(keys, name ^ (1 << bits), "image")):
        assert abs(np.corrcoef(draw, near)[0, 1]) < 5 / np.sqrt(IMAGES)


def test_a_batch_or_a_pair_shares_a_draw(keys: np.ndarray) -> None:
    few, name = keys[:5], names(1)[0]
    each = uniforms(few, name, "image")
    np.testing.assert_array_equal(uniforms(few, name, "batch"), each[[0] * 5])
    np.testing.assert_array_equal(uniforms(few, name, "pair"), each[[0, 1, 2, 1, 0]])


@pytest.mark.parametrize(("rule", "kinds"), [("cycle", 6), ("permutation", 24)])
def test_every_order_of_four_is_as_likely_whatever_another_name_draws(keys: np.ndarray, rule: str, kinds: int) -> None:
    batches = keys[: 4 * 12_000].reshape(-1, 4, 2)
    known = {order: place for place, order in enumerate(permutations(range(4)))}
    one, other = ([known[tuple(partners(batch, name, rule))] for batch in batches] for name in names(2))
    counts = np.histogram2d(one, other, bins=24, range=[(0, 24), (0, 24)])[0]
    met = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    assert met.shape == (kinds, kinds)
    assert abs(chi_square(met.ravel())) < 5


def test_a_large_batch_is_one_cycle(keys: np.ndarray) -> None:
    order = partners(keys[:1000], names(1)[0], "cycle").astype(int)
    place, met = 0, set()
    while place not in met:
        met.add(place)
        place = order[place]
    assert len(met) == 1000


@pytest.mark.parametrize("rule", ["cycle", "permutation"])
def test_an_image_alone_is_its_own_partner(keys: np.ndarray, rule: str) -> None:
    assert partners(keys[:1], names(1)[0], rule).tolist() == [0]
