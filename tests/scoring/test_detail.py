"""Detail at native pixels: blur, shake, noise, compression, and what has nothing to judge."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from siamese_nima.curation.reasons import add_detail
from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.detail import TILE_PX, choose_tiles, detail_of, read_detail
from siamese_nima.scoring.results import ScoredPhoto

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    """Luminance of a sharp photo, (H, W)."""
    return np.asarray(read_photo(EXAMPLES / "astronaut.jpg").convert("L"))


def test_the_reading_grows_with_every_half_pixel_of_blur(sharp):
    readings = [
        detail_of(ndimage.gaussian_filter(sharp, width) if width else sharp).blur
        for width in np.arange(0, 4.5, 0.5)
    ]
    assert readings == sorted(readings)
    assert readings[0] < 1


@pytest.mark.parametrize("width", [1.5, 3.0])
def test_the_reading_is_the_width_of_the_blur(sharp, width):
    own = detail_of(sharp).blur
    read = detail_of(ndimage.gaussian_filter(sharp, width)).blur
    assert read == pytest.approx(np.hypot(own, width), rel=0.2)


@pytest.mark.parametrize(("axis", "direction"), [(1, 0.0), (0, 90.0)])
def test_motion_is_read_with_its_direction(sharp, axis, direction):
    shaken = detail_of(ndimage.uniform_filter1d(sharp, 13, axis=axis))
    still = detail_of(ndimage.gaussian_filter(sharp, 3.5))
    assert shaken.shake > 1.5 * still.shake
    turned = abs((shaken.direction - direction + 90) % 180 - 90)
    assert turned < 15


def test_more_noise_reads_more_in_about_grey_levels(sharp):
    grain = np.random.default_rng(0).standard_normal(sharp.shape)
    readings = [
        detail_of(np.clip(np.round(sharp + level * grain), 0, 255).astype(np.uint8)).noise
        for level in (0, 5, 10, 20)
    ]
    assert readings == sorted(readings)
    assert 5 < readings[2] < 20


def test_stronger_compression_reads_stronger(sharp):
    readings = []
    for quality in (90, 50, 15):
        file = io.BytesIO()
        Image.fromarray(sharp).save(file, "JPEG", quality=quality)
        readings.append(detail_of(np.asarray(Image.open(file))).compression)
    assert readings == sorted(readings)
    assert readings[2] > readings[0] + 0.2


def test_a_sharp_subject_before_a_blurred_background_is_sharp(sharp):
    photo = ndimage.gaussian_filter(sharp, 5)
    photo[64:320, 128:384] = sharp[64:320, 128:384]
    assert detail_of(photo).blur == pytest.approx(detail_of(sharp).blur, rel=0.25)


def test_what_has_no_texture_has_no_blur():
    sky = np.tile(np.linspace(120, 140, 600).astype(np.uint8), (400, 1))
    detail = detail_of(sky)
    assert (detail.blur, detail.shake, detail.direction) == (None, None, None)
    assert np.isnan(detail.map()).all()


def test_the_map_tells_where_it_is_sharp(sharp):
    photo = ndimage.gaussian_filter(sharp, 5)
    photo[:, :200] = sharp[:, :200]
    found = detail_of(photo).map()
    assert np.nanmedian(found[:, 0]) < 0.5 * np.nanmedian(found[:, -1])


@given(st.integers(TILE_PX, 900), st.integers(TILE_PX, 900))
def test_tiles_lie_inside_and_begin_with_a_block_of_jpeg(width, height):
    random = np.random.default_rng(width * height)
    corners = choose_tiles(random.integers(0, 256, (height, width), np.uint8))
    assert len(corners) == len(set(corners)) >= 1
    for left, top in corners:
        assert left % 8 == top % 8 == 0
        assert 0 <= left <= width - TILE_PX
        assert 0 <= top <= height - TILE_PX


def test_a_photo_smaller_than_a_tile_is_named(tmp_path):
    path = tmp_path / "small.png"
    Image.new("RGB", (95, 300)).save(path)
    with pytest.raises(PhotoError, match=r"small\.png: 95 x 300 pixels are too few"):
        read_detail(path)


def test_light_counts_stops(sharp):
    half = (((sharp / 255) ** 2.2 / 2) ** (1 / 2.2) * 255).round().astype(np.uint8)
    assert np.log2(detail_of(sharp).light / detail_of(half).light) == pytest.approx(1, abs=0.05)


def test_detail_is_added_to_results_in_order(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "small.png")
    paths = [EXAMPLES / "chelsea-blur.jpg", tmp_path / "small.png", EXAMPLES / "chelsea.jpg"]
    results = [ScoredPhoto(path=str(path), score=5.0, scale=AVA_SCALE, model="m") for path in paths]
    blurred, small, sharp = add_detail(results, workers=2)
    assert [Path(r.path).name for r in (blurred, small, sharp)] == [p.name for p in paths]
    assert blurred.about["blur"] > 2 * sharp.about["blur"]
    assert small.about == {}
    assert "px of blur at 100 %" in blurred.about["reason"]
    assert sharp.about["reason"] is None
