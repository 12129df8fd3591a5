from dataclasses import replace

import numpy as np
import pytest

from rated_photos import rated
from siamese_nima.errors import TableError


def test_subsets_come_after_all_photos():
    parts = rated(10, subsets=2).by_subset()
    assert {name: len(part) for name, part in parts.items()} == {"all": 10, "part0": 5, "part1": 5}
    assert list(rated(10).by_subset()) == ["all"]


def test_rows_are_selected_in_every_column():
    part = rated(10, votes=True).select([3, 1])
    assert part.paths == ("3.jpg", "1.jpg")
    assert part.votes.tolist() == rated(10, votes=True).votes[[3, 1]].tolist()


def test_columns_of_another_length_and_unscored_photos_are_refused():
    with pytest.raises(TableError, match="10 photos have 9 labels"):
        replace(rated(10), labels=np.ones(9))
    with pytest.raises(TableError, match="not finite"):
        replace(rated(2), scores=np.array([1.0, np.nan]))
    with pytest.raises(TableError, match="no photo was scored"):
        rated(10).select(np.zeros(10, dtype=bool))
