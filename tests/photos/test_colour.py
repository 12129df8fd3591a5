import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from icc_profiles import ADOBE_COLUMNS, ADOBE_RGB, GREY_GAMMA_1, icc_profile, rgb_profile, s15
from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def srgb_from_adobe(pixels):
    """Independent reference: the matrices and curves written out, clipped to the sRGB gamut."""
    to_xyz = np.array(ADOBE_COLUMNS).T
    srgb_columns = np.array(
        [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
    )
    linear = (pixels / 255) ** 2.19921875 @ to_xyz.T @ np.linalg.inv(srgb_columns).T
    linear = linear.clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * encoded


def pixel(photo):
    return photo.getpixel((0, 0))


def test_a_wide_profile_is_converted_to_srgb(scene, encoded):
    for options in [{"format": "PNG"}, {"format": "TIFF"}, {"format": "WEBP", "lossless": True}]:
        contents = encoded(scene, options.pop("format"), icc_profile=ADOBE_RGB, **options)
        photo = np.asarray(read_photo(contents), dtype=np.float64)
        expected = srgb_from_adobe(np.asarray(scene, dtype=np.float64))
        assert np.abs(photo - expected).max() < 2
        assert np.abs(photo - np.asarray(scene)).max() > 20


def test_a_profile_counts_in_reduced_jpeg_too(scene, encoded, difference):
    large = scene.resize((1200, 800))
    contents = encoded(large, "JPEG", quality=95, icc_profile=ADOBE_RGB)
    reduced, full = read_photo(contents, min_short_side_px=100), read_photo(contents)
    assert difference(reduced, full.resize((150, 100), Image.Resampling.BOX)) < 1
    assert difference(full, large) > 5


@pytest.mark.parametrize("profile", [SRGB, b"garbage", SRGB[:200], b"", GREY_GAMMA_1])
def test_srgb_and_unusable_profiles_leave_the_numbers(scene, encoded, difference, profile):
    assert difference(read_photo(encoded(scene, "PNG", icc_profile=profile)), scene) == 0


def test_grey_goes_through_its_own_profile(encoded):
    photo = read_photo(encoded(Image.new("L", (2, 2), 55), "PNG", icc_profile=GREY_GAMMA_1))
    assert pixel(photo) == (128, 128, 128)  # 55/255 of linear light is 128 in sRGB


def test_grey_with_a_profile_for_rgb_goes_through_that(encoded):
    contents = encoded(
        Image.new("L", (2, 2), 100), "PNG", icc_profile=rgb_profile(ADOBE_COLUMNS, 1)
    )
    (level,) = set(pixel(read_photo(contents)))
    assert level == 168  # 100/255 of linear light


def test_sixteen_bit_grey_goes_through_its_profile(encoded):
    wide = Image.fromarray(np.full((2, 2), 55 * 257, np.uint16))
    photo = read_photo(encoded(wide, "PNG", icc_profile=GREY_GAMMA_1))
    assert pixel(photo) == (128, 128, 128)


def test_transparency_is_kept_out_of_the_profile(encoded):
    picture = Image.new("RGBA", (2, 1), (100, 150, 200, 255))
    picture.putpixel((1, 0), (100, 150, 200, 0))
    photo = read_photo(encoded(picture, "PNG", icc_profile=ADOBE_RGB))
    opaque = read_photo(encoded(picture.convert("RGB"), "PNG", icc_profile=ADOBE_RGB))
    assert photo.getpixel((0, 0)) == opaque.getpixel((0, 0))
    assert photo.getpixel((1, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 127, 127, 0), (255, 128, 128)),
    ],
)
@pytest.mark.parametrize("image_format", ["TIFF", "JPEG"])
def test_cmyk_without_a_profile_becomes_rgb_by_the_plain_formula(encoded, cmyk, rgb, image_format):
    photo = read_photo(encoded(Image.new("CMYK", (8, 8), cmyk), image_format))
    assert np.abs(np.array(pixel(photo)) - rgb).max() <= 2


def test_cmyk_with_an_unusable_profile_counts_as_without(encoded):
    picture = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    assert pixel(read_photo(encoded(picture, "TIFF", icc_profile=ADOBE_RGB))) == (0, 255, 255)


def lut16(corners):
    """An A2B0 tag: CMYK to Lab by a table of the 16 corners, everything else linear."""
    tag = b"mft2" + bytes(4) + bytes([4, 3, 2, 0])
    tag += b"".join(s15(value) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    tag += struct.pack(">HH", 2, 2) + struct.pack(">HH", 0, 65535) * 4
    for lightness, a, b in corners:
        lab = (lightness * 652.8, (a + 128) * 256, (b + 128) * 256)
        tag += struct.pack(">HHH", *(round(value) for value in lab))
    return tag + struct.pack(">HH", 0, 65535) * 3


def test_cmyk_goes_through_its_profile(encoded):
    corners = [(0 if i & 1 else 100 - 15 * (i >> 1).bit_count(), 0, 0) for i in range(16)]
    profile = bytearray(icc_profile(b"CMYK", {b"A2B0": lut16(corners)}))
    profile[12:16], profile[20:24] = b"prtr", b"Lab "
    picture = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    for image_format in ["TIFF", "JPEG"]:
        photo = read_photo(encoded(picture, image_format, icc_profile=bytes(profile)))
        level = pixel(photo)[0]
        assert max(pixel(photo)) - min(pixel(photo)) <= 2  # this ink is grey, not cyan
        assert 205 <= level <= 218  # L* 85 is 212 in sRGB


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=40))
def test_sixteen_bit_grey_is_scaled_and_never_clipped(values):
    wide = np.array([values], dtype=np.uint16)
    for image_format in ["PNG", "TIFF"]:
        file = io.BytesIO()
        Image.fromarray(wide).save(file, image_format)
        photo = np.asarray(read_photo(file.getvalue()))
        assert np.array_equal(photo[..., 0], np.round(wide / 257))
        assert np.array_equal(photo[..., 0], photo[..., 2])


