"""Files are whole whatever happens while they are written."""

import errno
import os
import time

import pytest

from siamese_nima.atomic_write import check_output, clear_away, replacing, unfinished, write_whole
from siamese_nima.errors import ConfigError, NimaError, WeightsError
from systems import needs_posix


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"old")
    return tmp_path / "a.txt"


def test_the_old_content_stands_until_the_new_is_whole(path):
    with replacing(path) as part:
        part.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_broken_off_changes_nothing(path):
    def begin():
        with replacing(path) as part:
            part.write_bytes(b"ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_two_that_write_the_same_file_do_not_mix(path):
    with replacing(path) as first:
        first.write_bytes(b"one")
        write_whole(path, b"two")
        assert path.read_bytes() == b"two"
    assert path.read_bytes() == b"one"


def test_a_full_disk_is_an_error_of_the_class_asked_for(path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(full))
    with pytest.raises(WeightsError, match=r"/a.txt: cannot be written \(No space left"):
        write_whole(path, b"new", WeightsError)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_its_place_and_no_folder_around_it_are_named(tmp_path):
    with pytest.raises(NimaError, match=r"cannot be written \(Is a directory\)"):
        write_whole(tmp_path, b"")
    with pytest.raises(NimaError, match=r"/none/a: cannot be written \(No such file"):
        write_whole(tmp_path / "none" / "a", b"")


def test_a_file_that_is_held_for_a_moment_is_replaced_after_it(path, held_files, monkeypatch):
    held_files.add(str(path))
    monkeypatch.setattr(time, "sleep", lambda _: held_files.clear())
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_file_that_stays_held_is_an_error_that_changes_nothing(path, held_files):
    held_files.add(str(path))
    with pytest.raises(NimaError, match=r"a.txt: cannot be written \(used by another process\)"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_that_a_file_is_held_is_known_before(path, held_files):
    check_output(path, "a table", [".txt"])
    held_files.add(str(path))
    words = r"a.txt: cannot be replaced \(used by another process\); if .* as spreadsheets do"
    with pytest.raises(ConfigError, match=words):
        check_output(path, "a table", [".txt"])


def test_a_folder_is_cleared_away_or_what_is_left_is_said(tmp_path, held_files):
    folder = tmp_path / "work"
    for name in ("a", "b"):
        folder.mkdir()
        (folder / name).touch()
        if name == "a":
            assert clear_away(folder) == ""
            assert not folder.exists()
    with (folder / "b").open():
        said = clear_away(folder)
    assert said == f"{folder}: could not be removed (used by another process); nobody needs it"


@needs_posix
def test_permissions_are_those_of_the_old_file_or_of_any_new_one(path):
    path.chmod(0o640)
    write_whole(path, b"new")
    assert path.stat().st_mode & 0o777 == 0o640
    write_whole(path.with_name("b"), b"")
    path.with_name("c").touch()
    assert path.with_name("b").stat().st_mode == path.with_name("c").stat().st_mode


def test_the_longest_names_can_be_written(tmp_path):
    for name in ("x" * 255, "照" * 85, "\udce9" * 255):
        write_whole(tmp_path / name, b"1")
        assert (tmp_path / name).read_bytes() == b"1"


def test_what_a_kill_leaves_is_found_again(tmp_path):
    path = tmp_path / "[a]*.txt"
    with replacing(path) as part, replacing(tmp_path / "b.txt"):
        assert list(unfinished(path)) == [part]
    assert list(unfinished(path)) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.html", "x.html: a table ends in .csv, .jsonl"),
        ("folder.csv", "folder.csv: a folder; wanted the name of a file"),
        ("none/x.csv", r"none/x.csv: cannot be written \(No such file or directory: .*none\)"),
        ("read.csv", "read.csv: is read, and would be replaced"),
        ("link.csv", "link.csv: is read, and would be replaced"),
        ("hard.csv", "hard.csv: is read, and would be replaced"),
    ],
)
def test_what_may_not_be_written_is_known_before(tmp_path, name, words):
    source = tmp_path / "read.csv"
    source.write_text("x")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to(source)
    (tmp_path / "hard.csv").hardlink_to(source)
    with pytest.raises(ConfigError, match=words):
        check_output(tmp_path / name, "a table", [".csv", ".jsonl"], [tmp_path / "none", source])


def test_what_may_be_written_is_let_through(tmp_path):
    (tmp_path / "old.csv").write_text("x")
    for name in ("new.csv", "NEW.CSV", "old.csv"):
        check_output(tmp_path / name, "a table", [".csv"], [tmp_path / "none", tmp_path / "a.jpg"])
    check_output(tmp_path / "any", "anything", ())
