"""Files made after the published layouts; no camera's own file is small enough to keep here."""

import struct

import pytest

from dng_file import dng
from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo
from siamese_nima.photos.raw_extent import ends_early


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def long_box(kind, content):
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


HEAD = box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", bytes(40))
CR3 = HEAD + long_box(b"mdat", bytes(200))
PARTS = (148, 60, 208, 20, 228, 100)
RAF = b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">6I", *PARTS)
RAF = RAF.ljust(328, b"\0")


@pytest.mark.parametrize("whole", [CR3, RAF], ids=["CR3", "RAF"])
def test_a_file_cut_anywhere_ends_early(whole):
    assert not ends_early(whole)
    # Before that it is not known for what it is.
    assert all(ends_early(whole[:length]) for length in range(16, len(whole)))


def test_a_last_box_may_reach_to_the_end():
    assert not ends_early(HEAD + struct.pack(">I4s", 0, b"mdat") + bytes(50))


def test_nonsense_is_left_to_the_reader():
    assert not ends_early(HEAD + struct.pack(">I4s", 5, b"mdat") + bytes(50))


def test_kinds_like_tiff_are_followed_too(scene):
    contents = dng(scene)
    assert not ends_early(contents)
    assert ends_early(contents[:-9])


@pytest.mark.parametrize("name", ["cut.cr3", "cut.raf"])
def test_the_reader_says_that_a_file_was_cut_off(name, tmp_path):
    pytest.importorskip("rawpy")
    path = tmp_path / name
    path.write_bytes((CR3 if name.endswith("cr3") else RAF)[:-1])
    with pytest.raises(PhotoError, match=rf"{name}: truncated"):
        read_photo(path)
