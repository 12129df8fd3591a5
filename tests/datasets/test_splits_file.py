from pathlib import Path

import pytest

from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.datasets.splits_file import apply_splits, photo_names, splits_text
from siamese_nima.errors import TableError


def table(*names, **columns):
    return RatingTable(paths=tuple(Path(n) for n in names), mos=[5.0] * len(names), **columns)


def test_what_is_written_is_read_back(tmp_path):
    given = table(
        "x/a.jpg", "x/b.jpg", scenes=("s", "t"), subsets=("", "u"), splits=("train", "test")
    )
    (tmp_path / "splits.csv").write_text(splits_text(given))
    found = apply_splits(table("x/B.jpg", "x/a.jpg"), tmp_path / "splits.csv")
    assert [path.name for path in found.paths] == ["a.jpg", "B.jpg"]
    assert (found.scenes, found.subsets, found.splits) == (
        given.scenes,
        given.subsets,
        given.splits,
    )


def test_names_with_breaks_are_read_back(tmp_path):
    given = table(
        "a\r.jpg", "b\n.jpg", scenes=("s", "t"), subsets=("", ""), splits=("train", "test")
    )
    (tmp_path / "splits.csv").write_bytes(splits_text(given).encode())
    found = apply_splits(table("a\r.jpg", "b\n.jpg"), tmp_path / "splits.csv")
    assert (found.paths, found.scenes) == (given.paths, given.scenes)


def test_photos_of_one_name_are_told_apart_by_their_folder():
    assert photo_names(table("/d/one/a.jpg", "/d/two/a.jpg")) == ("one/a.jpg", "two/a.jpg")


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
        apply_splits(table("a.jpg", "b.jpg"), tmp_path / "splits.csv")
