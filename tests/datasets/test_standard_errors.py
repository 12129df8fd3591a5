from pathlib import Path

import numpy as np
import pytest

from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import TableError
from siamese_nima.ratings import RatingScale

FIVE, TEN = RatingScale(1, 5), RatingScale(1, 10)


def table(**columns):
    return RatingTable(paths=(Path("a.jpg"),), mos=[3.0], scale=FIVE, **columns)


def test_votes_and_their_spread_with_the_raters_say_the_same():
    votes = np.array([[0, 20.0, 10, 20, 0]])
    told = table(spread=np.array([np.sqrt(0.8)]), raters=np.array([50.0]))
    assert table(votes=votes).standard_errors(FIVE) == pytest.approx(told.standard_errors(FIVE))
    assert told.standard_errors(FIVE) == pytest.approx(np.sqrt(0.8 / 50), rel=0.01)
    assert told.standard_errors(TEN) == pytest.approx(told.standard_errors(FIVE) * 9 / 4)


def test_a_panel_that_agrees_is_not_certain():
    few, many = (table(votes=np.array([[0, 0, n, 0, 0.0]])).standard_errors(FIVE) for n in (5, 50))
    assert few > many > 0


def test_without_votes_or_raters_it_is_not_known():
    assert table(spread=np.array([1.0])).standard_errors(FIVE) is None
    assert table().standard_errors(FIVE) is None


def test_raters_are_selected_and_checked():
    given = table(raters=np.array([7.0]))
    assert given.select([0]).raters.tolist() == [7]
    with pytest.raises(TableError, match="every photo needs a rater, one has 0"):
        table(raters=np.array([0.0]))
