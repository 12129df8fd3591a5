"""Faces and their eyes, on the portrait that the repository has, as it is and painted over."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from siamese_nima.curation.bursts import Burst, with_detail
from siamese_nima.curation.reasons import flaws, reason_against
from siamese_nima.photos.read import open_photo, read_photo
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.detail import Detail, read_detail
from siamese_nima.scoring.faces import Face, find_faces
from siamese_nima.scoring.fine_order import FineOrder
from siamese_nima.scoring.results import ScoredPhoto

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
ORDER = FineOrder(model="quality", version="3", score=1, blur=1, noise=1, compression=1, pairs=100)


@pytest.fixture(scope="module")
def portrait():
    """Twice as large as it is, so that its eyes are large enough to be told when it is shrunk."""
    return read_photo(PHOTOS / "astronaut.jpg").resize((1024, 1024))


def painted(portrait, shape):
    """Over each eye: "lids" of skin with a line of lashes, or dark "glasses"."""
    copy = portrait.copy()
    pen = ImageDraw.Draw(copy)
    (face,) = find_faces(portrait)
    for x, y in face.eye_places:
        x, y = x * portrait.width, y * portrait.height
        if shape == "glasses":
            pen.ellipse((x - 42, y - 26, x + 42, y + 30), fill=(12, 12, 14))
        else:
            skin = copy.getpixel((round(x), round(y + 26)))
            pen.ellipse((x - 26, y - 13, x + 26, y + 12), fill=skin)
            pen.arc((x - 22, y - 8, x + 22, y + 9), 10, 170, fill=(70, 40, 35), width=4)
    return copy


def test_a_portrait_has_one_face_with_open_eyes(portrait):
    (face,) = find_faces(portrait)
    left, top, width, height = face.box
    assert 0.3 < left + width / 2 < 0.55
    assert 0.15 < top + height / 2 < 0.35
    assert face.eyes == "open"


def test_lids_are_closed_and_dark_glasses_cannot_be_told(portrait):
    assert [face.eyes for face in find_faces(painted(portrait, "lids"))] == ["closed"]
    assert [face.eyes for face in find_faces(painted(portrait, "glasses"))] == ["unclear"]


@pytest.mark.parametrize("turned", [0, 12, -12])
@pytest.mark.parametrize("mirrored", [False, True])
def test_mirrored_and_tilted_eyes_are_told_alike(portrait, turned, mirrored):
    seen = portrait.rotate(turned, Image.Resampling.BICUBIC)
    if mirrored:
        seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert [face.eyes for face in find_faces(seen)] == ["open"]


def test_a_small_face_in_a_large_photo_is_found_where_it_is(portrait):
    wide = Image.new("RGB", (3000, 2000), (90, 110, 130))
    wide.paste(portrait.crop((250, 50, 650, 450)), (2300, 1400))
    (face,) = find_faces(wide)
    x, y = np.mean(face.eye_places, axis=0)
    assert abs(x * 3000 - 2480) < 30
    assert abs(y * 2000 - 1560) < 60


@pytest.mark.parametrize("name", ["chelsea.jpg", "coffee.jpg", "rocket.jpg"])
def test_a_cat_a_cup_and_a_rocket_have_no_closed_eyes(name):
    assert all(face.eyes == "unclear" for face in find_faces(open_photo(PHOTOS / name)))


def test_a_face_from_the_side_cannot_be_told():
    assert [face.eyes for face in find_faces(open_photo(PHOTOS / "camera.jpg"))] == ["unclear"]


def test_detail_has_the_blur_of_the_eyes(portrait):
    sharp = read_detail(PHOTOS / "astronaut.jpg", faces=True)
    assert sharp.main_face is not None
    assert sharp.main_face.blur is not None
    assert sharp.main_face.blur < 1
    assert read_detail(PHOTOS / "astronaut.jpg").faces == ()


def detail(*eyes, blur=0.8):
    faces = tuple(
        Face((0.1 + 0.2 * k, 0.1, 0.1, 0.1), told, (0.2, 0.2), ((0.1, 0.1), (0.2, 0.1)), blur)
        for k, told in enumerate(eyes)
    )
    return Detail(0.8, 1.0, 0.0, 1.0, 0.1, 0.2, (4000, 3000), (), faces)


@pytest.mark.parametrize(
    ("eyes", "words"),
    [
        (("closed",), "eyes closed"),
        (("closed", "open"), "eyes closed (left face)"),
        (("open", "closed"), "eyes closed (right face)"),
        (("open", "closed", "open"), "eyes closed (middle face)"),
        (("open", "closed", "open", "open"), "eyes closed (face 2 from the left)"),
        (("closed", "closed"), "eyes closed (all 2 faces)"),
        (("closed", "closed", "open"), "eyes closed (2 of 3 faces)"),
    ],
)
def test_closed_eyes_in_words(eyes, words):
    assert [flaw.words for flaw in flaws(detail(*eyes))] == [words]
    assert reason_against(detail(*eyes), detail(*["open"] * len(eyes))) == words


def test_eyes_that_cannot_be_told_are_no_reason():
    assert reason_against(detail("unclear"), detail("open")) == "no clear difference"
    assert flaws(detail("unclear")) == ()
    assert reason_against(detail("closed"), detail("closed")) == "no clear difference"


def test_a_softer_face_is_a_reason():
    said = reason_against(detail("open", blur=2.4), detail("open", blur=0.9))
    assert said == "face softer: 2.4 px of blur against 0.9"


def burst(*scores):
    photos = tuple(
        ScoredPhoto(path=f"{k}.jpg", model="quality", scale=AVA_SCALE, score=score)
        for k, score in enumerate(scores)
    )
    return Burst(photos)


def test_open_eyes_decide_between_photos_too_close_to_call():
    found = with_detail(burst(7.1, 7.0), [detail("closed"), detail("open")], ORDER)
    assert found.paths == ("1.jpg", "0.jpg")
    assert found.reason(1) == "eyes closed"
    assert found.too_close
    assert 0.5 <= (found.over_next or 0) < 0.8


def test_open_eyes_decide_nothing_where_the_order_is_sure():
    found = with_detail(burst(9.0, 5.0), [detail("closed"), detail("open")], ORDER)
    assert found.paths == ("0.jpg", "1.jpg")
    assert found.too_close is False


def test_without_faces_the_order_is_that_of_the_values():
    bare = [replace(detail("closed"), faces=()), replace(detail("open"), faces=())]
    assert with_detail(burst(7.1, 7.0), bare, ORDER).paths == ("0.jpg", "1.jpg")
