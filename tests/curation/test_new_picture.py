import pytest
from PIL import Image

from siamese_nima.curation.crops import check_new_picture, save_new_picture
from siamese_nima.errors import ConfigError

PICTURE = Image.new("RGB", (4, 3), "red")


def test_the_photo_is_never_overwritten_by_whatever_name(tmp_path):
    PICTURE.save(tmp_path / "photo.png")
    (tmp_path / "link.png").symlink_to("photo.png")
    (tmp_path / "other.png").hardlink_to(tmp_path / "photo.png")
    for name in ("photo.png", "link.png", "other.png", "../" + tmp_path.name + "/photo.png"):
        with pytest.raises(ConfigError, match="is read, and would be replaced"):
            save_new_picture(PICTURE, tmp_path / name, tmp_path / "photo.png")


def test_an_unknown_ending_is_an_error_before_anything_is_made(tmp_path):
    with pytest.raises(ConfigError, match=r"crop\.gif: a picture ends in \.jpg"):
        check_new_picture(tmp_path / "crop.gif", tmp_path / "photo.png")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_another_photo_is_not_replaced_but_an_earlier_picture_is(name, tmp_path):
    mine, ours = tmp_path / f"mine-{name}", tmp_path / name
    PICTURE.save(mine)
    before = mine.read_bytes()
    with pytest.raises(ConfigError, match=f"mine-{name}: is there already, and may be a photo"):
        save_new_picture(PICTURE, mine, tmp_path / "photo.png")
    assert mine.read_bytes() == before
    for colour in ("red", "blue"):
        save_new_picture(Image.new("RGB", (4, 3), colour), ours, tmp_path / "photo.png")
    with Image.open(ours) as picture:
        assert picture.convert("RGB").getpixel((1, 1))[2] > 200


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png", "a.webp"])
def test_the_ending_decides_the_format(name, tmp_path):
    saved = save_new_picture(PICTURE, tmp_path / name, tmp_path / "photo.png")
    wanted = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
    with Image.open(saved) as picture:
        assert (picture.format, picture.size) == (wanted[saved.suffix.lower()], (4, 3))
    assert list(tmp_path.iterdir()) == [saved]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.*a\.png: cannot be written"):
        save_new_picture(PICTURE, tmp_path / "nowhere" / "a.png", tmp_path / "photo.png")
