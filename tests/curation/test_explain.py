from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from judges import Judge, calm, sharpness
from siamese_nima import Scorer, read_photo
from siamese_nima.curation.explain import (
    CELLS,
    explain_photo,
    mirrored,
    shrunk_to,
    window_boxes,
)
from siamese_nima.errors import ConfigError, PhotoError

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
FLAW = (60, 100, 120, 150)  # of a photo of 200 x 200


def texture() -> Image.Image:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (50, 50, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((200, 200), Image.Resampling.BILINEAR)


def with_flaw(photo: Image.Image, flawed: Image.Image) -> Image.Image:
    spoilt = photo.copy()
    spoilt.paste(flawed.crop(FLAW), FLAW[:2])
    return spoilt


def noisy(photo: Image.Image) -> Image.Image:
    noise = np.random.default_rng(1).normal(0, 60, (*photo.size, 3))
    return Image.fromarray(np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8))


def overlap(first, second) -> float:
    """Share of the first box that the second covers."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    area = (first[2] - first[0]) * (first[3] - first[1])
    return max(0, width) * max(0, height) / area


def effects_elsewhere(scorer, photo, size, count) -> np.ndarray:
    """What hiding regions of this size at random places, off the grid, does to the score."""
    generator = np.random.default_rng(2)
    pixels = np.asarray(photo)
    versions = [pixels]
    for _ in range(count):
        left = int(generator.integers(0, photo.width - size[0]))
        top = int(generator.integers(0, photo.height - size[1]))
        versions.append(mirrored(pixels, (left, top, left + size[0], top + size[1])))
    scores = np.array([result.mean for result in scorer.score(versions)])
    return scores[1:] - scores[0]


@pytest.mark.parametrize(
    ("figure", "full", "spoil"),
    [
        (sharpness, 40.0, lambda photo: photo.filter(ImageFilter.GaussianBlur(6))),
        (calm, 100.0, noisy),
    ],
    ids=["blurred", "noisy"],
)
def test_the_one_flawed_region_of_a_photo_is_blamed(figure, full, spoil, tmp_path):
    photo = with_flaw(texture(), spoil(texture()))
    photo.save(tmp_path / "flawed.png")
    scorer = Scorer(Judge(figure, full), workers=1)
    explanation = explain_photo(scorer, tmp_path / "flawed.png")
    blamed = explanation.costs
    assert overlap(FLAW, blamed.box) > 0.9
    assert blamed.effect > 0.1
    elsewhere = effects_elsewhere(scorer, photo, (60, 60), 60)
    assert blamed.effect >= np.abs(elsewhere).max() * 0.98
    row, column = np.unravel_index(explanation.cells.argmax(), (CELLS, CELLS))
    centre = (column * 20, row * 20, column * 20 + 20, row * 20 + 20)
    assert overlap(centre, FLAW) > 0.2


def test_effects_are_those_of_hiding_and_cells_their_means(tmp_path):
    texture().save(tmp_path / "photo.png")
    scorer = Scorer(Judge(sharpness, 40.0), workers=1)
    explanation = explain_photo(scorer, tmp_path / "photo.png")
    pixels = np.asarray(texture())
    whole, hidden = (
        result.mean for result in scorer.score([pixels, mirrored(pixels, (20, 40, 80, 100))])
    )
    [region] = [r for r in explanation.regions if r.box == (20, 40, 80, 100)]
    assert explanation.score == whole
    assert region.effect == pytest.approx(hidden - whole, abs=1e-9)
    over = [r.effect for r in explanation.regions if overlap((60, 60, 80, 80), r.box) == 1]
    assert len(over) == 9
    assert explanation.cells[3, 3] == pytest.approx(np.mean(over))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["astronaut", "chelsea-noise"])
def test_no_other_region_matters_more_to_the_embedded_model(name):
    scorer = Scorer()
    path = PHOTOS / f"{name}.jpg"
    explanation = explain_photo(scorer, path)
    largest = max(abs(explanation.rests_on.effect), abs(explanation.costs.effect))
    photo = shrunk_to(read_photo(path), scorer.decode_px)
    size = (photo.width * 3 // CELLS, photo.height * 3 // CELLS)
    elsewhere = effects_elsewhere(scorer, photo, size, 20)
    # A region off the grid may matter a little more than the nearest one on it.
    assert (np.abs(elsewhere) <= largest).mean() >= 0.9
    assert np.abs(elsewhere).max() <= 1.5 * largest


@given(st.integers(20, 60), st.integers(1, 8), st.data())
def test_hiding_changes_the_region_alone_and_takes_its_content_from_the_same_rows(
    width, height, data
):
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    left = data.draw(st.integers(0, width - 1))
    right = data.draw(st.integers(left + 1, min(width, left + width // 2)))
    hidden = mirrored(pixels, (left, 0, right, height))
    outside = np.r_[0:left, right:width]
    assert (hidden[:, outside] == pixels[:, outside]).all()
    for row in range(height):
        beside = {tuple(pixel) for pixel in pixels[row, outside]}
        assert {tuple(pixel) for pixel in hidden[row, left:right]} <= beside


def test_hidden_content_mirrors_what_lies_beside_it():
    row = np.arange(10, dtype=np.uint8)[np.newaxis, :, np.newaxis].repeat(3, axis=2)
    assert mirrored(row, (4, 0, 8, 1))[0, :, 0].tolist() == [0, 1, 2, 3, 3, 2, 9, 8, 8, 9]
    assert mirrored(row, (0, 0, 3, 1))[0, :, 0].tolist() == [5, 4, 3, 3, 4, 5, 6, 7, 8, 9]


def test_a_region_that_is_too_wide_is_an_error():
    with pytest.raises(ConfigError, match="half of the photo's width, 5 pixels, got 6"):
        mirrored(np.zeros((4, 10, 3), np.uint8), (0, 0, 6, 4))


def test_regions_cover_every_pixel_of_any_photo():
    covered = np.zeros((37, 23), bool)
    for left, top, right, bottom in window_boxes((23, 37)):
        covered[top:bottom, left:right] = True
    assert covered.all()


def test_a_photo_that_is_too_small_or_missing_is_an_error(tmp_path):
    Image.new("RGB", (9, 30)).save(tmp_path / "small.png")
    scorer = Scorer(Judge(sharpness, 40.0))
    with pytest.raises(PhotoError, match=r"small\.png: 9 x 30 pixels"):
        explain_photo(scorer, tmp_path / "small.png")
    with pytest.raises(PhotoError, match=r"gone\.png: no such file"):
        explain_photo(scorer, tmp_path / "gone.png")


def test_boxes_are_in_pixels_of_the_upright_photo_at_its_full_size(tiny_model, tmp_path):
    photo = Image.new("RGB", (300, 200), "white")
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "lying.jpg", exif=exif)
    explanation = explain_photo(Scorer(tiny_model), tmp_path / "lying.jpg")
    assert explanation.size == (200, 300)
    assert explanation.regions[0].box == (0, 0, 60, 90)
    assert explanation.regions[-1].box == (140, 210, 200, 300)
    assert explanation.to_json()["size"] == [200, 300]
