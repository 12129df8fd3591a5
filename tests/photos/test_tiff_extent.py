import struct

import pytest
from PIL import Image

from dng_file import dng
from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo
from siamese_nima.photos.tiff_extent import ends_early


@pytest.fixture(scope="module")
def raw_files(scene, encoded):
    return [dng(scene), dng(scene, preview=encoded(scene, "JPEG"), orientation=6)]


def test_whole_files_do_not_end_early(scene, encoded, raw_files):
    for contents in raw_files:
        assert not ends_early(contents)
        assert not ends_early(contents + b"trailing")
    for options in [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}]:
        assert not ends_early(encoded(scene, "TIFF", **options))


def test_a_file_cut_anywhere_ends_early(raw_files):
    for contents in raw_files:
        # The last directory ends in 4 bytes of zeros, or the values that it points to.
        assert all(ends_early(contents[:length]) for length in range(8, len(contents), 37))


def test_a_file_with_its_directory_first_ends_early_without_its_pixels(scene):
    width, height = scene.size
    tags = [(256, width), (257, height), (258, 8), (262, 1), (273, 200), (279, width * height)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    whole = head.ljust(200, b"\0") + bytes(width * height)
    assert not ends_early(whole)
    assert ends_early(whole[:-1])


@pytest.mark.parametrize(
    "contents", [b"", b"II*\0", b"MM\0*\0\0\0\0", b"FUJIFILMCCD-RAW", bytes(99)]
)
def test_other_files_are_left_to_their_reader(contents):
    assert not ends_early(contents)


def test_directories_in_a_circle_end():
    circle = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 256, 4, 1, 5, 8)
    assert not ends_early(circle)


def test_the_error_says_that_the_file_is_cut_off(scene):
    pytest.importorskip("rawpy")
    with pytest.raises(PhotoError) as caught:
        read_photo(dng(scene)[:-30], name="card.dng")
    assert str(caught.value) == "card.dng: truncated, the file ends before the picture does."


def test_a_camera_raw_file_that_is_whole_is_read(scene):
    pytest.importorskip("rawpy")
    assert read_photo(dng(scene.resize((96, 64)))).size == Image.new("L", (96, 64)).size
