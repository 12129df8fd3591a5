from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from picker import Picker
from siamese_nima.errors import ConfigError, RatingError
from siamese_nima.ratings import RatingScale, emd
from siamese_nima.taste.agreement import compare_agreement, judge_held_out, judge_ratings
from siamese_nima.taste.preference import (
    PhotoFeatures,
    PreferenceModel,
    TastePrior,
    Tastes,
    fit_preference,
    fit_ratings,
    learn_preference,
    usual_priors,
)
from siamese_nima.taste.strengths import Comparisons

SCALE = RatingScale(1, 5)
PRIOR = TastePrior(spread=0.8, noise=0.4)


def some_photos(count: int = 40, seed: int = 0) -> PhotoFeatures:
    draw = np.random.default_rng(seed)
    features = np.hstack([draw.normal(0, 1, (count, 3)), draw.normal(5, 20, (count, 2))])
    return PhotoFeatures(features, draw.normal(0, 1, (count, 5)), SCALE, (3, 2))


def some_answers(rated: PhotoFeatures, count: int, seed: int = 1) -> Comparisons:
    """Of a person who likes the first feature."""
    draw = np.random.default_rng(seed)
    strengths = rated.scores() + 1.5 * rated.features[:, 0]
    left = draw.integers(0, len(strengths), count)
    right = (left + draw.integers(1, len(strengths), count)) % len(strengths)
    return Comparisons.of(left, right, Picker(strengths, 0.2, 0.1).answers(left, right, draw))


def test_no_tilt_is_the_models_own_distribution() -> None:
    rated = some_photos()
    expected = np.exp(rated.logits) / np.exp(rated.logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rated.tilted(), expected)
    np.testing.assert_allclose(rated.scores(), expected @ SCALE.grades)


@given(st.floats(-3, 3), st.floats(0.01, 3))
@settings(max_examples=30)
def test_more_tilt_is_a_higher_score_within_the_scale(tilt: float, more: float) -> None:
    rated = some_photos(8)
    low, high = rated.scores(np.full(8, tilt)), rated.scores(np.full(8, tilt + more))
    assert np.all((low < high) & (low > 1) & (high < 5))


def test_of_all_distributions_with_its_mean_the_tilted_one_is_nearest() -> None:
    rated = some_photos(1)
    before, after = rated.tilted()[0], rated.tilted(np.array([0.7]))[0]

    def divergence(logits: np.ndarray) -> float:
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        return float(np.sum(shares * np.log(shares / before)))

    def missed(logits: np.ndarray) -> float:
        shares = np.exp(logits - logits.max())
        return float(shares / shares.sum() @ SCALE.grades - after @ SCALE.grades)

    found = minimize(
        divergence, np.log(before), constraints={"type": "eq", "fun": missed}, tol=1e-12
    )
    assert found.fun == pytest.approx(divergence(np.log(after)), abs=1e-6)


@pytest.mark.parametrize("photos", [12, 60], ids=["more answers", "more photos"])
def test_the_taste_is_where_the_posterior_is_highest(photos) -> None:
    rated = some_photos(photos)
    answers = some_answers(rated, 30)
    found = fit_preference(rated, answers, [PRIOR])
    centred = rated.features - rated.features.mean(axis=0)
    unit = np.repeat(
        [np.sqrt(np.mean(np.sum(c**2, axis=1))) for c in np.split(centred, [3], axis=1)], (3, 2)
    )
    scaled = centred / unit / np.sqrt(2)
    variance = rated.tilted() @ SCALE.grades**2 - rated.scores() ** 2
    size = PRIOR.spread / variance.mean()

    def cost(weights: np.ndarray) -> float:
        scores = rated.scores(size * scaled @ weights)
        gaps = (scores[answers.left] - scores[answers.right]) / PRIOR.noise
        return float(np.sum(np.logaddexp(0, gaps) - answers.outcome * gaps) + weights @ weights / 2)

    best = minimize(cost, np.zeros(5), tol=1e-10)
    np.testing.assert_allclose(
        rated.scores(found.tilts(rated.features)), rated.scores(size * scaled @ best.x), atol=2e-3
    )


