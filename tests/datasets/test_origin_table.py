"""The origin's tables of file names and labels."""

import numpy as np
import pytest

from siamese_nima.datasets.origin_table import origin_labels, read_origin_table
from siamese_nima.errors import TableError


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("file_name label note\nb.png 3 x\n\na.png 0 y\n")
    return path


@pytest.mark.parametrize("separator", [" ", ",", "\t", ";"])
def test_the_wanted_columns_are_read_whatever_parts_them(table, separator):
    table.write_text(table.read_text().replace(" ", separator))
    assert read_origin_table(table, ["label", "file_name"], " ") == [("3", "b.png"), ("0", "a.png")]


def test_names_with_blanks_are_told_by_the_separator_that_is_given(table):
    table.write_text("file name|label\nmy photo.png|3\n")
    assert read_origin_table(table, ["file name"], "|") == [("my photo.png",)]


def test_breaks_inside_a_name_are_kept(table):
    table.write_bytes(b'file_name label\n"a\rb\nc.png" 3\nd.png x y\n')
    with pytest.raises(TableError, match="line 5: 3 values for 2 columns"):
        read_origin_table(table, ["file_name"], " ")
    table.write_bytes(b'file_name label\r\n"a\rb\nc.png" 3\r\n')
    assert read_origin_table(table, ["file_name"], " ") == [("a\rb\nc.png",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file_name label\na.png\n", "line 2: 1 values for 2 columns"),
        ("name label\na.png 1\n", "header 'name label' has no columns file_name"),
        ("", "header '' has no columns file_name"),
    ],
)
def test_a_malformed_table_says_where(table, content, message):
    table.write_text(content)
    with pytest.raises(TableError, match=message):
        read_origin_table(table, ["file_name"], " ")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(TableError, match=r"none\.csv: not a readable table \(.*No such file"):
        read_origin_table(tmp_path / "none.csv", ["file_name"], " ")


def test_labels_are_integers_where_they_all_are(tmp_path):
    whole, parted = origin_labels(["3", "0"], tmp_path), origin_labels(["3", "0.5"], tmp_path)
    assert (whole.dtype, whole.tolist()) == (np.int64, [3, 0])
    assert (parted.dtype, parted.tolist()) == (np.float64, [3.0, 0.5])
    with pytest.raises(TableError, match=r"a label is not a number .*'x'"):
        origin_labels(["x"], tmp_path)
