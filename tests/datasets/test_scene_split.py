from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.scene_split import split_by_scene, with_scenes
from siamese_nima.errors import TableError


def table(scenes, subsets=()):
    paths = tuple(Path(f"{i}.jpg") for i in range(len(scenes)))
    scenes = tuple(f"scene {scene}" for scene in scenes)
    return RatingTable(paths=paths, mos=[5.0] * len(paths), scenes=scenes, subsets=subsets)


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=80), st.integers(0, 5))
def test_a_scene_is_never_in_two_splits(scenes, seed):
    found = split_by_scene(table(scenes), seed=seed)
    for scene in set(found.scenes):
        of_scene = [s for s, own in zip(found.splits, found.scenes, strict=True) if own == scene]
        assert len(set(of_scene)) == 1
    assert set(found.splits) <= {"train", "val", "test"}


def test_every_subset_is_divided_in_the_given_fractions():
    count = 1000
    found = split_by_scene(table(range(count), ("a",) * 600 + ("b",) * 400))
    for subset, size in (("a", 600), ("b", 400)):
        inside = [s for s, own in zip(found.splits, found.subsets, strict=True) if own == subset]
        assert {s: inside.count(s) / size for s in set(inside)} == pytest.approx(
            {"train": 0.7, "val": 0.1, "test": 0.2}, abs=0.005
        )


def test_the_splits_depend_on_the_seed_and_not_on_the_order_of_rows():
    given = table([i // 2 for i in range(100)])
    order = np.random.default_rng(1).permutation(100)
    first, mixed = split_by_scene(given), split_by_scene(given.select(order))
    assert mixed.splits == tuple(first.splits[i] for i in order)
    assert first.splits != split_by_scene(given, seed=1).splits


def test_near_copies_join_scenes_and_undo_splits():
    given = split_by_scene(table([0, 0, 1, 2, 3]))
    found = with_scenes(given, np.array([[1, 3]]))
    assert found.scenes == ("scene 0", "scene 0", "scene 1", "scene 0", "scene 3")
    assert set(found.splits) == {""}


@pytest.mark.parametrize("fractions", [{}, {"train": 0.5}, {"train": 1.2, "test": -0.2}])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(TableError, match="fractions must be above 0 and sum to 1"):
        split_by_scene(table([0, 1]), fractions)
