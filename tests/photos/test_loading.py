import numpy as np
import pytest
from PIL import Image

from siamese_nima.photos import loading, read_photo


@pytest.fixture(params=[4_000_000, 20_000])
def _bands(request, monkeypatch):
    """One band, and several."""
    monkeypatch.setattr(loading, "_BAND_PIXELS", request.param)


@pytest.mark.usefixtures("_bands")
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB"])
def test_large_photos_of_every_format_are_shrunk_by_a_whole_factor(
    scene, encoded, difference, mode
):
    large = scene.resize((1203, 802))
    if mode in ("LA", "RGBA"):
        large.putalpha(Image.linear_gradient("L").resize(large.size))
    if mode == "LA":
        large = large.convert("LA")
    elif mode == "LAB":
        large = Image.merge("LAB", large.split())
    elif mode != "RGBA":
        large = large.convert(mode)
    contents = encoded(large, "TIFF" if mode in ("CMYK", "LAB") else "PNG")
    full, reduced = read_photo(contents), read_photo(contents, min_short_side_px=200)
    assert (full.size, reduced.size) == ((1203, 802), (301, 201))
    blocks = np.asarray(full)[:800, :1200].reshape(200, 4, 300, 4, 3).mean(axis=(1, 3))
    assert difference(np.asarray(reduced)[:200, :300], blocks) < 0.6


def test_a_colour_that_counts_as_transparent_is_found_before_pixels_are_averaged(encoded):
    picture = Image.new("RGB", (80, 80), (10, 20, 30))
    picture.paste((200, 0, 0), (0, 0, 40, 80))
    contents = encoded(picture, "PNG", transparency=(200, 0, 0))
    reduced = read_photo(contents, min_short_side_px=10)
    assert reduced.size == (10, 10)
    assert reduced.getpixel((0, 0)) == (255, 255, 255)
    assert reduced.getpixel((9, 9)) == (10, 20, 30)


def test_profile_and_orientation_of_a_shrunk_photo_still_count(scene, encoded, difference):
    exif = Image.Exif()
    exif[0x0112] = 6
    for image_format in ("PNG", "TIFF", "WEBP"):
        contents = encoded(scene.resize((480, 320)), image_format, exif=exif)
        reduced = read_photo(contents, min_short_side_px=80)
        assert reduced.size == (80, 120)
        upright = scene.transpose(Image.Transpose.ROTATE_270)
        assert difference(reduced, upright) < 3


def test_strips_one_pixel_wide_are_left_as_they_are(encoded):
    for size in [(1, 60_000), (60_000, 1)]:
        assert read_photo(encoded(Image.new("L", size), "PNG"), min_short_side_px=448).size == size


def test_sixteen_bits_are_not_shrunk(encoded):
    wide = Image.fromarray(np.full((80, 80), 30_000, np.uint16))
    assert read_photo(encoded(wide, "PNG"), min_short_side_px=8).size == (80, 80)
