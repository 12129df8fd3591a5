import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from siamese_nima.taste.strengths import Coupling

PAIRS = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), min_size=1, max_size=14)


@given(PAIRS)
def test_groups_are_the_connected_components(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, dtype=np.intp).T
    found = Coupling.of(left, right, 15)
    graph = coo_array((np.ones(left.size), (left, right)), shape=(15, 15))
    _, theirs = connected_components(graph, directed=False)
    for first in found.photos:
        for second in found.photos:
            together = found.group[first] == found.group[second]
            assert together == (theirs[first] == theirs[second])


@given(PAIRS)
def test_solving_by_groups_is_solving_at_once(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, dtype=np.intp).T
    coupling = Coupling.of(left, right, 15)
    photos = coupling.photos
    flat, whole = np.zeros(coupling.entries), np.zeros((15, 15))
    for sides in ((left, left), (right, right), (left, right), (right, left)):
        weight = 1.0 if sides[0] is sides[1] else -0.9
        np.add.at(flat, coupling.at(*sides), weight)
        np.add.at(whole, sides, weight)
    np.add.at(flat, coupling.at(photos, photos), 1.0)
    dense = (whole + np.eye(15))[np.ix_(photos, photos)]
    values = np.arange(photos.size, dtype=float)
    np.testing.assert_allclose(coupling.solved(flat, values), np.linalg.solve(dense, values))
    np.testing.assert_allclose(
        coupling.inverse(flat)[coupling.at(photos, photos)], np.diag(np.linalg.inv(dense))
    )
