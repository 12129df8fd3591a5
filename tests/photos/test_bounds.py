"""Files made to fill the memory: what is read and allocated stays in proportion."""

import struct
import tracemalloc

import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image

from dng_file import dng
from siamese_nima.errors import PhotoError
from siamese_nima.photos import loading, read_photo
from siamese_nima.photos.raw import ends_early

MEGABYTE = 1 << 20


def peak_of(work):
    """Bytes that Python and numpy hold at most while something runs, and what comes of it."""
    tracemalloc.start()
    try:
        try:
            found = work()
        except PhotoError as error:
            found = str(error)
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


def tags_that_all_are_long(count, length, kind=1):
    """A small TIFF whose tags all point to the same bytes of the file."""
    entries = b"".join(
        struct.pack("<HHII", 1000 + number, kind, length, 8) for number in range(count)
    )
    camera = struct.pack("<HHI4B", 50706, 1, 4, 1, 4, 0, 0)
    table = struct.pack("<H", count + 1) + entries + camera + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + length) + bytes(length) + table


@pytest.mark.parametrize("kind", [1, 3, 4])
def test_integers_that_nobody_asks_for_are_not_unpacked(kind):
    contents = tags_that_all_are_long(3000, 36_000, kind)
    assert len(contents) < 80_000
    peak, _ = peak_of(lambda: ends_early(contents))
    assert peak < 8 * MEGABYTE


def test_a_small_dng_takes_little_memory():
    contents = tags_that_all_are_long(3000, 36_000)
    peak, found = peak_of(lambda: read_photo(contents, name="bomb.dng"))
    assert "bomb.dng: " in found
    assert peak < 16 * MEGABYTE


def test_a_list_of_strips_that_repeats_itself_is_no_list(scene):
    contents = tags_that_all_are_long(2, 4_000_000, 4)
    peak, _ = peak_of(lambda: ends_early(contents))
    assert peak < 8 * MEGABYTE


def test_of_a_jpeg_only_as_much_is_read_as_its_pixels_can_need(scene, encoded, tmp_path):
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as file:
        file.write(encoded(scene, "JPEG"))
        file.truncate(3 << 30)
    peak, photo = peak_of(lambda: read_photo(path))
    assert peak < 200 * MEGABYTE
    assert photo.size == scene.size


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000"])
def test_other_files_beyond_every_photo_are_refused_unread(scene, encoded, tmp_path, image_format):
    path = tmp_path / "sparse.x"
    with path.open("wb") as file:
        file.write(encoded(scene, image_format))
        file.truncate(3 << 30)
    peak, found = peak_of(lambda: read_photo(path))
    coded = image_format in ("WEBP", "AVIF", "JPEG2000")
    limit = loading.MAX_CODED_BYTES if coded else loading.MAX_FILE_BYTES
    assert found == f"{path}: {3 << 30} bytes, more than the limit of {limit}."
    assert peak < 4 * MEGABYTE


def test_the_sensors_picture_is_bounded_too(scene):
    contents = bytearray(dng(scene))
    contents += bytes(100)
    peak, found = peak_of(lambda: read_photo(bytes(contents), max_pixels=1000, name="a.dng"))
    assert peak < 16 * MEGABYTE
    assert isinstance(found, Image.Image) or found.startswith("a.dng: ")


def test_a_small_jpeg_2000_that_claims_many_wide_pixels(scene):
    wide = np.asarray(scene).astype(np.uint16) * 257
    contents = bytearray(encode_array(wide, photometric_interpretation=1))
    at = contents.index(b"\xff\x51") + 6
    for place in (at, at + 16):
        contents[place : place + 8] = struct.pack(">II", 15_000, 15_000)
    peak, found = peak_of(lambda: read_photo(bytes(contents), name="bomb.j2k"))
    assert found.startswith("bomb.j2k: not a readable photo (225000000 pixels in")
    assert peak < 16 * MEGABYTE


def test_a_jpeg_2000_whose_head_claims_less_than_its_wide_picture(scene):
    wide = np.asarray(scene).astype(np.uint16) * 257
    contents = bytearray(encode_array(wide, photometric_interpretation=1, codec_format=1))
    at = contents.index(b"\xff\x51") + 6
    contents[at : at + 8] = struct.pack(">II", 120, 2_000_000)
    peak, found = peak_of(lambda: read_photo(bytes(contents), name="bomb.jp2"))
    assert found.startswith("bomb.jp2: not a readable photo (its head and its picture differ")
    assert peak < 16 * MEGABYTE


def test_a_small_psd_that_claims_many_packed_pixels():
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 2, 3, 16_000, 16_000, 32, 3) + bytes(16)
    lengths = b"\0\0\0\2" * (3 * 16_000)
    peak, found = peak_of(lambda: read_photo(head + b"\0\1" + lengths, name="bomb.psb"))
    assert found.startswith("bomb.psb: truncated")
    assert peak < 16 * MEGABYTE
