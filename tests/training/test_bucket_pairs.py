"""The origin's pairs: its counts, its order, its accuracy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_nima.errors import ConfigError
from siamese_nima.training.bucket_pairs import draw_bucket_pairs, same_bucket_accuracy

LABELS = np.array([1, 0, 1, 7, 0, 1])


def drawn(labels, seed=0):
    return draw_bucket_pairs(labels, np.random.default_rng(seed))


def test_each_photo_but_a_buckets_last_is_paired_with_the_next_and_with_another_bucket():
    rows, same = drawn(LABELS)
    assert same.tolist() == [True, False] * 3
    assert rows[same].tolist() == [[1, 4], [0, 2], [2, 5]]
    assert rows[~same][:, 0].tolist() == [1, 0, 2]


@given(st.lists(st.integers(0, 5), min_size=3, max_size=40), st.integers(0, 5))
@settings(deadline=None)
def test_same_says_whether_labels_are_equal_and_counts_are_those_of_the_origin(labels, seed):
    labels = np.array([*labels, 0, 0, 1])
    rows, same = drawn(labels, seed)
    assert np.array_equal(labels[rows[:, 0]] == labels[rows[:, 1]], same)
    assert len(rows) == 2 * (len(labels) - len(np.unique(labels)))


def test_other_buckets_are_all_drawn_whatever_their_size():
    labels = np.array([0] * 400 + [1] * 3 + [2] * 50)
    rows, same = drawn(labels)
    partners = labels[rows[~same & (labels[rows[:, 0]] == 0)][:, 1]]
    assert np.mean(partners == 1) == pytest.approx(0.5, abs=0.1)


def test_pairs_are_drawn_anew_and_the_same_for_the_same_seed():
    labels = np.arange(60) % 6
    assert drawn(labels).rows.tolist() == drawn(labels).rows.tolist()
    assert drawn(labels).rows.tolist() != drawn(labels, seed=1).rows.tolist()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([3, 3, 3], "3 photos with 1 different labels"),
        ([1.5, 2.5, 3.25], "mean scores with decimals must be put into buckets"),
        ([], "0 photos with 0 different labels"),
    ],
)
def test_labels_that_make_no_pairs_are_refused(labels, message):
    with pytest.raises(ConfigError, match=message):
        drawn(labels) if labels else drawn(np.zeros(0, int))


def test_accuracy_is_one_minus_the_share_of_pairs_told_wrong():
    assert same_bucket_accuracy([0.49, -0.5], [True, False]) == 1
    assert same_bucket_accuracy([0.49, -0.5], [False, True]) == 0
