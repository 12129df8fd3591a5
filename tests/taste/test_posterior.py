from dataclasses import replace

import numpy as np
import pytest

from picker import Picker
from siamese_nima.ratings import RatingScale
from siamese_nima.taste.choosing import (
    Asked,
    ChoosingRule,
    choose_pair,
    most_informative_pair,
    random_pairs,
)
from siamese_nima.taste.posterior import Posterior
from siamese_nima.taste.preference import PhotoFeatures, Tastes, learn_preference
from siamese_nima.taste.strengths import Comparisons, TastePrior, estimate_strengths

SCALE = RatingScale(1, 5)
PHOTOS = np.arange(80)
NONE = Comparisons.of([], [], [])


@pytest.fixture(scope="module")
def rated() -> PhotoFeatures:
    draw = np.random.default_rng(0)
    return PhotoFeatures(draw.normal(0, 1, (80, 4)), draw.normal(0, 1, (80, 5)), SCALE, (4,))


def answers(rated: PhotoFeatures, count: int) -> Comparisons:
    draw = np.random.default_rng(1)
    left, right = random_pairs(40, count, draw).T
    picker = Picker(rated.scores() + 2 * rated.features[:, 0], 0.3)
    return Comparisons.of(left, right, picker.answers(left, right, draw))


def shown(given: Comparisons) -> list[Asked]:
    return [Asked(*pair) for pair in zip(given.left.tolist(), given.right.tolist(), strict=True)]


def test_before_any_answer_it_is_the_model_and_the_prior(rated) -> None:
    belief = Posterior(rated, PHOTOS, NONE)
    np.testing.assert_allclose(belief.values, rated.scores())
    assert np.sqrt(np.diag(belief.covariance).mean()) == pytest.approx(4 / 9, rel=0.25)


def test_it_begins_from_what_is_known_of_tastes(rated) -> None:
    """Photos that differ in what people differ in: there an answer tells of all others."""
    directions = np.array([[1.0], [0.0], [0.0], [0.0]])
    tastes = Tastes(directions, np.full(4, 0.01), spread=1.2, noise=0.8)
    belief = Posterior(replace(rated, tastes=tastes), PHOTOS, NONE)
    assert belief.prior == tastes.of_pairs
    assert belief.prior.spread == 1.2
    shares = belief.covariance / np.sqrt(np.outer(*[np.diag(belief.covariance)] * 2))
    liked = rated.features[:, 0] - rated.features[:, 0].mean()
    far = np.abs(liked) > 0.3
    signs = np.sign(np.outer(liked, liked))
    np.testing.assert_allclose(shares[far][:, far], signs[far][:, far], atol=0.02)


def test_after_answers_the_values_are_those_of_the_taste(rated) -> None:
    given = answers(rated, 60)
    belief = Posterior(rated, PHOTOS, given)
    tilt = learn_preference(rated, given, [TastePrior(spread=4 / 9, noise=2 / 9)])
    np.testing.assert_allclose(belief.values, rated.scores(tilt.tilts(rated.features)))


def test_photos_may_have_any_numbers_and_answers_about_others_say_nothing(rated) -> None:
    given = answers(rated, 60)
    shifted = Comparisons.of(
        [*given.left + 100, 3, 100], [*given.right + 100, 4, 5], [*given.outcome, 1, 0]
    )
    belief, moved = Posterior(rated, PHOTOS, given), Posterior(rated, PHOTOS + 100, shifted)
    np.testing.assert_array_equal(belief.values, moved.values)
    pair = most_informative_pair(belief, shown(given), np.random.default_rng(5))
    other = most_informative_pair(moved, [*shown(shifted)], np.random.default_rng(5))
    assert other == (pair[0] + 100, pair[1] + 100)


def test_the_worth_of_a_pair_is_what_its_answer_takes_from_the_variance_of_others(rated) -> None:
    """The same from the textbook's form: the posterior before and after, with whole matrices."""
    given = answers(rated, 6)
    belief = Posterior(rated, PHOTOS, given)
    noise = TastePrior.on(SCALE).noise

    def design(pairs):
        rows = np.zeros((len(pairs), 80))
        rows[np.arange(len(pairs)), pairs[:, 0]] = 1
        rows[np.arange(len(pairs)), pairs[:, 1]] = -1
        return rows

    def posterior(pairs):
        rows = design(pairs)
        chosen = 1 / (1 + np.exp(-rows @ rated.scores() / noise))
        doubt = noise**2 / np.maximum(chosen * (1 - chosen), 1e-3)
        cross = belief.covariance @ rows.T
        return belief.covariance - cross @ np.linalg.solve(rows @ cross + np.diag(doubt), cross.T)

    asked = np.stack([given.left, given.right], axis=1)
    tried, others = np.array([[0, 70], [5, 6], [50, 20]]), np.array([[1, 2], [30, 60], [7, 44]])
    looks = design(others)
    before = np.diag(looks @ posterior(asked) @ looks.T)
    density = np.exp(-((looks @ rated.scores()) ** 2) / before / 2) / np.sqrt(before)
    wanted = [
        (before - np.diag(looks @ posterior(np.vstack([asked, pair])) @ looks.T)) @ density
        for pair in tried
    ]
    np.testing.assert_allclose(belief.expected_information(tried, asked, others), wanted, atol=1e-9)


def test_a_pair_that_was_asked_is_not_asked_again_and_its_photos_rest(rated) -> None:
    belief = Posterior(rated, PHOTOS, NONE)
    asked: list[Asked] = []
    for number in range(25):
        pair = most_informative_pair(belief, asked, np.random.default_rng(number))
        assert not {*pair} & {photo for old in asked[-3:] for photo in (old.left, old.right)}
        assert {*pair} not in [{old.left, old.right} for old in asked]
        asked.append(Asked(*pair))


def test_where_all_pairs_were_asked_it_knows_of_none(rated) -> None:
    three = np.arange(3)
    belief = Posterior(rated.select(three), three, NONE)
    asked = [Asked(0, 1), Asked(1, 2)]
    assert set(most_informative_pair(belief, asked, np.random.default_rng(0))) == {0, 2}
    assert most_informative_pair(belief, [*asked, Asked(2, 0)], np.random.default_rng(0)) is None


def test_it_chooses_all_active_pairs_and_no_random_one(rated) -> None:
    strengths = estimate_strengths(rated.scores(), NONE)
    belief = Posterior(rated, PHOTOS, NONE)
    for seed in range(10):
        chosen = choose_pair(strengths, [], ChoosingRule(seed=seed), posterior=belief)
        assert chosen.why == "informative"
        drawn = choose_pair(strengths, [], ChoosingRule(way="random", seed=seed), posterior=belief)
        assert drawn.why == "random"
