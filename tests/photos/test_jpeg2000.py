"""JPEG 2000: profiles, orders of channels, palettes and coarser grids."""

import io
import struct

import numpy as np
import pytest
from openjpeg.utils import encode_array
from PIL import Image, ImageCms

from icc_profiles import ADOBE_RGB
from siamese_nima.errors import PhotoError
from siamese_nima.photos import boxes, read_photo

SRGB, GREY, SYCC = 16, 17, 18


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def named(number):
    return box(b"colr", b"\1\0\0" + struct.pack(">I", number))


def with_header(contents, *added):
    """A JP2 file whose header holds these boxes after its size, and no others."""
    header = boxes.span(contents, b"jp2h")
    size = box(b"ihdr", boxes.find(contents, b"jp2h", b"ihdr"))
    changed = box(b"jp2h", size + b"".join(added))
    return contents[: header.head] + changed + contents[header.end :]


def definition(*channels):
    packed = b"".join(struct.pack(">HHH", *channel) for channel in channels)
    return box(b"cdef", struct.pack(">H", len(channels)) + packed)


@pytest.mark.parametrize("method", [2, 3])
def test_the_profile_counts(scene, encoded, difference, method):
    profile = box(b"colr", bytes([method, 0, 0]) + ADOBE_RGB)
    photo = read_photo(with_header(encoded(scene, "JPEG2000"), profile))
    expected = read_photo(encoded(scene, "PNG", icc_profile=ADOBE_RGB))
    assert difference(expected, scene) > 3
    assert difference(photo, expected) == 0


def test_a_named_colour_space_before_a_profile_counts(scene, encoded, difference):
    profile = box(b"colr", b"\2\0\0" + ADOBE_RGB)
    contents = with_header(encoded(scene, "JPEG2000"), named(SRGB), profile)
    assert difference(read_photo(contents), scene) == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_luminance_and_colour_differences_in_any_order(scene, encoded, difference, order):
    parts = scene.convert("YCbCr").split()
    stored = Image.merge("RGB", [parts[place] for place in order])
    channels = [(at, 0, place + 1) for at, place in enumerate(order)]
    contents = encoded(stored, "JPEG2000", mct=0)
    photo = read_photo(with_header(contents, named(SYCC), definition(*channels)))
    assert difference(photo, scene) < 1.5


def test_colours_multiplied_by_their_opacity(scene, encoded, difference):
    opacity = Image.fromarray(np.full((80, 120), 128, np.uint8))
    straight = scene.copy()
    straight.putalpha(opacity)
    multiplied = Image.fromarray((np.asarray(scene) * (128 / 255)).round().astype(np.uint8))
    multiplied.putalpha(opacity)
    channels = definition((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 2, 0))
    contents = with_header(encoded(multiplied, "JPEG2000"), named(SRGB), channels)
    assert difference(read_photo(contents), read_photo(encoded(straight, "PNG"))) < 1.5


def test_a_fourth_channel_that_is_no_opacity_is_no_part_of_the_picture(scene, encoded, difference):
    picture = scene.copy()
    picture.putalpha(0)
    channels = definition((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 65535, 65535))
    contents = with_header(encoded(picture, "JPEG2000"), named(SRGB), channels)
    assert difference(read_photo(contents), scene) == 0


@pytest.mark.parametrize(("depth", "code"), [(7, "B"), (15, "H")])
def test_a_palette_in_which_a_colour_stands_twice(encoded, depth, code):
    numbers = np.arange(64, dtype=np.uint8).reshape(8, 8)
    colours = np.array([[0, 0, 0], [0, 0, 0], *([n, 255 - n, 2 * n] for n in range(2, 64))])
    entries = (colours * (1 if depth == 7 else 257)).flatten()
    palette = struct.pack(">HB3B", 64, 3, *[depth] * 3) + struct.pack(f">192{code}", *entries)
    mapping = b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3))
    contents = with_header(
        encoded(Image.fromarray(numbers), "JPEG2000"),
        named(SRGB),
        box(b"pclr", palette),
        box(b"cmap", mapping),
        definition((0, 0, 2), (1, 0, 3), (2, 0, 1)),
    )
    photo = np.asarray(read_photo(contents))
    assert (photo == colours[numbers][..., [2, 0, 1]]).all()