def test_big_endian_and_pgm_sixteen_bit_grey_are_scaled(encoded):
    wide = np.array([[0, 32896, 65535]], dtype=">u2")
    pgm = b"P5 3 1 65535\n" + wide.tobytes()
    tiff = encoded(Image.frombytes("I;16B", (3, 1), wide.tobytes()), "TIFF")
    for contents in [pgm, tiff]:
        assert np.asarray(read_photo(contents))[0, :, 0].tolist() == [0, 128, 255]


def tiff_grey(bits, photometric, rows):
    """A minimal little-endian grey TIFF with one strip."""
    entries = [(256, 3, 2), (257, 3, 1), (258, 3, bits), (259, 3, 1), (262, 3, photometric)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 3, 1), (279, 4, len(rows))]
    directory = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack("<HHII", tag, kind, 1, value)
    padded = rows + bytes(-len(rows) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(padded)) + padded + directory + bytes(4)


def test_twelve_bit_tiff_has_its_own_white():
    photo = read_photo(tiff_grey(12, 1, bytes([0xFF, 0xF8, 0x00])))
    assert np.asarray(photo)[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_that_counts_from_white_is_turned_round(bits):
    rows = np.array([0, 2**bits - 1], dtype=f"<u{bits // 8}").tobytes()
    assert np.asarray(read_photo(tiff_grey(bits, 0, rows)))[0, :, 0].tolist() == [255, 0]


def test_sixteen_bit_rgb_keeps_its_colours(encoded):
    header = struct.pack(">II", 1, 1) + b"\x10\x02\0\0\0"

    def chunk(kind, body):
        tail = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + tail

    row = b"\0" + struct.pack(">HHH", 65535, 32768, 256)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    png += chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    assert pixel(read_photo(png)) == (255, 128, 1)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("F", "floating-point pixels (mode F)"), ("I", "32-bit integer pixels (mode I)")],
)
def test_pixels_without_a_defined_white_are_refused(mode, kind):
    with pytest.raises(PhotoError) as caught:
        read_photo(Image.new(mode, (4, 4), 1), name="depth.tif")
    assert str(caught.value) == (
        f"depth.tif: {kind} do not say which number is white. Save it with 8 or 16 bits."
    )


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("1", 0, (0, 0, 0)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 255), (77, 77, 77)),
        ("LA", (77, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("HSV", (0, 255, 255), (255, 0, 0)),
        ("YCbCr", (255, 128, 128), (255, 255, 255)),
        ("LAB", (255, 128, 128), (255, 255, 255)),
        ("RGBX", (1, 2, 3, 0), (1, 2, 3)),
        ("RGBa", (0, 0, 0, 0), (255, 255, 255)),
        ("La", (0, 0), (255, 255, 255)),
    ],
)
def test_every_mode_of_pillow_becomes_rgb_over_white(mode, colour, expected):
    photo = read_photo(Image.new(mode, (3, 2), colour))
    assert (photo.mode, photo.size) == ("RGB", (3, 2))
    assert np.abs(np.array(pixel(photo)) - expected).max() <= 1


@pytest.mark.parametrize(
    ("image_format", "transparency"), [("PNG", 1), ("PNG", b"\xff\x00"), ("GIF", 1)]
)
def test_a_palette_with_transparency_is_laid_over_white(encoded, image_format, transparency):
    picture = Image.new("P", (2, 1))
    picture.putpalette([200, 0, 0, 0, 0, 200])
    picture.putpixel((1, 0), 1)
    photo = read_photo(encoded(picture, image_format, transparency=transparency))
    assert [photo.getpixel((x, 0)) for x in range(2)] == [(200, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize(
    ("picture", "transparent"),
    [
        (Image.new("RGB", (2, 1), (1, 2, 3)), (1, 2, 3)),
        (Image.new("L", (2, 1), 9), 9),
        (Image.fromarray(np.full((1, 2), 40000, np.uint16)), 40000),
    ],
)
def test_a_transparent_colour_is_laid_over_white(encoded, picture, transparent):
    assert pixel(read_photo(encoded(picture, "PNG", transparency=transparent))) == (255, 255, 255)
    assert max(pixel(read_photo(encoded(picture, "PNG")))) < 200


@given(st.integers(0, 255), st.integers(0, 255))
def test_alpha_mixes_in_proportion(level, alpha):
    photo = read_photo(Image.new("RGBA", (1, 1), (level, 0, 255, alpha)))
    share = alpha / 255
    expected = [255 * (1 - share) + value * share for value in (level, 0, 255)]
    assert np.abs(np.array(pixel(photo)) - expected).max() <= 1
