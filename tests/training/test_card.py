"""The card of a trained network: its errors of pairs, and when it should not be used."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from siamese_nima.card import ModelCard
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.training.card import problem_of, with_figures

CARD = ModelCard(name="mine", backbone="none", view=ViewPolicy.parse("warp:32"))


def figures(srcc):
    return {"srcc": {"value": srcc}}


@pytest.mark.parametrize(
    ("scores", "after", "before", "problem"),
    [
        (np.linspace(3, 8, 20), 0.6, 0.4, None),
        (np.linspace(3, 8, 20), 0.6, None, None),
        (np.full(20, 10.0), 0.0, None, "nearly the same score, 10.00"),
        (np.linspace(3, 8, 20), -0.182, None, r"no better than chance \(SRCC -0.182\)"),
        (np.linspace(3, 8, 20), float("nan"), 0.4, "no better than chance"),
        (np.linspace(3, 8, 20), 0.4, 0.4, "no better than the model that training started from"),
    ],
)
def test_a_network_that_tells_nothing_or_nothing_new_has_a_problem(scores, after, before, problem):
    found = problem_of(scores, figures(after), before and figures(before), CARD)
    if problem is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(problem, found)


def test_the_error_of_pairs_is_that_of_test_photos_within_their_subsets():
    """Not of the photos that chose the epoch, nor across sets whose scores mean other things."""
    generator = np.random.default_rng(0)
    labels = np.tile(np.linspace(2, 9, 60), 2)
    table = RatingTable(
        paths=tuple(Path(f"{number}.jpg") for number in range(120)), mos=labels, scale=AVA_SCALE
    )
    of_two_sets = replace(table, subsets=("a",) * 60 + ("b",) * 60)
    # In either set in order; of two sets one is always higher.
    scores = labels / 4 + np.repeat([0.0, 5.0], 60) + 0.01 * generator.normal(size=120)
    chance = generator.permutation(scores)
    card = replace(CARD, training={"data": "two sets"})
    within = with_figures(card, table, chance, None, (of_two_sets, scores)).pair_error
    across = with_figures(card, table, chance, None, (table, scores)).pair_error
    assert within.pairs < 0.6 * across.pairs
    assert within.closest_call() < 0.2
    assert across.closest_call() is None or across.closest_call() > 0.2


def test_scores_that_are_all_but_equal_have_no_error_of_pairs_and_end_no_run():
    labels = np.linspace(2, 9, 60)
    paths = tuple(Path(f"{number}.jpg") for number in range(60))
    table = RatingTable(paths=paths, mos=labels, scale=AVA_SCALE)
    card = replace(CARD, training={"data": "a set"})
    assert with_figures(card, table, 5 + 1e-5 * labels, None, None).pair_error is None
