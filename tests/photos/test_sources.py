"""Names and tables of photos, on disks and in stores."""

import io
import os
import sys
import zipfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siamese_nima import csv_rows
from siamese_nima.errors import NimaError, TableError
from siamese_nima.photos import find_photos, stores
from siamese_nima.photos.sources import PhotoTable, find_sources
from siamese_nima.photos.stores import open_store

NAMES = [
    "photo2.jpg",
    "photo10.jpg",
    "Zoo.PNG",
    "notes.txt",
    ".hidden.jpg",
    "day2/b.jpg",
    "day10/a.jpg",
    "day2/night/c.jpg",
    ".trash/d.jpg",
    "day2/readme.md",
]


@pytest.fixture
def both(tmp_path):
    """The same empty files in a local folder and in a store; the store's URL."""
    folder = tmp_path / "photos"
    url = f"memory://{folder}"
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with fsspec.open(f"{url}/{name}", "wb") as file:
            file.write(b"")
    return folder, url


def write_table(file, columns):
    pq.write_table(pa.table(columns), file)
    return str(file)


def test_a_folder_of_a_store_is_searched_as_a_local_one(both):
    folder, url = both
    stored = find_sources([url])
    local = find_photos([folder])
    inside = [name.removeprefix(f"{folder}/") for name in local.names]
    assert stored.parts == [[f"{url}/{name}" for name in inside]]
    assert inside[:3] == ["photo2.jpg", "photo10.jpg", "Zoo.PNG"]
    assert stored.skipped.skipped_other == local.skipped_other == 2
    assert stored.skipped.skipped_hidden == 2


def test_local_arguments_mean_what_they_mean_to_the_local_run(both):
    folder, _ = both
    arguments = [f"{folder}/day2", f"file://{folder}", f"{folder}/none.jpg"]
    local = find_photos([arguments[0], str(folder), arguments[2]])
    found = find_sources(arguments)
    assert found.parts == [list(local.names)]
    assert found.photos == len(local.names)
    assert found.skipped.skipped_repeats == local.skipped_repeats == 2


def test_a_url_is_one_photo_a_glob_or_a_name_whose_reading_fails(both):
    _, url = both
    found = find_sources([f"{url}/notes.jpg", f"{url}/day*/*.jpg", f"{url}/photo2.jpg"])
    assert found.parts == [
        [f"{url}/notes.jpg", f"{url}/day2/b.jpg", f"{url}/day10/a.jpg", f"{url}/photo2.jpg"]
    ]


def test_a_listing_is_taken_literally_wherever_it_lies(both, tmp_path):
    folder, url = both
    lines = f"{url}/x[1].jpg\r\n\n{folder}/photo10.jpg\nfile://{folder}/Zoo.PNG\n{url}/x[1].jpg\n"
    expected = [f"{url}/x[1].jpg", f"{folder}/photo10.jpg", f"{folder}/Zoo.PNG"]
    (tmp_path / "list.txt").write_text(lines)
    with fsspec.open(f"{url}/../list.txt", "w") as file:
        file.write(lines)
    for listing in (tmp_path / "list.txt", f"{url}/../list.txt"):
        found = find_sources([str(listing)])
        assert found.parts == [expected]
        assert found.skipped.skipped_repeats == 1
    assert find_sources(["-"], stdin=io.BytesIO(lines.encode())).parts == [expected]


def test_names_that_are_not_unicode_keep_their_bytes():
    found = find_sources(["-"], stdin=io.BytesIO(b"caf\xe9.jpg\n"))
    assert os.fsencode(found.parts[0][0]) == b"caf\xe9.jpg"


def test_tables_stand_between_names(both, tmp_path):
    folder, _ = both
    for number in (2, 10):
        write_table(tmp_path / f"more{number}.parquet", {"path": ["a.jpg", "b.jpg", "c.jpg"]})
    found = find_sources([f"{folder}/Zoo.PNG", f"{tmp_path}/more*.parquet", f"{folder}/photo2.jpg"])
    first, *tables, last = found.parts
    assert (first, last) == ([f"{folder}/Zoo.PNG"], [f"{folder}/photo2.jpg"])
    assert all(isinstance(table, PhotoTable) for table in tables)
    assert [table.file for table in tables] == [
        f"{tmp_path}/more2.parquet",
        f"{tmp_path}/more10.parquet",
    ]
    assert found.photos == 8


def test_endings_in_capitals_are_endings(both, tmp_path):
    folder, _ = both
    photo = str(folder / "photo2.jpg")
    table = write_table(tmp_path / "T.PARQUET", {"path": [photo]})
    (tmp_path / "L.TXT").write_text(f"{photo}\n")
    with zipfile.ZipFile(tmp_path / "A.ZIP", "w") as archive:
        archive.write(photo, "b.jpg")
    found = find_sources([table, str(tmp_path / "A.ZIP"), str(tmp_path / "L.TXT")])
    assert found.photos == 3
    assert (type(found.parts[0]), found.parts[2]) == (PhotoTable, [photo])


