import choix
import numpy as np
import pytest
from choix.opt import PairwiseFcts
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_nima.errors import ConfigError, RatingError
from siamese_nima.ratings import RatingScale
from siamese_nima.taste.strengths import Comparisons, Strengths, TastePrior, estimate_strengths

PRIOR = TastePrior(spread=1.5, noise=0.4)


@st.composite
def answered(draw: st.DrawFn) -> tuple[np.ndarray, Comparisons]:
    """Scores of some photos and answers about some of their pairs."""
    count = draw(st.integers(2, 12))
    scores = draw(st.lists(st.floats(1, 10), min_size=count, max_size=count))
    pair = st.permutations(range(count)).map(lambda order: order[:2])
    answers = draw(
        st.lists(st.tuples(pair, st.sampled_from([0.0, 0.5, 1.0])), min_size=0, max_size=20)
    )
    left = [i for (i, _), _ in answers]
    right = [j for (_, j), _ in answers]
    return np.array(scores), Comparisons.of(left, right, [outcome for _, outcome in answers])


def all_pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    left, right = np.triu_indices(count, 1)
    return left, right


@given(answered())
def test_photos_that_nobody_was_asked_about_keep_score_and_doubt(case) -> None:
    scores, answers = case
    found = estimate_strengths(scores, answers, prior=PRIOR)
    rest = np.setdiff1d(np.arange(scores.size), found.asked)
    np.testing.assert_array_equal(found.values[rest], scores[rest])
    np.testing.assert_array_equal(found.variances[rest], PRIOR.spread**2)


@given(answered())
def test_swapping_the_sides_of_all_answers_changes_nothing(case) -> None:
    scores, answers = case
    found = estimate_strengths(scores, answers, prior=PRIOR)
    swapped = Comparisons(answers.right, answers.left, 1 - answers.outcome)
    again = estimate_strengths(scores, swapped, prior=PRIOR)
    np.testing.assert_allclose(again.values, found.values, atol=1e-7)
    np.testing.assert_allclose(again.variances, found.variances, atol=1e-7)


@given(answered())
def test_answers_move_strengths_about_without_making_any(case) -> None:
    scores, answers = case
    found = estimate_strengths(scores, answers, prior=PRIOR)
    assert found.values.sum() == pytest.approx(scores.sum(), abs=1e-6)


@given(answered())
def test_the_posterior_is_flat_at_the_strengths(case) -> None:
    scores, answers = case
    found = estimate_strengths(scores, answers, prior=PRIOR)
    gaps = found.gap(answers.left, answers.right) / PRIOR.noise
    surprise = (answers.outcome - 1 / (1 + np.exp(-gaps))) / PRIOR.noise
    slope = (scores - found.values) / PRIOR.spread**2
    np.add.at(slope, answers.left, surprise)
    np.add.at(slope, answers.right, -surprise)
    np.testing.assert_allclose(slope, 0, atol=1e-6)


@given(answered())
def test_no_answer_makes_a_strength_more_uncertain(case) -> None:
    scores, answers = case
    found = estimate_strengths(scores, answers, prior=PRIOR)
    assert np.all(found.variances <= PRIOR.spread**2 + 1e-9)
    assert np.all(found.variances > 0)


@given(answered())
def test_preference_and_information_are_of_the_pair_not_of_its_sides(case) -> None:
    scores, answers = case
    found = estimate_strengths(scores, answers, prior=PRIOR)
    left, right = all_pairs(scores.size)
    np.testing.assert_allclose(
        found.preference(left, right) + found.preference(right, left), 1, atol=1e-12
    )
    information = found.information(left, right)
    np.testing.assert_allclose(information, found.information(right, left), atol=1e-12)
    assert np.all((information >= 0) & (information <= np.log(2)))


@given(answered(), answered())
@settings(max_examples=30)
def test_where_the_search_starts_changes_nothing(case, other) -> None:
    scores, answers = case
    found = estimate_strengths(scores, answers, prior=PRIOR)
    far = np.resize(other[0], scores.size)
    start = Strengths(far, found.variances, PRIOR, found._coupling, found._covariance)
    again = estimate_strengths(scores, answers, prior=PRIOR, start=start)
    np.testing.assert_allclose(again.values, found.values, atol=1e-7)


