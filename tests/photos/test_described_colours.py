"""Colours, crops and orders of channels that files tell in words other than an ICC profile."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, features

from icc_profiles import ADOBE_RGB
from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo
from siamese_nima.photos.colour import adobe_rgb_profile, coded_profile

EXIF_IFD, INTEROP_IFD, COLOUR_SPACE = 0x8769, 0xA005, 0xA001
BT709, BT2020, DISPLAY_P3 = 1, 9, 12
SRGB_CURVE, PQ, HLG = 13, 16, 18

# Light of BT.709 primaries in those of BT.2020 (ITU-R BT.2087) and Display P3.
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
TO_P3 = np.array([[0.8225, 0.1774, 0.0000], [0.0332, 0.9669, 0.0000], [0.0171, 0.0724, 0.9108]])


def light_of(picture):
    level = np.asarray(picture, dtype=np.float64) / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


def srgb_signal(light):
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def pq_signal(light):
    """SMPTE ST 2084, white at 203 nits."""
    power = (light * 203 / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_signal(light):
    """ITU-R BT.2100: white at 75 %, a display of 1000 nits."""
    scene = (light * 203 / 1000) ** (1 / 1.2)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def stored(scene, matrix, signal):
    light = (light_of(scene) @ matrix.T).clip(0, 1)
    return Image.fromarray((signal(light) * 255).round().astype(np.uint8))


CODED = [
    (BT2020, PQ, TO_BT2020, pq_signal),
    (BT2020, HLG, TO_BT2020, hlg_signal),
    (BT709, PQ, np.eye(3), pq_signal),
    (DISPLAY_P3, SRGB_CURVE, TO_P3, srgb_signal),
    (BT2020, SRGB_CURVE, TO_BT2020, srgb_signal),
]


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
@pytest.mark.parametrize(("primaries", "transfer", "matrix", "signal"), CODED)
def test_hdr_and_wide_gamut_avif_look_as_their_source(
    scene, encoded, difference, primaries, transfer, matrix, signal
):
    contents = encoded(stored(scene, matrix, signal), "AVIF", quality=100, subsampling="4:4:4")
    at = contents.index(b"nclx") + 4
    contents = contents[:at] + struct.pack(">HH", primaries, transfer) + contents[at + 4 :]
    assert difference(read_photo(contents), scene) < 4  # PQ in 8 bits is coarse


@pytest.mark.parametrize(("primaries", "transfer", "matrix", "signal"), CODED)
def test_hdr_and_wide_gamut_heic_look_as_their_source(
    scene, difference, primaries, transfer, matrix, signal
):
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(stored(scene, matrix, signal)).save(
        file, quality=-1, color_primaries=primaries, transfer_characteristics=transfer
    )
    contents = file.getvalue()
    assert struct.pack(">4sHH", b"nclx", primaries, transfer) in contents
    assert difference(read_photo(contents), scene) < 3


def test_numbers_that_mean_srgb_need_no_profile():
    assert [coded_profile(1, 13), coded_profile(2, 2), coded_profile(1, 1)] == [None] * 3


def test_the_profile_made_for_adobe_rgb_is_adobe_rgb(scene, encoded, difference):
    made, published = (
        read_photo(encoded(scene, "PNG", icc_profile=profile))
        for profile in (adobe_rgb_profile(), ADOBE_RGB)
    )
    assert difference(made, published) < 0.6
    assert difference(made, scene) > 4


@pytest.mark.parametrize(
    ("space", "index", "name", "is_adobe"),
    [
        (65535, "R03", "a.jpg", True),
        (None, "R03", "a.jpg", True),
        (2, None, "a.jpg", True),
        (65535, None, "_DSC1.jpg", True),
        (65535, None, "DSC1.jpg", False),
        (65535, "R98", "_DSC1.jpg", False),
        (1, "R98", "_DSC1.jpg", False),
        (None, None, "_DSC1.jpg", False),
    ],
)
def test_adobe_rgb_by_the_rules_of_camera_file_systems(
    scene, encoded, difference, space, index, name, is_adobe
):
    exif = Image.Exif()
    exposure = exif.get_ifd(EXIF_IFD)
    exposure[0x9003] = "2020:01:01 00:00:00"
    if space:
        exposure[COLOUR_SPACE] = space
    if index:
        exposure[INTEROP_IFD] = {1: index}
    plain = encoded(scene, "JPEG", quality=95)
    photo = read_photo(encoded(scene, "JPEG", quality=95, exif=exif), name=name)
    assert (difference(photo, read_photo(plain)) > 4) == is_adobe


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content


def with_channels(contents, definition):
    """A JP2 file whose header has this box inside, in place of its own."""
    if b"cdef" in contents:
        at = contents.index(b"cdef") + 4
        return contents[:at] + definition + contents[at + len(definition) :]
    at = contents.index(b"jp2h") - 4
    (size,) = struct.unpack_from(">I", contents, at)
    added = box(b"cdef", definition)
    head = contents[at + 4 : at + size] + added
    return contents[:at] + struct.pack(">I", 4 + len(head)) + head + contents[at + size :]


def test_jpeg_2000_in_another_order_of_channels_is_read(scene, encoded, difference):
    swapped = Image.merge("RGB", scene.split()[::-1])
    definition = struct.pack(">H9H", 3, 0, 0, 3, 1, 0, 2, 2, 0, 1)
    contents = with_channels(encoded(swapped, "JPEG2000"), definition)
    assert difference(read_photo(contents), scene) == 0
    usual = struct.pack(">H9H", 3, 0, 0, 1, 1, 0, 2, 2, 0, 3)
    assert difference(read_photo(with_channels(encoded(scene, "JPEG2000"), usual)), scene) == 0


def test_jpeg_2000_with_its_opacity_first_is_read(scene, encoded, difference):
    opaque = Image.new("L", scene.size, 255)
    stored_first = Image.merge("RGBA", (opaque, *scene.split()))
    definition = struct.pack(">H12H", 4, 0, 1, 0, 1, 0, 1, 2, 0, 2, 3, 0, 3)
    contents = with_channels(encoded(stored_first, "JPEG2000"), definition)
    assert difference(read_photo(contents), scene) == 0


def test_jpeg_xl_is_read_with_its_profile(scene, encoded, difference):
    pylibjxl = pytest.importorskip("pylibjxl")
    contents = pylibjxl.encode(np.asarray(scene), lossless=True)
    assert difference(read_photo(contents), scene) == 0
    wide = pylibjxl.encode(np.asarray(scene), lossless=True, icc=ADOBE_RGB)
    assert pylibjxl.decode(wide, metadata=True)[1]["icc_profile"]
    assert (
        difference(read_photo(wide), read_photo(encoded(scene, "PNG", icc_profile=ADOBE_RGB))) < 1
    )
    with pytest.raises(PhotoError, match="9600 pixels, more than the limit of 9599"):
        read_photo(contents, max_pixels=9599)
    large = pylibjxl.encode(np.asarray(scene.resize((960, 640))))
    assert read_photo(large, min_short_side_px=80).size == (120, 80)


def test_jpeg_xl_names_the_extra_that_reads_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pylibjxl", None)
    with pytest.raises(PhotoError, match=r"^a\.jxl: JPEG XL needs an optional part: .*\[jxl\]'$"):
        read_photo(b"\xff\x0a" + bytes(40), name="a.jxl")


def test_jpeg_xr_is_named():
    with pytest.raises(PhotoError, match=r"^a\.jxr: JPEG XR is not supported\. Save it as JPEG"):
        read_photo(b"II\xbc\x01" + bytes(40), name="a.jxr")


def test_a_raw_file_without_a_head_is_not_guessed_at():
    with pytest.raises(PhotoError, match=r"^a\.raw: not a photo in a format that can be read"):
        read_photo(bytes(range(1, 255)) * 40_000, name="a.raw")
