"""A run is begun once, and gone on with only as it was begun."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siamese_nima.errors import ConfigError
from siamese_nima.photos.sources import Sources, find_sources
from siamese_nima.scale.plan import NOTES, Folder, Slice, open_plan

SETTINGS = ("model=1",)


@pytest.fixture
def folder(tmp_path):
    return Folder(str(tmp_path / "out"))


def sources_of(names):
    return Sources(parts=[names])


def test_every_photo_is_in_one_slice_in_order(folder, tmp_path):
    pq.write_table(pa.table({"path": ["t"] * 7}), tmp_path / "t.parquet")
    table = find_sources([str(tmp_path / "t.parquet")])
    sources = Sources(parts=[[f"{n}.jpg" for n in range(5)], *table.parts])
    names, listed = f"{folder.url}/{NOTES}/photos-0.parquet", str(tmp_path / "t.parquet")
    assert open_plan(folder, sources, SETTINGS, 3) == [
        Slice(0, names, 0, 3),
        Slice(1, names, 3, 2),
        Slice(2, listed, 0, 3),
        Slice(3, listed, 3, 3),
        Slice(4, listed, 6, 1),
    ]


@pytest.mark.parametrize(("photos", "per_file"), [(1, 50), (640, 50), (6400, 100), (999_999, 5000)])
def test_files_suit_the_number_of_photos(folder, photos, per_file):
    sources = sources_of([str(n) for n in range(photos)])
    slices = open_plan(folder, sources, SETTINGS, None)
    assert {part.count for part in slices[:-1]} <= {per_file}
    assert sum(part.count for part in slices) == photos


def test_the_same_run_goes_on_with_the_same_slices(folder):
    sources = sources_of([f"{n}.jpg" for n in range(10)])
    begun = open_plan(folder, sources, SETTINGS, 4)
    (before,) = (folder.read(f"{NOTES}/plan.json"),)
    assert open_plan(folder, sources, SETTINGS, None) == begun
    assert folder.read(f"{NOTES}/plan.json") == before
    assert json.loads(before)["photos"] == 10


def test_a_beginning_that_was_killed_before_the_plan_stood_begins_again(folder):
    folder.write(f"{NOTES}/photos-0.parquet", b"half")
    (part,) = open_plan(folder, sources_of(["a.jpg"]), SETTINGS, 4)
    assert pq.read_table(part.table).to_pylist() == [{"path": b"a.jpg"}]


@pytest.mark.parametrize(
    ("names", "settings", "per_file", "words"),
    [
        (["a.jpg", "c.jpg"], SETTINGS, None, "on other photos (2 then, 2 now, or other names)"),
        (["a.jpg"], SETTINGS, None, "on other photos (2 then, 1 now"),
        (["a.jpg", "b.jpg"], ("model=2",), None, "other models, options or versions (model=1; now"),
        (["a.jpg", "b.jpg"], SETTINGS, 7, "with 4 photos per file"),
    ],
)
def test_another_run_is_refused(folder, names, settings, per_file, words):
    open_plan(folder, sources_of(["a.jpg", "b.jpg"]), SETTINGS, 4)
    with pytest.raises(ConfigError) as caught:
        open_plan(folder, sources_of(names), settings, per_file)
    assert str(caught.value).startswith(f"{folder.url}: this run was begun ")
    assert words in str(caught.value)


def test_a_folder_with_something_else_is_left_alone(folder):
    folder.write("holiday.jpg", b"1")
    with pytest.raises(ConfigError, match="not empty, and not begun by nima score --engine ray"):
        open_plan(folder, sources_of(["a.jpg"]), SETTINGS, 4)
    assert folder.names() == {"holiday.jpg"}
