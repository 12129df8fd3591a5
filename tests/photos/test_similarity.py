import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese_nima.photos.similarity import alike_by_hash, difference_hash, group_pairs


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(
    st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40)
)))  # fmt: skip
def test_groups_are_the_connected_components(case):
    count, pairs = case
    component = list(range(count))
    for a, b in pairs * count:
        component = [min(component[a], component[b]) if c in (component[a], component[b]) else c
                     for c in component]  # fmt: skip
    assert group_pairs(count, pairs).tolist() == component


def test_a_long_chain_is_one_group():
    chain = [[i, i + 1] for i in range(999)]
    assert set(group_pairs(1000, chain).tolist()) == {0}


def test_a_short_reach_still_connects_a_long_run_of_equal_hashes():
    hashes = np.full(500, 12345, dtype=np.uint64)
    pairs = np.concatenate(list(alike_by_hash(hashes, reach=2)))
    assert len(pairs) == 28 * (499 + 498)
    assert set(group_pairs(500, pairs).tolist()) == {0}


def test_the_difference_hash_has_a_bit_per_brighter_right_neighbour():
    ramp = np.tile(np.arange(0, 252, 28, dtype=np.uint8), (8, 1))
    assert difference_hash(Image.fromarray(ramp)) == 2**64 - 1
    assert difference_hash(Image.fromarray(ramp[:, ::-1].copy())) == 0
