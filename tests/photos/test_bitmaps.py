"""BMP with bit fields that Pillow does not know, and TGA with runs over the end of a row."""

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.TgaImagePlugin import TgaImageFile

from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo


def bmp(picture, masks, bits, *, upright=False):
    """A picture, each channel as wide as its mask; a fourth mask is of opacity."""
    levels = np.asarray(picture).astype(np.uint64)
    values = np.zeros(levels.shape[:2], np.uint64)
    for place, mask in enumerate(masks):
        lowest = (mask & -mask).bit_length() - 1
        white = np.uint64(mask >> lowest)
        channel = levels[..., place] * white // np.uint64(255)
        values |= channel << np.uint64(lowest)
    rows = values.astype(f"<u{bits // 8}")
    rows = rows if upright else rows[::-1]
    body = b"".join(row.tobytes().ljust((len(row) * bits + 31) // 32 * 4, b"\0") for row in rows)
    size = 56 if len(masks) == 4 else 40
    start = 14 + 56
    height = -len(rows) if upright else len(rows)
    head = struct.pack("<IiiHHIIiiII", size, len(rows[0]), height, 1, bits, 3, 0, 0, 0, 0, 0)
    head += struct.pack(f"<{len(masks)}I", *masks)
    file = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    return (file + head).ljust(start, b"\0") + body


@pytest.mark.parametrize(
    ("masks", "bits", "near"),
    [
        ((0x3E0, 0x7C00, 0x1F), 16, 9),
        ((0xFFE00000, 0x1FFC00, 0x3FF), 32, 1),
        ((0xFF00, 0xFF0, 0xFF0000), 32, 255),
        ((0xFF00, 0xFF000000, 0xFF0000), 32, 1),
    ],
)
@pytest.mark.parametrize("upright", [False, True])
def test_any_bit_fields_are_read(scene, difference, masks, bits, near, upright):
    photo = read_photo(bmp(scene.crop((0, 0, 79, 50)), masks, bits, upright=upright))
    if near < 255:  # else the fields lie over each other: no picture, but no failure
        assert difference(photo, scene.crop((0, 0, 79, 50))) < near


def test_opacity_in_a_bit_field_is_laid_over_white(scene, difference):
    picture = scene.copy()
    picture.putalpha(128)
    photo = read_photo(bmp(picture, (0xFF00, 0xFF0000, 0xFF000000, 0xF), 32))
    half = Image.blend(scene, Image.new("RGB", scene.size, "white"), 0.5)
    assert difference(photo, half) < 5


def test_a_bitmap_with_bit_fields_that_is_cut_off_or_too_large(scene):
    contents = bmp(scene, (0xFF00, 0xFF000000, 0xFF0000), 32)
    with pytest.raises(PhotoError, match=r"^a\.bmp: truncated"):
        read_photo(contents[:-1], name="a.bmp")
    with pytest.raises(PhotoError, match="9600 pixels, more than the limit"):
        read_photo(contents, max_pixels=9599)


def tga_of_one_run_after_another(picture):
    """Runs of 128 pixels, wherever rows end."""
    pixels = np.asarray(picture)[::-1, :, ::-1].reshape(-1, 3)
    packets = []
    for at in range(0, len(pixels), 128):
        part = pixels[at : at + 128]
        equal = (part == part[0]).all()
        packets.append(
            bytes([127 + len(part)]) + part[0].tobytes()
            if equal
            else bytes([len(part) - 1]) + part.tobytes()
        )
    head = struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, *picture.size, 24, 0)
    return head + b"".join(packets)


def test_runs_over_the_end_of_rows_are_read(scene, difference):
    picture = scene.resize((70, 41))
    picture.paste("red", (0, 0, 70, 20))
    contents = tga_of_one_run_after_another(picture)
    with pytest.raises(OSError, match="buffer overrun"):
        TgaImageFile(BytesIO(contents)).load()
    assert difference(read_photo(contents), picture) == 0
    for damaged in (contents[:-5], contents[:18] + b"\xff" + contents[18:]):
        with pytest.raises(PhotoError):
            read_photo(damaged)


def test_one_bit_of_opacity_counts(scene, difference):
    picture = scene.copy()
    clear = Image.new("L", scene.size, 255)
    clear.paste(0, (0, 0, 60, 80))
    picture.putalpha(clear)
    photo = read_photo(bmp(picture, (0x7C00, 0x3E0, 0x1F, 0x8000), 16))
    expected = Image.composite(scene, Image.new("RGB", scene.size, "white"), clear)
    assert difference(photo, expected) < 6
    nowhere = picture.copy()
    nowhere.putalpha(0)
    unused = bmp(nowhere, (0x7C00, 0x3E0, 0x1F, 0x8000), 16)
    assert difference(read_photo(unused), scene) < 9
