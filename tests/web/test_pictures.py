import io
import threading
from pathlib import Path

import pytest
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.web import pictures
from siamese_nima.web.pictures import FACE_PX, ScreenPictures, face_pictures, screen_picture


@pytest.fixture
def photos(tmp_path):
    for number in range(4):
        Image.effect_noise((900, 600), 80).save(tmp_path / f"{number}.png")
    return [tmp_path / f"{number}.png" for number in range(4)]


@pytest.fixture
def made(monkeypatch):
    made = []

    def counted(path, side_px):
        made.append((path.name, side_px))
        return screen_picture(path, side_px)

    monkeypatch.setattr(pictures, "screen_picture", counted)
    return made


@pytest.fixture
def kept():
    kept = ScreenPictures(kept_bytes=400_000)
    yield kept
    kept.close()


def test_a_picture_is_made_once_for_all_who_ask(photos, made, kept):
    threads = [threading.Thread(target=kept.get, args=[photos[0], 640]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [("0.png", 640)]
    assert kept.get(photos[0], 640).startswith(b"\xff\xd8")


def test_the_pictures_asked_for_longest_ago_are_forgotten(photos, made, kept):
    size = len(kept.get(photos[0], 640))
    assert 140_000 < size < 199_000
    kept.get(photos[1], 640)
    kept.get(photos[0], 640)
    kept.get(photos[2], 640)
    kept.get(photos[0], 640)
    assert len(made) == 3
    kept.get(photos[1], 640)
    assert len(made) == 4


def test_a_photo_that_could_not_be_read_is_tried_again(photos, kept):
    content = photos[0].read_bytes()
    photos[0].write_bytes(b"")
    with pytest.raises(PhotoError, match=r"0\.png"):
        kept.get(photos[0], 640)
    photos[0].write_bytes(content)
    assert kept.get(photos[0], 640)


def test_faces_are_cut_out_and_large_enough_to_see_their_eyes():
    path = Path(__file__).parents[2] / "examples/photos/astronaut.jpg"
    with path.open("rb") as file:
        [(eyes, picture)] = face_pictures(file)
    assert eyes in ("open", "unclear")
    assert max(Image.open(io.BytesIO(picture)).size) == FACE_PX
    with (path.parent / "coffee.jpg").open("rb") as file:
        assert face_pictures(file) == []
