import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from siamese_nima.errors import TableError
from siamese_nima.evaluation.pairs_by_gap import (
    accuracy_by_gap,
    right_order,
    sample_pairs,
    top_precision,
)

numbers = st.lists(st.integers(0, 9), min_size=3, max_size=12)


def own_scene(values):
    return [f"s{i}" for i in range(len(values))]


def test_accuracy_in_total_and_by_gap_by_hand():
    # Labels 0, 1, 3; the scores have the first two the wrong way round.
    found = accuracy_by_gap([2.0, 1.0, 4.0], [0.0, 1.0, 3.0], own_scene("abc"), [0, 1, 3])
    assert found.pairs == 3
    assert found.total.value == pytest.approx(2 / 3)
    assert [(row.low, row.high, row.pairs, row.accuracy.value) for row in found.by_gap] == [
        (0.0, 1.0, 1, 0.0),
        (1.0, 3.0, 2, 1.0),
    ]


@settings(deadline=None)
@given(numbers, st.randoms())
def test_total_accuracy_is_kendalls_concordance(labels, random):
    scores = [float(random.randint(0, 9)) for _ in labels]
    found = accuracy_by_gap(scores, labels, own_scene(labels), [0, 20], repeats=2)
    if found.pairs == 0:
        return
    pairs = [(a, b) for a in range(len(labels)) for b in range(a) if labels[a] != labels[b]]
    signs = [np.sign((scores[a] - scores[b]) * (labels[a] - labels[b])) for a, b in pairs]
    assert found.total.value == pytest.approx((1 + np.mean(signs)) / 2)
    if len(set(labels)) == len(labels) and len(set(scores)) == len(scores):
        tau = stats.kendalltau(scores, labels).statistic
        assert found.total.value == pytest.approx((1 + tau) / 2)


def test_accuracy_of_normal_noise_is_greiners_relation():
    generator = np.random.default_rng(0)
    scores, noise = generator.normal(size=(2, 4000))
    labels = 0.8 * scores + 0.6 * noise
    found = accuracy_by_gap(scores, labels, own_scene(labels), [0, 20], repeats=50)
    wanted = 0.5 + np.arcsin(0.8) / np.pi
    assert found.total.low < wanted < found.total.high
    assert found.total.high - found.total.low < 0.03


def test_intervals_are_wider_when_photos_share_scenes():
    generator = np.random.default_rng(1)
    labels = generator.normal(size=60)
    scores = labels + 0.5 * generator.normal(size=60)
    copies = np.repeat(np.arange(60), 5)
    alone = accuracy_by_gap(scores[copies], labels[copies], own_scene(copies), [0, 9]).total
    grouped = accuracy_by_gap(scores[copies], labels[copies], copies.astype(str), [0, 9]).total
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_all_pairs_are_taken_or_as_many_as_asked_for():
    assert sample_pairs(4).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    drawn = sample_pairs(1000, 500)
    assert drawn.shape == (500, 2)
    assert np.all(drawn[:, 0] != drawn[:, 1])
    assert drawn.min() >= 0
    assert drawn.max() < 1000


def test_a_tie_of_scores_is_half_right():
    order = right_order(np.array([1.0, 1.0, 0.0]), np.array([0.0, 1.0, 2.0]), sample_pairs(3))
    assert order.tolist() == [0.5, 0.0, 0.0]


def test_top_precision_by_hand():
    labels = np.arange(10.0)
    assert top_precision(labels, labels, share=0.2) == 1
    assert top_precision(-labels, labels, share=0.2) == 0
    swapped = labels.copy()
    swapped[[8, 0]] = swapped[[0, 8]]
    assert top_precision(swapped, labels, share=0.2) == 0.5
    with pytest.raises(TableError, match="got 0"):
        top_precision(labels, labels, share=0)


def test_edges_must_ascend():
    with pytest.raises(TableError, match=r"must ascend, at least two, got \[1.0\]"):
        accuracy_by_gap([1.0, 2.0], [1.0, 2.0], ["a", "b"], [1.0])
