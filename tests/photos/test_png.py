import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from icc_profiles import GREY_GAMMA_1
from siamese_nima.photos import read_photo

BIG = b"x" * (2 << 20)


def chunk(kind, body):
    tail = zlib.crc32(kind + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind + body + tail


def with_chunks(contents, *chunks, before_pixels=True):
    at = contents.index(b"IDAT") - 4 if before_pixels else contents.index(b"IEND") - 4
    return contents[:at] + b"".join(chunks) + contents[at:]


def raw_profile(payload, kind="exif"):
    """A block as ImageMagick writes it into text."""
    digits = payload.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"Raw profile type {kind}\0\0".encode() + zlib.compress(
        f"\n{kind}\n{len(payload):8d}\n{lines}\n".encode()
    )


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("before_pixels", [True, False])
@pytest.mark.parametrize(
    "block",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(BIG)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(BIG)),
        chunk(b"tEXt", b"Comment\0" + BIG),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100 << 20))),
        *[chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 20))) * 80],
    ],
    ids=["zTXt", "iTXt", "tEXt", "bomb", "many"],
)
def test_long_text_is_skipped(scene, encoded, difference, block, before_pixels):
    contents = with_chunks(encoded(scene, "PNG"), block, before_pixels=before_pixels)
    assert difference(read_photo(contents), scene) == 0


def test_a_long_profile_still_counts():
    size = 2 << 20
    profile = bytearray(GREY_GAMMA_1 + bytes(size - len(GREY_GAMMA_1)))
    profile[:4] = struct.pack(">I", size)
    picture = Image.new("L", (2, 2), 55)
    contents = encoded_png(picture)
    contents = with_chunks(contents, chunk(b"iCCP", b"grey\0\0" + zlib.compress(bytes(profile))))
    assert read_photo(contents).getpixel((0, 0)) == (128, 128, 128)


def encoded_png(picture):

    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_a_profile_that_would_fill_the_memory_is_skipped(scene, encoded, difference):
    bomb = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(200 << 20)))
    assert difference(read_photo(with_chunks(encoded(scene, "PNG"), bomb)), scene) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("before_pixels", [True, False])
@pytest.mark.parametrize("way", ["eXIf", "text", "old text", "XMP"])
def test_orientation_does_not_depend_on_the_size_decoded(
    scene, encoded, difference, orientation, before_pixels, way
):
    contents = encoded(scene.resize((960, 640)), "PNG")
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>%d</tiff:Orientation>'
    block = {
        "eXIf": chunk(b"eXIf", exif_of(orientation)[6:]),
        "text": chunk(b"zTXt", raw_profile(exif_of(orientation))),
        "old text": chunk(b"zTXt", raw_profile(exif_of(orientation), "APP1")),
        "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp % orientation),
    }[way]
    contents = with_chunks(contents, block, before_pixels=before_pixels)
    full, reduced = read_photo(contents), read_photo(contents, min_short_side_px=80)
    assert (full.size[0] > full.size[1]) == (orientation < 5)
    assert reduced.size == tuple(side // 8 for side in full.size)
    assert difference(reduced, full.resize(reduced.size, Image.Resampling.BOX)) < 1


def test_sixteen_bit_grey_with_transparency_goes_through_its_grey_profile():
    row = b"\0" + struct.pack(">HHHH", 55 * 257, 65535, 55 * 257, 0)
    contents = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">II", 2, 1) + b"\x10\4\0\0\0")
    contents += chunk(b"iCCP", b"grey\0\0" + zlib.compress(GREY_GAMMA_1))
    contents += chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    photo = read_photo(contents)
    assert photo.getpixel((0, 0)) == (128, 128, 128)
    assert photo.getpixel((1, 0)) == (255, 255, 255)


def test_colours_told_by_numbers_are_converted(encoded):
    """BT.2020 and PQ: 58 % of the signal is the white of a photo."""
    white, over = (Image.new("RGB", (2, 2), (level,) * 3) for level in (148, 220))
    coded = chunk(b"cICP", bytes([9, 16, 0, 1]))
    for picture, expected in [(white, 255), (over, 255)]:
        photo = np.asarray(read_photo(with_chunks(encoded(picture, "PNG"), coded)))
        assert abs(int(photo.min()) - expected) <= 2


@pytest.mark.parametrize(("gamma", "level"), [(45455, 55), (100_000, 128), (45000, 55)])
def test_a_gamma_counts_where_nothing_else_says_what_numbers_mean(encoded, gamma, level):
    contents = encoded(Image.new("RGB", (2, 2), (55, 55, 55)), "PNG")
    named = chunk(b"gAMA", struct.pack(">I", gamma))
    photo = read_photo(with_chunks(contents, named))
    assert abs(photo.getpixel((0, 0))[0] - level) <= 1
    said = read_photo(with_chunks(contents, named, chunk(b"sRGB", b"\0")))
    assert said.getpixel((0, 0)) == (55, 55, 55)


def test_orientation_in_text_that_is_too_long_for_pillow_counts(scene, encoded, difference):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation>'
    block = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp + BIG)
    for before_pixels in (True, False):
        contents = with_chunks(
            encoded(scene, "PNG"), chunk(b"iTXt", block), before_pixels=before_pixels
        )
        upright = scene.transpose(Image.Transpose.ROTATE_270)
        assert difference(read_photo(contents), upright) == 0


TO_ADOBE = np.array([[0.7152, 0.2848, 0], [0, 1, 0], [0, 0.0412, 0.9588]])
ADOBE = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
SCREEN = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


@pytest.mark.parametrize("gamma", [45455, 100_000])
@pytest.mark.parametrize(("primaries", "matrix"), [(ADOBE, TO_ADOBE), (SCREEN, np.eye(3))])
def test_primaries_count_beside_a_gamma(scene, encoded, difference, gamma, primaries, matrix):
    level = np.asarray(scene) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    signal = (light @ matrix.T).clip(0, 1) ** (gamma / 1e5)
    stored = Image.fromarray((signal * 255).round().astype(np.uint8))
    colours = [
        chunk(b"gAMA", struct.pack(">I", gamma)),
        chunk(b"cHRM", struct.pack(">8I", *primaries)),
    ]
    photo = read_photo(with_chunks(encoded(stored, "PNG"), *colours))
    assert difference(photo, scene) < 2
    said = read_photo(with_chunks(encoded(scene, "PNG"), *colours, chunk(b"sRGB", b"\0")))
    assert difference(said, scene) == 0


@pytest.mark.parametrize("primaries", [(0,) * 8, (31270, 0, *ADOBE[2:]), (ADOBE[0:2]) * 4])
def test_impossible_primaries_do_not_count(scene, encoded, difference, primaries):
    colours = [
        chunk(b"gAMA", struct.pack(">I", 45455)),
        chunk(b"cHRM", struct.pack(">8I", *primaries)),
    ]
    assert difference(read_photo(with_chunks(encoded(scene, "PNG"), *colours)), scene) == 0
