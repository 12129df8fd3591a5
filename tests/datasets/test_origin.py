import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.datasets.origin import bucketize, origin_labels, read_origin_table
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
    with pytest.raises(TableError, match=r"none\.csv: cannot be read \(No such file"):
        read_origin_table(tmp_path / "none.csv", ["file_name"], " ")


def test_labels_are_integers_where_they_all_are(tmp_path):
    whole, parted = origin_labels(["3", "0"], tmp_path), origin_labels(["3", "0.5"], tmp_path)
    assert (whole.dtype, whole.tolist()) == (np.int64, [3, 0])
    assert (parted.dtype, parted.tolist()) == (np.float64, [3.0, 0.5])
    with pytest.raises(TableError, match=r"a label is not a number .*'x'"):
        origin_labels(["x"], tmp_path)


scores = st.lists(st.floats(1, 10, width=32), min_size=1, max_size=60)
counts = st.integers(2, 12)
ways = st.sampled_from(["width", "quantile"])


@given(scores, counts, ways)
def test_labels_are_in_range_and_rise_with_the_score(mos, count, by):
    labels = bucketize(mos, count, by=by)
    order = np.argsort(mos, kind="stable")
    assert np.all(np.diff(labels[order]) >= 0)
    assert labels.min() >= 0
    assert labels.max() < count


@given(scores, counts, ways)
def test_equal_scores_share_a_bucket(mos, count, by):
    labels = bucketize(mos + mos, count, by=by)
    assert labels[: len(mos)].tolist() == labels[len(mos) :].tolist()


@given(scores, counts, st.integers(-3, 3))
def test_equal_width_labels_do_not_depend_on_the_unit(mos, count, shift):
    steps = np.round(np.array(mos) * 8)  # whole numbers, so that scaling by 4 is exact
    if np.ptp(steps) % count:
        steps *= count  # edges fall on whole numbers
    moved = bucketize(steps * 4 + shift, count)
    assert bucketize(steps, count).tolist() == moved.tolist()


@given(st.integers(1, 20), st.integers(2, 8))
def test_quantile_buckets_of_distinct_scores_hold_as_many_photos_each(size, count):
    mos = np.random.default_rng(size).permutation(size * count).astype(float)
    assert np.ptp(np.bincount(bucketize(mos, count, by="quantile"), minlength=count)) <= 2


def test_equal_width_agrees_with_a_hand_worked_example():
    assert bucketize([0.0, 0.19, 0.2, 0.5, 0.8, 1.0], 5).tolist() == [0, 0, 1, 2, 4, 4]


def test_edges_are_taken_as_given():
    assert bucketize([1, 4, 4.5, 9], [4.0, 6.0]).tolist() == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("mos", "buckets", "message"),
    [
        ([], 3, "finite scores"),
        ([1.0, float("nan")], 3, "finite scores"),
        ([1.0, 2.0], 1, "got 1"),
        ([1.0, 2.0], [3.0, 3.0], r"ascending, got \[3.0, 3.0\]"),
    ],
)
def test_impossible_buckets_are_refused(mos, buckets, message):
    with pytest.raises(TableError, match=message):
        bucketize(mos, buckets)
