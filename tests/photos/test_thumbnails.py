import io

import pytest
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos.thumbnails import shrunk, thumbnail


def test_a_thumbnail_is_small_and_upright(tmp_path):
    photo = Image.new("RGB", (1200, 600), "red")
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "lying.jpg", exif=exif)
    small = Image.open(io.BytesIO(thumbnail(tmp_path / "lying.jpg")))
    assert (small.format, small.size) == ("WEBP", (120, 240))


def test_a_small_photo_is_not_enlarged(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "tiny.png")
    assert Image.open(io.BytesIO(thumbnail(tmp_path / "tiny.png"))).size == (20, 10)


def test_a_photo_in_memory_is_left_as_it_is():
    photo = Image.new("RGB", (600, 300))
    assert Image.open(io.BytesIO(shrunk(photo))).size == (240, 120)
    assert photo.size == (600, 300)


def test_a_photo_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(PhotoError, match=r"gone\.jpg: no such file"):
        thumbnail(tmp_path / "gone.jpg")
