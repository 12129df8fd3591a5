"""From scores to stars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.curation.stars import StarRule, give_stars
from siamese_nima.errors import ConfigError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto

RULES = (StarRule(), StarRule(by="population"), StarRule(by="score", bounds=(3, 4, 6, 8)))


def result(mean, percentile=None):
    return ScoredPhoto(
        path="a", model="tiny-1@0", scale=AVA_SCALE, score=mean, percentile=percentile
    )


def test_among_ten_photos_the_default_is_1_2_4_2_1():
    stars = give_stars([result(1 + n / 2) for n in range(10)], StarRule())
    assert stars == [1, 2, 2, 3, 3, 3, 3, 4, 4, 5]


def test_a_photo_alone_is_average_and_equal_ones_are_too():
    assert give_stars([result(9.0)], StarRule()) == [3]
    assert give_stars([result(2.0)] * 50, StarRule()) == [3] * 50


def test_percentiles_of_the_population_and_scores_have_bounds_too():
    photos = [result(2.0, 9.9), result(5.0, 10.0), result(9.0, 95.0), result(None)]
    assert give_stars(photos, StarRule(by="population")) == [1, 2, 5, None]
    by_score = StarRule(by="score", bounds=(3, 4, 6, 9))
    assert give_stars(photos, by_score) == [1, 3, 5, None]


def test_rejection_is_by_choice():
    photos = [result(1 + n / 2) for n in range(10)]
    assert give_stars(photos, StarRule(reject_below=10))[:2] == [-1, 2]


@given(st.lists(st.none() | st.floats(1, 10), max_size=30), st.sampled_from(RULES))
def test_equal_scores_get_equal_stars_and_higher_ones_never_fewer(means, rule):
    photos = [result(m, None if m is None else (m - 1) * 100 / 9) for m in means]
    stars = give_stars(photos, rule)
    rated = sorted((m, s) for m, s in zip(means, stars, strict=True) if m is not None)
    assert [s for _, s in rated] == sorted(s for _, s in rated)
    assert len({m for m, _ in rated}) == len(set(rated))
    assert all(s is None for m, s in zip(means, stars, strict=True) if m is None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"by": "luck"}, "not by 'luck'"),
        ({"bounds": (10, 30, 70)}, "4 rising numbers.* got 10,30,70"),
        ({"bounds": (10, 30, 30, 90)}, "got 10,30,30,90"),
        ({"bounds": (10, 30, 70, 190)}, "percentiles are from 0 to 100"),
        ({"reject_below": 20}, "20, is above that of 2 stars, 10"),
    ],
)
def test_impossible_rules_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        StarRule(**values)


def test_a_rule_must_fit_the_model():
    with pytest.raises(ConfigError, match="tiny-1@0 has no reference population"):
        give_stars([result(5.0)], StarRule(by="population"))
    with pytest.raises(ConfigError, match=r"scores of tiny-1@0 are 1..10"):
        give_stars([result(5.0)], StarRule(by="score", bounds=(10, 30, 70, 90)))