def test_answers_teach_the_order_of_photos_that_were_not_asked_about() -> None:
    rated = some_photos(300)
    answers = some_answers(rated.select(np.arange(150)), 150)
    tilt = learn_preference(rated, answers)
    new = slice(150, None)
    wanted = (rated.scores() + 1.5 * rated.features[:, 0])[new]
    before = np.corrcoef(rated.scores()[new], wanted)[0, 1]
    after = np.corrcoef(rated.scores(tilt.tilts(rated.features))[new], wanted)[0, 1]
    assert before < 0.6
    assert after > 0.9


def test_answers_that_say_what_the_model_says_change_little() -> None:
    rated = some_photos(100)
    draw = np.random.default_rng(3)
    left = draw.integers(0, 100, 150)
    right = (left + draw.integers(1, 100, 150)) % 100
    answers = Comparisons.of(left, right, Picker(rated.scores(), 0.4).answers(left, right, draw))
    tilt = learn_preference(rated, answers)
    assert tilt.prior.spread == min(prior.spread for prior in usual_priors(rated))
    moved = emd(rated.tilted(tilt.tilts(rated.features)), rated.tilted())
    assert moved.mean() < 0.05


def test_swapping_sides_changes_nothing() -> None:
    rated = some_photos(30)
    answers = some_answers(rated, 40)
    swapped = Comparisons(answers.right, answers.left, 1 - answers.outcome)
    found, again = (fit_preference(rated, a, [PRIOR]) for a in (answers, swapped))
    np.testing.assert_allclose(found.weights, again.weights, atol=1e-9)
    assert found.evidence == pytest.approx(again.evidence)


def test_held_out_answers_show_a_taste_that_is_there_and_none_that_is_not() -> None:
    rated = some_photos(400)
    found = judge_held_out(rated, some_answers(rated, 100))
    assert found.agreement.verdict == "better"
    assert found.new_photos
    coins = Comparisons.of(
        np.arange(100), np.arange(100) + 100, np.random.default_rng(0).integers(0, 2, 100)
    )
    assert judge_held_out(rated, coins).agreement.verdict == "no difference to be seen"