@pytest.mark.parametrize("width", [64, 65])
def test_channels_at_a_coarser_grid(encoded, width):
    grey = Image.new("RGB", (-(-width // 2), 16), (90, 90, 90))
    contents = encoded(grey, "JPEG2000", no_jp2=True, mct=0)
    at = contents.index(b"\xff\x51") + 6  # the width of the picture
    stored = struct.pack(">I", width)
    coarse = bytearray(contents)
    coarse[at : at + 4] = coarse[at + 16 : at + 20] = stored
    for channel in range(3):
        coarse[at + 35 + 3 * channel] = 2
    if width % 2:
        with pytest.raises(PhotoError, match="a coarser grid that does not fit its width"):
            read_photo(bytes(coarse))
    else:
        assert read_photo(bytes(coarse)).size == (width, 16)


def test_parts_of_tiles_that_are_counted_one_short(scene, encoded, difference):
    contents = encoded(scene, "JPEG2000", tile_size=(64, 64))
    at, parts = contents.index(b"\xff\x90"), []
    start = at
    while contents[at : at + 2] == b"\xff\x90":
        (size,) = struct.unpack_from(">I", contents, at + 6)
        parts.append(contents[at : at + size])
        at += size
    assert len(parts) == 4
    empty = b"\xff\x93"
    ends = [b"\xff\x90\0\x0a" + struct.pack(">HIBB", tile, 14, 1, 1) + empty for tile in range(4)]
    short = contents[:start] + b"".join([*parts, *ends]) + contents[at:]
    last = boxes.span(contents, b"jp2c")
    body = short[last.head + 8 : len(short)]
    short = short[: last.head] + box(b"jp2c", body)
    with pytest.raises(OSError, match="broken data stream"):
        Image.open(io.BytesIO(short)).load()
    assert difference(read_photo(short), scene) == 0


def test_lab_by_its_number(scene, encoded, difference):
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(*profiles, inMode="RGB", outMode="LAB")
    stored = Image.merge("RGB", ImageCms.applyTransform(scene, transform).split())
    contents = with_header(encoded(stored, "JPEG2000", mct=0), named(14))
    assert difference(read_photo(contents), scene) < 2.5


def test_a_colour_space_that_is_not_known_is_named(scene, encoded):
    contents = with_header(encoded(scene, "JPEG2000"), named(21))
    with pytest.raises(PhotoError, match=r"^a\.jp2: JPEG 2000 in colour space 21 is not supported"):
        read_photo(contents, name="a.jp2")
    profile = box(b"colr", b"\2\0\0" + ADOBE_RGB)
    assert read_photo(with_header(encoded(scene, "JPEG2000"), named(21), profile))


def test_a_profile_whose_colours_fall_together_does_not_count(scene, encoded, difference):
    places = range(132, 132 + 12 * struct.unpack_from(">I", ADOBE_RGB, 128)[0], 12)
    broken = bytearray(ADOBE_RGB)
    for place in places:
        kind, at, _ = struct.unpack_from(">4sII", ADOBE_RGB, place)
        if kind in (b"rXYZ", b"bXYZ"):
            broken[at + 8 : at + 20] = bytes(12)
    photo = read_photo(encoded(scene, "PNG", icc_profile=bytes(broken)))
    assert difference(photo, scene) == 0


@pytest.mark.parametrize("options", [{}, {"no_jp2": True}])
def test_a_file_without_any_part_of_its_tiles_is_cut_off(scene, encoded, options):
    contents = encoded(scene, "JPEG2000", **options)
    with pytest.raises(PhotoError, match=r"^a\.jp2: truncated"):
        read_photo(contents[: contents.index(b"\xff\x90")], name="a.jp2")


@pytest.mark.parametrize("bits", [9, 12, 16])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_white_of_more_than_eight_bits_stays_white(scene, difference, bits, mode):
    picture = scene.resize((60, 40)).point([min(255, level * 2) for level in range(256)] * 3)
    assert (np.asarray(picture) == 255).mean() > 0.05
    stored = picture.convert(mode)
    levels = np.asarray(stored).astype(np.uint32)
    wide = ((levels * (2**bits - 1) + 127) // 255).astype(np.uint16)
    contents = encode_array(
        wide, bits_stored=bits, photometric_interpretation=0, use_mct=False, codec_format=1
    )
    number = {"L": GREY, "CMYK": 12, "YCbCr": SYCC}.get(mode, SRGB)
    opacity = [definition((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 0))] if mode == "RGBA" else []
    photo = read_photo(with_header(contents, named(number), *opacity))
    expected = picture.convert("L") if mode == "L" else picture
    assert difference(photo, expected.convert("RGB")) < (1.5 if mode == "YCbCr" else 0.6)


def test_wide_channels_of_several_depths_are_named(encoded, scene):
    contents = bytearray(encoded(scene, "JPEG2000", no_jp2=True))
    at = contents.index(b"\xff\x51") + 40
    contents[at] = 15
    with pytest.raises(PhotoError, match=r"^a\.j2k: JPEG 2000 with 3 channels of 16 bits is not"):
        read_photo(bytes(contents), name="a.j2k")