@given(answered())
@settings(max_examples=30)
def test_agrees_with_choix_where_the_models_coincide(case) -> None:
    """choix has the prior mean 0, noise 1 and no ties; its `alpha` is 1 / (2 variance)."""
    scores, answers = case
    decided = answers.outcome != 0.5
    outcome = answers.outcome[decided]
    answers = Comparisons(answers.left[decided], answers.right[decided], outcome)
    won = np.where(outcome == 1, answers.left, answers.right)
    lost = np.where(outcome == 1, answers.right, answers.left)
    data = list(zip(won.tolist(), lost.tolist(), strict=True))
    prior = TastePrior(spread=2.0, noise=1.0)
    found = estimate_strengths(np.zeros(scores.size), answers, prior=prior)
    theirs = choix.opt_pairwise(scores.size, data, alpha=1 / (2 * prior.spread**2), tol=1e-10)
    np.testing.assert_allclose(found.values, theirs, atol=1e-5)
    curvature = PairwiseFcts(data, 1 / (2 * prior.spread**2)).hessian(found.values)
    covariance = np.linalg.inv(curvature)
    np.testing.assert_allclose(found.variances, np.diag(covariance), atol=1e-8)
    left, right = all_pairs(scores.size)
    np.testing.assert_allclose(
        found.covariance(left, right), covariance[left, right], rtol=1e-7, atol=1e-8
    )


def test_many_like_answers_weigh_more_than_one() -> None:
    once, often = (
        estimate_strengths([6.0, 5.0], Comparisons.of([0] * n, [1] * n, [0.0] * n)) for n in (1, 30)
    )
    assert once.gap(0, 1) == pytest.approx(-0.34, abs=0.01)
    assert often.gap(0, 1) == pytest.approx(-1.86, abs=0.01)


def test_too_close_to_call_brings_strengths_together() -> None:
    found = estimate_strengths([6.0, 5.0], Comparisons.of([0] * 5, [1] * 5, [0.5] * 5))
    assert 0 < found.gap(0, 1) < 0.1
    assert found.preference(0, 1) > 0.5


def test_a_pair_tells_most_when_its_order_is_open() -> None:
    found = estimate_strengths([5.0, 5.1, 9.0], Comparisons.of([], [], []))
    close, far = found.information([0, 0], [1, 2])
    assert close > 4 * far
    asked = Comparisons.of([0] * 9, [1] * 9, [1, 0, 1, 0, 1, 0, 1, 0, 1])
    assert estimate_strengths([5.0, 5.1, 9.0], asked).information(0, 1) < close / 3


def test_information_agrees_with_drawing_strengths() -> None:
    found = estimate_strengths([5.0, 5.6], Comparisons.of([0], [1], [1]))
    gaps = np.random.default_rng(0).normal(found.gap(0, 1), found.gap_variance(0, 1) ** 0.5, 10**6)
    chances = 1 / (1 + np.exp(-gaps / found.prior.noise))

    def doubt(p: np.ndarray) -> np.ndarray:
        return -(p * np.log(p) + (1 - p) * np.log(1 - p))

    assert found.preference(0, 1) == pytest.approx(chances.mean(), abs=2e-3)
    drawn = doubt(chances.mean()) - doubt(chances).mean()
    assert found.information(0, 1) == pytest.approx(drawn, abs=2e-3)


def test_the_prior_follows_the_width_of_the_scale() -> None:
    five = TastePrior.on(RatingScale(1, 5))
    assert (five.spread, five.noise) == pytest.approx((4 / 9, 2 / 9))


@pytest.mark.parametrize(
    ("left", "right", "outcome", "message"),
    [
        ([1], [1], [1], "with itself"),
        ([0], [1], [1.5], "outside 0..1"),
        ([0, 1], [1], [1], r"\(2,\), \(1,\) and \(1,\)"),
        ([0], [7], [1], "photo number 7, there are 3 photos"),
    ],
)
def test_impossible_answers_are_refused(left, right, outcome, message) -> None:
    with pytest.raises(RatingError, match=message):
        estimate_strengths([5.0, 5.0, 5.0], Comparisons.of(left, right, outcome))


def test_impossible_priors_and_scores_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"above 0, got 1\.0 and 0"):
        TastePrior(noise=0)
    with pytest.raises(RatingError, match="finite score"):
        estimate_strengths([5.0, np.nan], Comparisons.of([], [], []))
