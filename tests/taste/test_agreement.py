import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from siamese_nima.errors import RatingError
from siamese_nima.taste.agreement import (
    agreements,
    compare_agreement,
    held_out_folds,
    self_agreement,
)
from siamese_nima.taste.strengths import Comparisons

NOBODY_ELSE = np.zeros(4, dtype=np.intp)


def fresh_pairs(outcome: list[float]) -> Comparisons:
    """An answer each about photos that no other answer is about."""
    left = np.arange(len(outcome)) * 2
    return Comparisons.of(left, left + 1, outcome)


def test_agreement_is_of_sign_and_ties_are_of_nobody() -> None:
    found = agreements([0.3, -2.0, 0.0, 1.0], fresh_pairs([1, 1, 0, 0.5]))
    np.testing.assert_array_equal(found, [1, 0, 0.5, np.nan])


def test_a_clear_gain_is_better_the_other_way_round_worse_and_none_is_neither() -> None:
    answers = fresh_pairs([1.0] * 60)
    coin, right = np.resize([1.0, -1.0], 60), np.ones(60)
    found = compare_agreement(coin, right, answers)
    assert (found.general.value, found.personal.value, found.difference.value) == (0.5, 1, 0.5)
    assert found.verdict == "better"
    assert compare_agreement(right, coin, answers).verdict == "worse"
    same = compare_agreement(coin, -coin, answers)
    assert same.difference.value == 0
    assert same.verdict == "no difference to be seen"


def test_one_answer_more_is_not_better() -> None:
    answers = fresh_pairs([1.0] * 40)
    before = np.ones(40)
    before[:2] = -1
    assert compare_agreement(before, np.ones(40), answers).verdict == "no difference to be seen"


def test_answers_about_one_pair_count_together_in_the_interval() -> None:
    apart = fresh_pairs([1.0, 0.0] * 20)
    often = Comparisons.of([0] * 20 + [2] * 20, [1] * 20 + [3] * 20, [1.0] * 20 + [0.0] * 20)
    wide, narrow = (compare_agreement(np.ones(40), np.ones(40), a).general for a in (often, apart))
    assert wide.value == narrow.value == 0.5
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_interval_of_a_share_is_never_narrower_than_wilsons() -> None:
    found = compare_agreement(np.ones(12), np.ones(12), fresh_pairs([1.0] * 12)).general
    wilson = binomtest(12, 12).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=1e-3)


def test_no_decided_answer_is_an_error() -> None:
    with pytest.raises(RatingError, match="got none"):
        compare_agreement([1.0], [1.0], fresh_pairs([0.5]))


def test_self_agreement_knows_swapped_sides_and_people_apart() -> None:
    answers = Comparisons.of([0, 1, 0, 2], [1, 0, 1, 3], [1, 0, 0.5, 1])
    found = self_agreement(answers, NOBODY_ELSE)
    assert (found.value, found.of) == (0.75, 2)  # the same again; then a tie
    apart = self_agreement(answers, np.array([0, 1, 2, 0]))
    assert apart.of == 0
    assert apart.to_json() == {"value": None, "low": None, "high": None, "of": 0}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=5, max_size=30))
@settings(max_examples=40)
def test_answers_about_one_pair_are_never_divided(pairs: list[tuple[int, int]]) -> None:
    pairs = [(i, j) if i != j else (i, 10) for i, j in pairs]
    left, right = np.array(pairs).T
    folds = held_out_folds(Comparisons.of(left, right, np.ones(len(pairs))), 5)
    assert folds.min() >= 0
    assert folds.max() < 5
    for i, first in enumerate(pairs):
        for j, second in enumerate(pairs):
            if set(first) == set(second):
                assert folds[i] == folds[j]


def test_photos_stay_together_where_groups_are_small() -> None:
    left = np.repeat(np.arange(20) * 3, 2)
    right = left + np.resize([1, 2], 40)
    folds = held_out_folds(Comparisons.of(left, right, np.ones(40)), 5)
    assert np.all(folds[::2] == folds[1::2])
    assert np.bincount(folds).tolist() == [8, 8, 8, 8, 8]
