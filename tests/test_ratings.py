"""Laws of the rating distribution, then independent references, then errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import wasserstein_distance

from siamese_nima import ratings
from siamese_nima.errors import RatingError
from siamese_nima.ratings import RatingScale

FIVE = RatingScale(1, 5)
scales = st.builds(
    lambda low, size: RatingScale(low, low + size - 1), st.integers(-3, 3), st.integers(2, 12)
)


@st.composite
def distributions(draw: st.DrawFn, size: int = 10) -> np.ndarray:
    weights = draw(
        arrays(np.float64, size, elements=st.floats(0, 1).map(lambda w: 0.0 if w < 1e-6 else w))
    )
    weights[draw(st.integers(0, size - 1))] += 0.1
    return weights / weights.sum()


@given(distributions(), distributions())
def test_emd_r1_is_scipys_wasserstein_distance_over_the_number_of_grades(a, b):
    grades = np.arange(1, 11)
    expected = wasserstein_distance(grades, grades, a, b) / 10
    assert ratings.emd(a, b, r=1) == pytest.approx(expected, abs=1e-12)


@given(distributions(), distributions(), distributions(), st.sampled_from([1, 2]))
def test_emd_is_a_metric(a, b, c, r):
    ab, ba, bc, ac = (ratings.emd(x, y, r=r) for x, y in ((a, b), (b, a), (b, c), (a, c)))
    assert ab == ba
    assert ratings.emd(a, a, r=r) == 0
    assert ac <= ab + bc + 1e-12
    assert 0 <= ab <= (9 / 10) ** (1 / r) + 1e-12


def test_emd_of_opposite_ends_is_its_stated_maximum():
    ends = np.eye(10)[[0, 9]]
    assert ratings.emd(ends[0], ends[1], r=1) == pytest.approx(0.9)
    assert ratings.emd(ends[0], ends[1], r=2) == pytest.approx(0.9**0.5)


def test_emd_r2_of_a_hand_worked_pair():
    a, b = [0.25, 0.25, 0.5, 0.0], [0.75, 0.0, 0.0, 0.25]
    gaps = np.array([-0.5, -0.25, 0.25, 0.0])
    assert ratings.emd(a, b, r=2) == pytest.approx(np.sqrt(np.mean(gaps**2)))


@given(distributions(), distributions())
def test_preference_is_antisymmetric_around_one_half(a, b):
    forward, backward = ratings.preference(a, b), ratings.preference(b, a)
    assert forward + backward == pytest.approx(1)
    assert -1e-12 <= forward <= 1 + 1e-12
    assert ratings.preference(a, a) == pytest.approx(0.5)


@given(distributions(5), distributions(5))
def test_preference_is_the_double_sum_over_votes(a, b):
    expected = sum(
        a[i] * b[j] * (1.0 if i > j else 0.5 if i == j else 0.0) for i in range(5) for j in range(5)
    )
    assert ratings.preference(a, b) == pytest.approx(expected)


@given(st.lists(st.integers(0, 50), min_size=5, max_size=5).filter(any))
def test_votes_give_the_mean_and_spread_of_the_votes(votes):
    cast = np.repeat(FIVE.grades, votes)
    distribution = ratings.distribution_from_votes(votes, FIVE)
    assert ratings.mean(distribution, FIVE) == pytest.approx(cast.mean())
    assert ratings.spread(distribution, FIVE) == pytest.approx(cast.std(), abs=1e-9)


@given(scales, st.floats(0, 1))
def test_maximum_entropy_keeps_the_mean(scale, position):
    mos = scale.low + position * (scale.high - scale.low)
    distribution = ratings.distribution_from_mos(mos, scale)
    assert distribution.sum() == pytest.approx(1)
    assert ratings.mean(distribution, scale) == pytest.approx(mos, abs=1e-6)


@given(scales, st.floats(0, 1), st.floats(0, 1))
def test_maximum_entropy_keeps_mean_and_spread(scale, position, width):
    mos = scale.low + position * (scale.high - scale.low)
    below = min(np.floor(mos), scale.high - 1)
    least = (mos - below) * (below + 1 - mos)
    most = (mos - scale.low) * (scale.high - mos)
    spread = np.sqrt(least + width * (most - least))
    distribution = ratings.distribution_from_mos(mos, scale, spread=spread)
    assert ratings.mean(distribution, scale) == pytest.approx(mos, abs=1e-6)
    assert ratings.spread(distribution, scale) ** 2 == pytest.approx(spread**2, abs=1e-4)


@given(distributions(), st.floats(-0.02, 0.02), st.integers(0, 7))
def test_no_distribution_of_equal_mean_has_more_entropy(start, amount, grade):
    mos = float(ratings.mean(start))
    best = ratings.distribution_from_mos(mos)
    rival = best.copy()
    rival[grade : grade + 3] += amount * np.array([1, -2, 1])  # keeps sum and mean
    if rival.min() >= 0:
        assert entropy(rival) <= entropy(best) + 1e-9


def entropy(distribution: np.ndarray) -> float:
    positive = distribution[distribution > 0]
    return float(-np.sum(positive * np.log(positive)))


def test_the_middle_of_the_scale_gives_the_uniform_distribution():
    assert ratings.distribution_from_mos(5.5) == pytest.approx(np.full(10, 0.1))


def test_rows_are_independent_of_their_neighbours():
    many = ratings.distribution_from_mos([2.0, 5.0, 9.0], spread=[1.0, 2.0, 1.2])
    alone = ratings.distribution_from_mos(5.0, spread=2.0)
    assert many[1] == pytest.approx(alone, abs=1e-9)


@given(scales, scales, st.floats(0, 1))
def test_mapping_to_another_scale_and_back_changes_nothing(origin, target, position):
    score = origin.low + position * (origin.high - origin.low)
    there = ratings.map_mean(score, origin, target)
    assert ratings.map_mean(there, target, origin) == pytest.approx(score)
    assert ratings.map_mean(origin.low, origin, target) == target.low
    assert ratings.map_mean(origin.high, origin, target) == pytest.approx(target.high)


@given(distributions(5))
def test_mapping_a_distribution_keeps_the_relative_position_of_its_mean(distribution):
    ten = RatingScale(1, 10)
    mapped = ratings.map_distribution(distribution, FIVE, ten)
    expected = ratings.map_mean(ratings.mean(distribution, FIVE), FIVE, ten)
    assert mapped.sum() == pytest.approx(1)
    assert ratings.mean(mapped, ten) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RatingScale(5, 5), "got 5..5"),
        (lambda: ratings.distribution_from_votes([0] * 10), "1 photo.s. have no vote"),
        (lambda: ratings.distribution_from_votes([1, 2]), r"10 counts, got shape \(2,\)"),
        (lambda: ratings.distribution_from_votes([-1, 2], RatingScale(0, 1)), "negative"),
        (lambda: ratings.distribution_from_mos(10.5), "10.5 is outside the scale 1..10"),
        (lambda: ratings.distribution_from_mos(float("nan")), "nan is outside"),
        (lambda: ratings.distribution_from_mos(5.5, spread=9), "spread of 9; possible are 0.5 to"),
        (lambda: ratings.distribution_from_mos(5.5, spread=0.1), "spread of 0.1; possible are 0.5"),
        (lambda: ratings.distribution_from_mos([5, 6], spread=1), "as many spreads"),
        (lambda: ratings.emd([1, 0], [1, 0, 0]), "2 and 3 grades"),
        (lambda: ratings.emd([1, 0], [1, 0], r=3), "1 or 2, got 3"),
        (lambda: ratings.preference([1, 0], [1, 0, 0]), "2 and 3 grades"),
        (lambda: ratings.check_distributions([0.5] * 10, ratings.AVA_SCALE), "off by 4"),
        (lambda: ratings.check_distributions([0.5, 0.5], FIVE), r"5 probabilities, got .*\(2,\)"),
        (lambda: ratings.check_distributions([2, -1], RatingScale(0, 1)), "negative"),
    ],
)
def test_impossible_input_is_refused_with_its_value(call, message):
    with pytest.raises(RatingError, match=message):
        call()
