import numpy as np
import pytest
from PIL import Image

from judges import Judge, sharpness
from siamese_nima import Scorer
from siamese_nima.curation.crops import (
    CropRule,
    crop_boxes,
    parse_ratio,
    suggest_crops,
    write_crop,
)
from siamese_nima.errors import ConfigError


def brightness(grey):
    return grey


def test_the_crop_around_the_best_part_comes_first(tmp_path):
    pixels = np.full((200, 300, 3), 40, np.uint8)
    pixels[:, 200:] = 250
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    found = suggest_crops(Scorer(Judge(brightness, 255.0)), tmp_path / "photo.png")
    best = found.crops[0]
    assert best.box[2] == 300
    assert best.ratio == "1:1"
    left, top, right, bottom = best.box
    wanted = 1 + 9 * pixels[top:bottom, left:right].mean() / 255
    assert best.score == pytest.approx(wanted, abs=1e-3)
    assert found.score == pytest.approx(1 + 9 * pixels.mean() / 255, abs=1e-3)
    assert [crop.score for crop in found.crops] == sorted(
        (crop.score for crop in found.crops), reverse=True
    )


def test_suggestions_differ_from_one_another(tmp_path):
    Image.effect_noise((120, 90), 60).convert("RGB").save(tmp_path / "photo.png")
    found = suggest_crops(Scorer(Judge(sharpness, 40.0)), tmp_path / "photo.png")
    assert len(found.crops) < found.tried
    areas = [set(_pixels(crop.box)) for crop in found.crops[:4]]
    for number, first in enumerate(areas):
        for second in areas[number + 1 :]:
            assert len(first & second) <= 0.7 * len(first | second)


def _pixels(box):
    left, top, right, bottom = box
    return [(x, y) for x in range(left, right) for y in range(top, bottom)]


def test_boxes_have_the_shape_asked_for_and_stay_inside():
    for size in ((640, 480), (480, 640), (100, 1000)):
        boxes = crop_boxes(size, CropRule(ratios=("3:2", "1:1")))
        assert boxes
        for (left, top, right, bottom), ratio in boxes:
            assert 0 <= left < right <= size[0]
            assert 0 <= top < bottom <= size[1]
            width, height = right - left, bottom - top
            shape = {"3:2": 3 / 2, "1:1": 1.0}[ratio]
            # Turned as the photo is, to a pixel.
            assert max(width, height) == pytest.approx(min(width, height) * shape, abs=1.5)
            assert (width >= height) == (size[0] >= size[1]) or ratio == "1:1"


def test_the_whole_photo_is_not_a_crop_and_none_comes_twice():
    boxes = [box for box, _ in crop_boxes((600, 400), CropRule(ratios=("own", "3:2")))]
    assert (0, 0, 600, 400) not in boxes
    assert len(boxes) == len(set(boxes)) == 2 * 9


def test_a_rule_that_means_nothing_is_an_error():
    with pytest.raises(ConfigError, match="ratio '3x2': wanted two whole numbers such as 3:2"):
        CropRule(ratios=("3x2",))
    with pytest.raises(ConfigError, match=r"got 1\.5"):
        CropRule(smallest=1.5)
    assert parse_ratio("own") is None


def test_a_crop_is_cut_from_the_upright_photo_at_full_size(tmp_path):
    photo = Image.new("RGB", (60, 40), "red")
    photo.paste("blue", (0, 0, 20, 40))  # upright: the top
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "photo.png", exif=exif)
    before = (tmp_path / "photo.png").read_bytes()
    write_crop(tmp_path / "photo.png", (10, 0, 40, 20), tmp_path / "crop.png")
    with Image.open(tmp_path / "crop.png") as crop:
        assert (crop.size, crop.getpixel((0, 0))) == ((30, 20), (0, 0, 255))
        assert dict(crop.getexif()) == {305: "siamese-nima"}
    assert (tmp_path / "photo.png").read_bytes() == before
