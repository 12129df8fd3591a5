import numpy as np
import pytest

from siamese_nima.ratings import RatingScale
from siamese_nima.taste.choosing import ChoosingRule, choose_pair
from siamese_nima.taste.held_out import tilt_of_answers
from siamese_nima.taste.pickers import Picker
from siamese_nima.taste.strengths import Comparisons
from siamese_nima.taste.tilt import Rated, TiltPrior, learn_tilt
from siamese_nima.taste.tilt_belief import TiltBeliefs

SCALE = RatingScale(1, 5)
PRIOR = TiltPrior(spread=1.0, noise=0.5)


@pytest.fixture(scope="module")
def rated() -> Rated:
    draw = np.random.default_rng(0)
    return Rated(draw.normal(0, 1, (80, 4)), draw.normal(0, 1, (80, 5)), SCALE, (4,))


def answers(rated: Rated, count: int) -> Comparisons:
    draw = np.random.default_rng(1)
    left = draw.integers(0, 40, count)
    right = (left + draw.integers(1, 40, count)) % 40
    picker = Picker(rated.scores() + 2 * rated.features[:, 0], 0.3)
    return Comparisons.of(left, right, picker.answers(left, right, draw))


def test_before_any_answer_it_is_the_model_and_the_prior(rated) -> None:
    belief = TiltBeliefs(rated, PRIOR).after(Comparisons.of([], [], []))
    np.testing.assert_allclose(belief.values, rated.scores())
    left, right = np.triu_indices(80, 1)
    spread = np.sqrt(belief.gap_variance(left, right).mean())
    assert spread == pytest.approx(np.sqrt(2) * PRIOR.spread, rel=0.25)


def test_after_answers_the_values_are_those_of_the_taste(rated) -> None:
    given = answers(rated, 60)
    tilt = tilt_of_answers(rated, given)
    belief = TiltBeliefs(rated, PRIOR).after(given)
    np.testing.assert_allclose(belief.values, rated.scores(tilt.of(rated.features)))
    assert belief.noise == tilt.prior.noise


def test_answers_make_photos_that_were_not_asked_about_less_uncertain(rated) -> None:
    beliefs = TiltBeliefs(rated, PRIOR)
    left, right = np.arange(40, 60), np.arange(60, 80)
    few, many = (
        beliefs.after(answers(rated, count)).gap_variance(left, right) for count in (9, 60)
    )
    before = beliefs.after(Comparisons.of([], [], [])).gap_variance(left, right)
    assert np.all(few <= before + 1e-12)
    assert many.mean() < 0.7 * before.mean()


def test_the_variance_is_that_of_a_gaussian_process(rated) -> None:
    """The same numbers from the textbook's form, with whole matrices."""
    given = answers(rated, 6)
    belief = TiltBeliefs(rated, PRIOR).after(given)
    centred = rated.features - rated.features.mean(axis=0)
    kernel = centred @ centred.T / np.mean(np.sum(centred**2, axis=1))
    shares = rated.tilted()
    slopes = shares @ SCALE.grades**2 - (shares @ SCALE.grades) ** 2
    covariance = slopes[:, None] * kernel * slopes * (PRIOR.spread / slopes.mean()) ** 2
    design = np.zeros((6, 80))
    design[np.arange(6), given.left] = 1
    design[np.arange(6), given.right] = -1
    chosen = 1 / (1 + np.exp(-design @ rated.scores() / PRIOR.noise))
    weight = chosen * (1 - chosen) / PRIOR.noise**2
    cross = covariance @ design.T
    posterior = covariance - cross @ np.linalg.solve(design @ cross + np.diag(1 / weight), cross.T)
    left, right = np.array([0, 5, 50]), np.array([70, 6, 20])
    expected = posterior[left, left] + posterior[right, right] - 2 * posterior[left, right]
    np.testing.assert_allclose(belief.gap_variance(left, right), expected, atol=1e-9)


def test_pairs_can_be_chosen_by_it(rated) -> None:
    belief = TiltBeliefs(rated, PRIOR).after(answers(rated, 20))
    chosen = choose_pair(belief, [], ChoosingRule(random_share=0))
    left, right = np.triu_indices(80, 1)
    information = belief.information(left, right)
    assert np.all((information >= 0) & (information <= np.log(2)))
    assert belief.information([chosen.left], [chosen.right])[0] > np.median(information)
    np.testing.assert_allclose(
        belief.preference(left, right) + belief.preference(right, left), 1, atol=1e-12
    )


def test_learning_needs_no_more_than_one_answer(rated) -> None:
    tilt = learn_tilt(rated, Comparisons.of([0], [1], [1]), [PRIOR])
    before, after = rated.scores(), rated.scores(tilt.of(rated.features))
    assert after[0] - after[1] > before[0] - before[1]
