"""Files of stores: fetched with patience, written whole."""

import errno
import os
import stat

import pytest

from siamese_nima.errors import ConfigError, NimaError, PhotoError
from siamese_nima.photos import read_photo, stores
from siamese_nima.photos.stores import StoredPhoto, is_url, open_store, retried
from siamese_nima.scale.plan import Folder

pytest.importorskip("fsspec")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(stores, "_FIRST_PAUSE_S", 0)


def failing(times, error):
    """A call that fails so often, then answers; and how often it was called."""
    calls = []

    def call():
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "answer"

    return call, calls


def test_what_fails_in_passing_is_tried_again():
    call, calls = failing(3, ConnectionResetError("reset"))
    assert retried(call) == "answer"
    assert len(calls) == 4


def test_the_last_attempt_says_why():
    call, calls = failing(9, TimeoutError("slow store"))
    with pytest.raises(TimeoutError, match="slow store"):
        retried(call)
    assert len(calls) == stores.ATTEMPTS


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError, IsADirectoryError])
def test_what_another_attempt_does_not_change_is_not_tried_again(error):
    call, calls = failing(9, error())
    with pytest.raises(error):
        retried(call)
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["disk", "store"])
def test_a_folder_holds_what_was_written(tmp_path, kind):
    folder = Folder(str(tmp_path / "out") if kind == "disk" else f"memory://{tmp_path}/out/")
    assert folder.names() == set()
    assert folder.read("a/b.txt") is None
    folder.write("a/b.txt", b"old")
    folder.write("a/b.txt", b"new")
    folder.write("c.txt", b"")
    assert folder.read("a/b.txt") == b"new"
    assert folder.names() == {"a", "c.txt"}
    assert folder.file("c.txt").endswith("/out/c.txt")
    folder.remove("c.txt")
    folder.remove("c.txt")
    assert folder.names() == {"a"}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    folder = Folder(f"file://{tmp_path}")
    folder.write("a.txt", b"old")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(full))
    with pytest.raises(NimaError, match=r"/a.txt: cannot be written \(No space left on device\)"):
        folder.write("a.txt", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert folder.read("a.txt") == b"old"


def test_files_have_the_permissions_that_others_have(tmp_path):
    Folder(str(tmp_path)).write("a.txt", b"1")
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "other")}
    assert len(modes) == 1


def test_a_stored_photo_that_is_missing_is_said_in_the_words_of_a_local_one(tmp_path):
    url = f"memory://{tmp_path}/none.jpg"
    with pytest.raises(PhotoError) as stored:
        read_photo(StoredPhoto(url), name=url)
    with pytest.raises(PhotoError) as local:
        read_photo(tmp_path / "none.jpg", name=url)
    assert str(stored.value) == str(local.value) == f"{url}: no such file."


def test_a_photo_that_its_store_does_not_give_is_an_error_of_its_own(monkeypatch):
    system, _ = open_store("memory://")
    monkeypatch.setattr(
        type(system), "cat_file", lambda *_, **__: (_ for _ in ()).throw(OSError("SlowDown"))
    )
    with pytest.raises(PhotoError, match=r"^memory://a.jpg: not fetched in 4 attempts \(SlowDown"):
        read_photo(StoredPhoto("memory://a.jpg"), name="memory://a.jpg")


def test_an_unknown_kind_of_store_is_named():
    assert is_url("ftps9://host/a.jpg")
    with pytest.raises(ConfigError, match=r"ftps9://host/a.jpg: Protocol not known: ftps9"):
        open_store("ftps9://host/a.jpg")
