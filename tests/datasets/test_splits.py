from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.splits import (
    apply_splits,
    fill_splits,
    photo_names,
    split_by_scene,
    splits_text,
    with_scenes,
)
from siamese_nima.errors import TableError


def table(scenes, subsets=()):
    paths = tuple(Path(f"{i}.jpg") for i in range(len(scenes)))
    scenes = tuple(f"scene {scene}" for scene in scenes)
    return RatingTable(paths=paths, mos=[5.0] * len(paths), scenes=scenes, subsets=subsets)


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


def rating_table(*names, **columns):
    return RatingTable(paths=tuple(Path(n) for n in names), mos=[5.0] * len(names), **columns)


def test_what_is_written_is_read_back(tmp_path):
    given = rating_table(
        "x/a.jpg", "x/b.jpg", scenes=("s", "t"), subsets=("", "u"), splits=("train", "test")
    )
    (tmp_path / "splits.csv").write_text(splits_text(given))
    found = apply_splits(rating_table("x/B.jpg", "x/a.jpg"), tmp_path / "splits.csv")
    assert [path.name for path in found.paths] == ["a.jpg", "B.jpg"]
    assert (found.scenes, found.subsets, found.splits) == (
        given.scenes,
        given.subsets,
        given.splits,
    )


def test_names_with_breaks_are_read_back(tmp_path):
    given = rating_table(
        "a\r.jpg", "b\n.jpg", scenes=("s", "t"), subsets=("", ""), splits=("train", "test")
    )
    (tmp_path / "splits.csv").write_bytes(splits_text(given).encode())
    found = apply_splits(rating_table("a\r.jpg", "b\n.jpg"), tmp_path / "splits.csv")
    assert (found.paths, found.scenes) == (given.paths, given.scenes)


def test_photos_of_one_name_are_told_apart_by_their_folder():
    assert photo_names(rating_table("/d/one/a.jpg", "/d/two/a.jpg")) == (
        "one/a.jpg",
        "two/a.jpg",
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.jpg,,s,train\n", "1 photos of the set have no row: b.jpg"),
        ("a.jpg,,s,train\nb.jpg,,s,train\nc.jpg,,s,train\n", "1 photos are not in the set: c.jpg"),
        ("a.jpg,,s,train\nb.jpg,,s,test\n", "scene 's' is in two splits"),
    ],
)
def test_a_file_for_other_photos_is_refused(tmp_path, rows, message):
    (tmp_path / "splits.csv").write_text("file_name,subset,scene,split\n" + rows)
    with pytest.raises(TableError, match=message):
        apply_splits(rating_table("a.jpg", "b.jpg"), tmp_path / "splits.csv")


FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}
given_splits = st.lists(st.sampled_from(["", "train", "val", "test"]), min_size=30, max_size=60)


@given(given_splits, st.integers(0, 3))
def test_every_photo_gets_a_split_and_given_ones_stay(splits, seed):
    bare = table(range(len(splits)))
    given = replace(bare, splits=tuple(splits))
    if set(splits) - {""} and "" not in splits and "train" not in splits:
        return
    filled = fill_splits(given, bare, FRACTIONS, seed=seed)
    assert set(filled.splits) <= {"train", "val", "test"}
    for old, new in zip(splits, filled.splits, strict=True):
        assert old in ("", new) or (old == "train" and "val" not in splits)
    if set(splits) - {""}:
        assert filled.splits.count("test") == splits.count("test")


def test_a_photo_without_a_split_goes_with_its_scene():
    given = replace(table([0, 0, 1, 1, *range(2, 40)]), splits=("test", "") + ("val",) + ("",) * 39)
    filled = fill_splits(given, replace(given, splits=()), FRACTIONS)
    assert filled.splits[:4] == ("test", "test", "val", "val")
    assert set(filled.splits[4:]) == {"train"}


def test_other_splits_than_these_three_are_refused():
    given = replace(table([0, 1]), splits=("fold1", ""))
    with pytest.raises(TableError, match="fold1 is none of train, val and test"):
        fill_splits(given, replace(given, splits=()), FRACTIONS)


def test_a_splits_file_may_say_Test_and_TRAIN(tmp_path):
    text = "file_name,subset,scene,split\n0.jpg,,a,Test\n1.jpg,,b,TRAIN\n"
    (tmp_path / "s.csv").write_text(text)
    assert apply_splits(table([0, 1]), tmp_path / "s.csv").splits == ("test", "train")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_splits_file_that_another_system_saved_names_the_same_photos(tmp_path, encoding):
    text = "file_name;subset;scene;split\r\nd\\Caf\u00e9.jpg;;\u00e9;Train\r\ne\\b.jpg;;t;test\r\n"
    (tmp_path / "s.csv").write_bytes(text.encode(encoding))
    given = rating_table("x/d/cafe\u0301.jpg", "x/e/b.jpg", "x/d/b.jpg")
    text += "d/b.jpg;;u;\r\n"
    (tmp_path / "s.csv").write_bytes(text.encode(encoding))
    found = apply_splits(given, tmp_path / "s.csv")
    assert (found.splits, found.scenes) == (("train", "test", ""), ("\u00e9", "t", "u"))


@pytest.mark.parametrize("share", [float("nan"), float("inf")])
def test_fractions_that_are_no_numbers_are_refused(share):
    with pytest.raises(TableError, match="fractions must be above 0 and sum to 1"):
        split_by_scene(table([0, 1]), {"train": 0.7, "test": share})
