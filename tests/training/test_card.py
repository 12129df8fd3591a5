"""When a trained network should not be used."""

import re

import numpy as np
import pytest

from siamese_nima.card import ModelCard
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.training.card import problem_of

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
