"""Rows of tables become photos, each once, whatever the table's row groups."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.errors import PhotoError, TableError
from siamese_nima.photos import read_photo
from siamese_nima.photos.stores import StoredPhoto
from siamese_nima.photos.tables import EmbeddedPhoto
from siamese_nima.scale.plan import Slice
from siamese_nima.scale.worker import photos_of


def listed(rows, folder):
    return [(one.name, one.photo) for one in photos_of(rows, folder, {})]


@given(rows=st.integers(1, 300), group=st.integers(1, 120), size=st.integers(1, 150))
def test_slices_of_any_size_give_every_row_once_in_order(tmp_path_factory, rows, group, size):
    file = tmp_path_factory.mktemp("t") / "t.parquet"
    names = [f"s3://b/{number}.jpg" for number in range(rows)]
    pq.write_table(pa.table({"path": names}), file, row_group_size=group)
    found = [
        name
        for index, first in enumerate(range(0, rows, size))
        for name, _ in listed(Slice(index, str(file), first, min(size, rows - first)), "/")
    ]
    assert found == names


def test_rows_are_paths_urls_or_photos(tmp_path):
    file = str(tmp_path / "t.parquet")
    pq.write_table(pa.table({"path": ["a.jpg", "/b.jpg", "s3://c/d.jpg"], "more": [1, 2, 3]}), file)
    assert list(listed(Slice(0, file, 0, 3), "/start")) == [
        ("a.jpg", Path("/start/a.jpg")),
        ("/b.jpg", Path("/b.jpg")),
        ("s3://c/d.jpg", StoredPhoto("s3://c/d.jpg")),
    ]
    pq.write_table(pa.table({"bytes": [b"1", b""], "path": ["a.jpg", "s3://b/c.jpg"]}), file)
    assert list(listed(Slice(0, file, 0, 2), "/")) == [
        (name, EmbeddedPhoto(name, content))
        for name, content in (("a.jpg", b"1"), ("s3://b/c.jpg", b""))
    ]


def test_a_null_is_a_photo_with_an_error(tmp_path):
    file = str(tmp_path / "t.parquet")
    columns = {"path": ["a.jpg", None], "bytes": pa.array([None, b"1"], pa.binary())}
    pq.write_table(pa.table(columns), file)
    for (name, photo), reason in zip(
        listed(Slice(0, file, 0, 2), "/"),
        ["a.jpg: no photo, its 'bytes' is null.", "<row 2>: no name, its 'path' is null."],
        strict=True,
    ):
        with pytest.raises(PhotoError) as caught:
            read_photo(photo, name=name)
        assert str(caught.value) == reason


def test_a_table_that_lost_rows_or_is_gone_is_named(tmp_path):
    file = str(tmp_path / "t.parquet")
    pq.write_table(pa.table({"path": ["a.jpg"] * 4}), file)
    with pytest.raises(TableError, match="rows 2 to 7 were wanted, 2 found"):
        list(listed(Slice(0, file, 2, 5), "/"))
    Path(file).unlink()
    with pytest.raises(TableError, match="cannot be read any more"):
        list(listed(Slice(0, file, 2, 2), "/"))
