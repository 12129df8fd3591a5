"""Views cut from the pixels as they are stored are those of the whole photo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from icc_profiles import ADOBE_COLUMNS, ADOBE_RGB, GREY_GAMMA_1, rgb_profile
from siamese_nima.errors import PhotoError
from siamese_nima.photos import ViewPolicy, colour, open_photo, read_photo
from siamese_nima.photos.similarity import difference_hash, unit_thumbnail

POLICIES = ["warp:48", "warp:32x64", "pad:48", "centre:32@64", "five:24@40", "warp:40+centre:40@64"]


def with_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("policy", POLICIES)
def test_views_of_a_photo_that_lies_are_those_of_the_upright_one(
    scene, encoded, difference, orientation, policy
):
    contents = encoded(scene, "PNG", exif=with_orientation(orientation))
    photo, whole = open_photo(contents), read_photo(contents)
    views = ViewPolicy.parse(policy).views
    assert photo.size == whole.size
    assert np.abs(views(photo).astype(int) - views(whole)).max() <= 2


@given(
    box=st.tuples(
        *[st.floats(0, 0.45), st.floats(0, 0.45), st.floats(0.55, 1), st.floats(0.55, 1)]
    ),
    orientation=st.integers(1, 8),
)
@settings(max_examples=60)
def test_any_part_is_cut_where_it_is(box, orientation):
    y, x = np.mgrid[0:48, 0:64]
    stored = Image.fromarray(np.stack([x * 4, y * 5, x + y], axis=-1).astype(np.uint8))
    stored.info["exif"] = with_orientation(orientation).tobytes()
    photo, whole = open_photo(stored), read_photo(stored)
    part = tuple(share * side for share, side in zip(box, photo.size * 2, strict=True))
    one, other = (picture.resize((20, 15), box=part) for picture in (photo, whole))
    assert np.abs(np.asarray(one, dtype=int) - np.asarray(other)).max() <= 2


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA", "P", "1"])
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_views_of_all_colours_are_those_of_the_converted_photo(
    scene, encoded, difference, mode, gamma
):
    picture = scene.convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(scene.size))
    options = {"icc_profile": rgb_profile(ADOBE_COLUMNS, gamma)} if mode == "RGB" else {}
    contents = encoded(picture, "TIFF" if mode == "CMYK" else "PNG", **options)
    views = ViewPolicy.parse("warp:32+centre:32@48").views
    assert difference(views(open_photo(contents)), views(read_photo(contents))) < 0.6


def test_only_the_views_of_a_wide_gamut_photo_are_converted(scene, encoded, monkeypatch):
    converted = []
    through_profile = colour._through_profile

    def noted(image, profile):
        converted.append(image.size)
        return through_profile(image, profile)

    monkeypatch.setattr(colour, "_through_profile", noted)
    photo = open_photo(encoded(scene.resize((1200, 800)), "JPEG", icc_profile=ADOBE_RGB))
    ViewPolicy.parse("warp:64").views(photo)
    assert max(converted) == (64, 64)


@pytest.mark.parametrize("profile", [None, ADOBE_RGB, b"garbage"])
def test_working_spaces_average_like_srgb(profile):
    assert colour.averages_like_srgb(profile, "RGB")


def test_linear_light_and_hdr_do_not(scene):
    assert not colour.averages_like_srgb(GREY_GAMMA_1, "L")
    assert not colour.averages_like_srgb(colour.coded_profile(9, 16), "RGB")
    assert not colour.averages_like_srgb(rgb_profile(ADOBE_COLUMNS, 1), "RGB")


def test_hash_and_thumbnail_are_those_of_the_whole_photo(scene, encoded):
    contents = encoded(scene.resize((600, 400)), "JPEG", exif=with_orientation(6))
    photo, whole = open_photo(contents), read_photo(contents)
    assert (int(difference_hash(photo)) ^ int(difference_hash(whole))).bit_count() <= 2
    assert float(unit_thumbnail(photo) @ unit_thumbnail(whole)) > 0.999


def test_the_whole_photo_is_that_of_read_photo(scene, encoded, difference):
    contents = encoded(scene, "PNG", icc_profile=ADOBE_RGB, exif=with_orientation(6))
    photo = open_photo(contents)
    assert difference(photo.whole(), read_photo(contents)) == 0
    assert photo.whole() is photo.whole()
    assert (photo.width, photo.height) == photo.whole().size


def test_a_callers_picture_is_not_changed(scene):
    before = np.array(scene)
    photo = open_photo(scene)
    photo.whole().paste("red", (0, 0, 50, 50))
    photo.resize(scene.size).paste("red", (0, 0, 50, 50))
    assert np.array_equal(before, np.asarray(scene))


def test_pixels_without_a_white_are_an_error_with_the_name():
    photo = open_photo(Image.new("F", (4, 4), 1), name="depth.tif")
    for look in (photo.whole, lambda: photo.resize((2, 2))):
        with pytest.raises(PhotoError, match=r"^depth\.tif: floating-point pixels"):
            look()
