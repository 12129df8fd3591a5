"""Pairs of a batch and their labels: laws, hand-worked numbers, agreement with `ratings`."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_nima import ratings
from siamese_nima.ratings import AVA_SCALE, RatingScale
from siamese_nima.training.pairs import (
    PhotoLabels,
    all_pairs,
    label_pairs,
    some_pairs,
    vote_preference,
)


def labels_of(means, *, errors=0.5, buckets=None, ladders=None, rungs=None, shares=None):
    count = len(means)
    return PhotoLabels(
        distributions=torch.full((count, 10), math.nan) if shares is None else shares,
        means=torch.tensor(means, dtype=torch.float64),
        standard_errors=torch.full((count,), errors, dtype=torch.float64),
        buckets=torch.tensor(buckets or [-1] * count),
        ladders=torch.tensor(ladders or [-1] * count),
        rungs=torch.tensor(rungs or [0] * count),
        scenes=torch.arange(count),
    )


@given(st.integers(0, 40))
@settings(deadline=None)
def test_a_batch_has_every_pair_once_and_no_photo_with_itself(photos):
    first, second = all_pairs(photos)
    assert len(first) == photos * (photos - 1) // 2
    assert torch.all(first < second)
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(first)


def test_too_many_pairs_are_drawn_at_random_and_never_a_photo_with_itself():
    assert some_pairs(10, 45).tolist() == all_pairs(10).tolist()
    first, second = some_pairs(10, 44)
    assert first.shape == (44,)
    assert torch.all(first != second)
    assert {*first.tolist(), *second.tolist()} == set(range(10))
    assert some_pairs(10, 44).tolist() == [first.tolist(), second.tolist()]


def test_soft_preference_is_the_normal_curve_of_gap_over_error():
    pairs = label_pairs(all_pairs(2), labels_of([6.0, 5.0], errors=0.5), AVA_SCALE)
    assert pairs.deviation.tolist() == pytest.approx([math.sqrt(0.5)])
    # Phi(1 / .7071) = Phi(1.4142) = .92135
    assert pairs.preference.tolist() == pytest.approx([0.921350], abs=1e-6)


def swapped(pairs):
    return pairs._replace(first=pairs.second, second=pairs.first, preference=1 - pairs.preference)


@pytest.mark.parametrize("kind", ["soft", "hard", "votes"])
def test_swapping_a_pair_turns_its_preference_round(kind):
    rng = np.random.default_rng(2)
    shares = torch.from_numpy(rng.dirichlet(np.ones(10), 6))
    labels = labels_of((shares @ torch.tensor(AVA_SCALE.grades)).tolist(), shares=shares)
    index = all_pairs(6)
    there = label_pairs(index, labels, AVA_SCALE, kind=kind)
    back = label_pairs(index.flip(0), labels, AVA_SCALE, kind=kind)
    assert torch.allclose(there.preference + back.preference, torch.ones(15, dtype=torch.float64))
    for name in ("first", "second", "preference", "deviation", "same_bucket"):
        assert torch.allclose(getattr(swapped(there), name), getattr(back, name)), name


def test_hard_preference_is_the_order_alone_and_a_tie_is_one_half():
    pairs = label_pairs(all_pairs(3), labels_of([2.0, 9.0, 2.0]), AVA_SCALE, kind="hard")
    assert pairs.preference.tolist() == [0.0, 0.5, 1.0]


def test_preference_from_votes_equals_the_one_of_ratings():
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.ones(5), 7)
    index = all_pairs(7)
    first, second = index.numpy()
    found = vote_preference(torch.from_numpy(shares), index).numpy()
    assert found == pytest.approx(ratings.preference(shares[first], shares[second]))


def test_the_deviation_of_votes_is_that_of_the_difference_of_two_votes():
    scale = RatingScale(1, 5)
    shares = torch.tensor([[0.5, 0, 0, 0, 0.5], [0, 0.5, 0, 0.5, 0]], dtype=torch.float64)
    labels = labels_of([3.0, 3.0], shares=shares)
    pairs = label_pairs(all_pairs(2), labels, scale, kind="votes")
    assert pairs.deviation.tolist() == pytest.approx([math.sqrt(4 + 1)])
    assert pairs.preference.tolist() == pytest.approx([0.5])


def test_surer_labels_give_surer_preferences():
    index = all_pairs(2)
    doubt = [
        label_pairs(index, labels_of([6.0, 5.0], errors=error), AVA_SCALE).preference.item()
        for error in (2.0, 1.0, 0.5, 0.1)
    ]
    assert doubt == sorted(doubt)
    assert 0.5 < doubt[0] < doubt[-1] <= 1


def test_errors_of_zero_are_bounded_and_keep_numbers_finite():
    pairs = label_pairs(all_pairs(2), labels_of([6.0, 6.0], errors=0.0), AVA_SCALE)
    assert pairs.preference.tolist() == [0.5]
    assert pairs.deviation.tolist() == pytest.approx([0.045])


def test_buckets_are_the_same_or_not_and_may_be_unknown():
    pairs = label_pairs(all_pairs(3), labels_of([1.0, 2, 3], buckets=[4, 4, -1]), AVA_SCALE)
    assert pairs.same_bucket.tolist()[0] is True
    assert pairs.has_buckets.tolist() == [True, False, False]


def test_photos_without_a_score_pair_only_on_their_own_ladder():
    unrated = math.nan
    labels = labels_of(
        [5.0, unrated, unrated, 6.0, unrated],
        ladders=[0, 0, 0, 1, 1],
        rungs=[0, 2, 1, 0, 3],
        buckets=[5, -1, -1, 6, -1],
    )
    pairs = label_pairs(all_pairs(5), labels, AVA_SCALE)
    told = {
        (int(a), int(b)): p
        for a, b, p in zip(pairs.first, pairs.second, pairs.preference.tolist(), strict=True)
    }
    assert told == {
        (0, 1): 1.0,
        (0, 2): 1.0,
        (1, 2): 0.0,
        (0, 3): pytest.approx(0.07865, abs=1e-5),
        (3, 4): 1.0,
    }
    assert not pairs.same_bucket.any()
    assert pairs.has_buckets.all()
    assert pairs.deviation.isfinite().all()