def test_a_table_that_changes_has_another_state(tmp_path):
    file = write_table(tmp_path / "t.parquet", {"path": ["a.jpg"]})
    before = find_sources([file]).parts
    assert find_sources([file]).parts == before
    os.utime(file, ns=(1, 1))
    assert find_sources([file]).parts != before


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"name": ["a"]}, "no column 'path' among name"),
        ({"path": [1]}, "column 'path' is int64; wanted text"),
        ({"path": ["a"], "bytes": ["b"]}, "column 'bytes' is string; wanted binary"),
    ],
)
def test_a_table_that_does_not_fit_is_named_with_what_it_has(tmp_path, columns, words):
    file = write_table(tmp_path / "t.parquet", columns)
    with pytest.raises(TableError) as caught:
        find_sources([file])
    assert str(caught.value).startswith(f"{file}: ")
    assert words in str(caught.value)


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "no.parquet").write_bytes(b"not one")
    for name, words in [
        ("no.parquet", "not a Parquet file that can be read"),
        ("none.parquet", "not a Parquet file that can be read"),
        ("none*.parquet", "no such table"),
        ("none.txt", "the listing cannot be read"),
    ]:
        with pytest.raises(NimaError, match=words):
            find_sources([f"{tmp_path}/{name}"])


def test_a_store_that_refuses_is_named_whatever_error_it_has(monkeypatch):
    """Those of S3 are no OSErrors."""

    def refuse(*_, **__):
        raise RuntimeError("Unable to locate credentials")

    system, _ = open_store("memory://")
    monkeypatch.setattr(stores, "_FIRST_PAUSE_S", 0)
    for name in ("open", "glob"):
        monkeypatch.setattr(type(system), name, refuse)
    for url in ("memory://photos.parquet", "memory://*.parquet", "memory://*.jpg"):
        with pytest.raises(NimaError, match=r"^memory://.*\(Unable to locate credentials\)$"):
            find_sources([url])


def test_a_url_into_an_archive_is_refused_with_the_way(tmp_path):
    """Its photos would be named without the archive."""
    for url in (f"zip://*.jpg::{tmp_path}/a.zip", f"tar://day/b.jpg::file://{tmp_path}/a.zip"):
        with pytest.raises(NimaError, match=rf"wanted the archive itself, {tmp_path}/a\.zip$"):
            find_sources([url])


def test_two_colons_in_a_local_name_are_a_name(tmp_path):
    folder = tmp_path / "trip::2024"
    folder.mkdir()
    (folder / "a::b.jpg").touch()
    (folder / "list::1.txt").write_text(f"{folder}/a::b.jpg\n")
    write_table(folder / "t::1.parquet", {"path": ["a.jpg"]})
    for argument in (folder, folder / "list::1.txt", folder / "a::b.jpg"):
        assert find_sources([str(argument)]).parts == [[f"{folder}/a::b.jpg"]]
    assert find_sources([f"{folder}/t::1.parquet"]).photos == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_listing_may_be_in_what_other_systems_write(both, tmp_path, encoding):
    folder, url = both
    lines = f"{url}/photo2.jpg\r\n{folder}\\photo10.jpg\r\n{url}/Zoo.PNG\r\n"
    (tmp_path / "list.txt").write_bytes(lines.encode(encoding))
    expected = [f"{url}/photo2.jpg", f"{folder}/photo10.jpg", f"{url}/Zoo.PNG"]
    assert find_sources([str(tmp_path / "list.txt")]).parts == [expected]
    assert find_sources(["-"], stdin=io.BytesIO(lines.encode(encoding))).parts == [expected]


def test_a_file_url_may_have_its_letters_as_browsers_do(both):
    folder, _ = both
    (folder / "my photo.jpg").touch()
    (folder / "100%25.jpg").touch()
    for name, wanted in (("my%20photo.jpg", "my photo.jpg"), ("100%25.jpg", "100%25.jpg")):
        assert find_sources([f"file://{folder}/{name}"]).parts == [[f"{folder}/{wanted}"]]


def test_a_local_listing_needs_no_store(both, tmp_path, monkeypatch):
    folder, _ = both
    (tmp_path / "list.txt").write_text(f"{folder}/photo2.jpg\n")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    assert find_sources([str(tmp_path / "list.txt")]).names == [f"{folder}/photo2.jpg"]
    with pytest.raises(NimaError, match=r"none\.txt: the listing cannot be read \(No such file"):
        find_sources(["none.txt"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no endless file")
def test_an_endless_list_is_refused(monkeypatch):
    monkeypatch.setattr(csv_rows, "MAX_TABLE_BYTES", 1 << 20)
    with Path("/dev/zero").open("rb") as file, pytest.raises(TableError, match="larger than 1 MB"):
        list(find_sources(["-"], stdin=file))