def test_what_is_held_out_depends_on_the_seed_alone() -> None:
    rated = some_photos(60)
    answers = some_answers(rated, 50)
    first, again, other = (judge_held_out(rated, answers, seed=s).gaps for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_impossible_input_is_refused() -> None:
    rated = some_photos(4)
    with pytest.raises(RatingError, match="got none"):
        fit_preference(rated, Comparisons.of([], [], []))
    with pytest.raises(ConfigError, match=r"above 0, got 1\.0 and 0"):
        TastePrior(spread=1.0, noise=0)
    with pytest.raises(RatingError, match=r"shape \(4, 5\), got \(4, 3\)"):
        PhotoFeatures(rated.features, rated.logits[:, :3], SCALE, (3, 2))
    with pytest.raises(RatingError, match="are not 5 in all"):
        PhotoFeatures(rated.features, rated.logits, SCALE, (3,))


def known(photos: PhotoFeatures, direction: int, noise: float = 0.3) -> PhotoFeatures:
    """People differ in how they like one of the last depth's features."""
    directions = np.zeros((photos.levels[-1], 1))
    directions[direction] = 0.8
    alone = np.full(photos.levels[-1], 0.05)
    return replace(photos, tastes=Tastes(directions, alone, 1.5, noise))


def test_known_tastes_teach_more_from_few_answers_and_from_few_ratings() -> None:
    """Many features of which one matters to people: where that is known, 30 answers tell more."""
    draw = np.random.default_rng(3)
    photos = PhotoFeatures(
        draw.normal(0, 1, (200, 60)), draw.normal(0, 0.1, (200, 5)), SCALE, (30, 30)
    )
    told = known(photos, 4)
    liked = photos.scores() + 2 * photos.features[:, 34]
    left, right = np.arange(30), np.arange(30, 60)
    answers = Comparisons.of(left, right, liked[left] > liked[right])
    stars = np.clip(np.round(3 + liked[:60]), 1, 5)

    def order(taste: PreferenceModel) -> float:
        scores = photos.scores(taste.tilts(photos.features))[60:]
        return float(np.corrcoef(scores, liked[60:])[0, 1])

    for learnt, from_nothing in (
        (learn_preference(told, answers), learn_preference(photos, answers)),
        (
            fit_ratings(told.select(np.arange(60)), stars),
            fit_ratings(photos.select(np.arange(60)), stars),
        ),
    ):
        assert order(learnt) > order(from_nothing) + 0.1
        assert order(learnt) > 0.8


def test_the_taste_of_ratings_is_the_mean_of_a_gaussian_regression() -> None:
    """The same in weights in place of photos: ridge regression with an offset."""
    photos = some_photos(12)
    rated = known(photos, 1)
    tastes = rated.tastes
    assert tastes is not None
    ratings = np.round(np.random.default_rng(5).normal(3, 1, 12))
    scores = rated.scores()
    slopes = rated.tilted() @ SCALE.grades**2 - scores**2
    centred = (photos.features - photos.features.mean(axis=0))[:, 3:]
    design = np.hstack([centred * tastes.alone, centred @ tastes.directions])
    design = design * (slopes / slopes.mean())[:, np.newaxis]
    missing = (ratings - ratings.mean()) / ratings.std() - (scores - scores.mean()) / tastes.spread
    with_offset = np.hstack([design, np.sqrt(10) * np.ones((12, 1))])
    weights = np.linalg.solve(
        with_offset.T @ with_offset + tastes.noise * np.eye(with_offset.shape[1]),
        with_offset.T @ missing,
    )
    expected = design @ weights[:-1] * tastes.spread / slopes
    found = fit_ratings(rated, ratings).tilts(rated.features)
    np.testing.assert_allclose(found, expected, atol=1e-8)


@given(st.floats(0.1, 50), st.floats(-100, 100))
@settings(max_examples=20)
def test_the_scale_of_ratings_plays_no_part(factor: float, offset: float) -> None:
    rated = some_photos(20)
    ratings = np.random.default_rng(5).integers(1, 6, 20).astype(np.float64)
    first, second = fit_ratings(rated, ratings), fit_ratings(rated, factor * ratings + offset)
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-6)


def test_held_out_ratings_show_a_taste_that_is_there_and_none_that_is_not() -> None:
    rated = some_photos(200)
    stars = np.clip(np.round(3 + rated.scores() + 1.5 * rated.features[:, 0]), 1, 5)
    found = judge_ratings(rated, stars)
    assert found.agreement.verdict == "better"
    assert found.new_photos
    left, right = found.comparisons.left, found.comparisons.right
    np.testing.assert_array_equal(found.comparisons.outcome, stars[left] > stars[right])
    assert np.all(stars[left] != stars[right])
    by_pair = compare_agreement(found.gaps, found.gaps, found.comparisons).personal
    by_photo = found.agreement.personal
    assert by_photo.value == by_pair.value
    assert by_photo.high - by_photo.low > by_pair.high - by_pair.low
    coins = np.random.default_rng(1).integers(0, 2, 200).astype(np.float64)
    assert judge_ratings(rated, coins).agreement.verdict != "better"


def test_ratings_that_do_not_differ_teach_nothing() -> None:
    for ratings in (np.ones(8), np.ones(7)):
        with pytest.raises(RatingError, match="ratings that differ"):
            fit_ratings(some_photos(8), ratings)
