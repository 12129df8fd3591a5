"""When a photo was taken, as cameras write it."""

import pytest
from PIL import Image

from siamese_nima.photos.capture import Capture, read_capture

MAKE, MODEL, ORIGINAL, SUBSEC, OFFSET, SERIAL = 0x10F, 0x110, 0x9003, 0x9291, 0x9011, 0xA431
EXIF_IFD, DATE_CHANGED = 0x8769, 0x132


def photo(path, exposure=(), camera=()):
    exif = Image.Exif()
    exif.update(camera)
    exif.get_ifd(EXIF_IFD).update(exposure)
    Image.new("RGB", (16, 16)).save(path, exif=exif)
    return path


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
def test_time_fraction_zone_and_camera_are_read_from_all_formats(tmp_path, ending):
    tags = {ORIGINAL: "1970:01:02 00:00:10", SUBSEC: "25", OFFSET: "+01:30", SERIAL: "77"}
    path = photo(tmp_path / f"a{ending}", tags, {MAKE: "Canon\0\0", MODEL: " EOS "})
    assert read_capture(path) == Capture(86400 + 10.25 - 5400, True, "Canon EOS", "77")


def test_a_time_alone_is_local_and_of_an_unknown_camera(tmp_path):
    path = photo(tmp_path / "a.jpg", {ORIGINAL: "1970:01:01 00:01:00", SUBSEC: " ", OFFSET: "?"})
    assert read_capture(path) == Capture(60.0)


@pytest.mark.parametrize(
    "exposure",
    [{}, {ORIGINAL: "0000:00:00 00:00:00"}, {ORIGINAL: "    :  :     :  :  "}, {ORIGINAL: "today"}],
)
def test_a_photo_without_a_time_has_none(tmp_path, exposure):
    path = photo(tmp_path / "a.jpg", exposure, {DATE_CHANGED: "2020:01:01 00:00:00"})
    assert read_capture(path) is None


def test_what_is_no_photo_has_no_time(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe1 broken")
    assert read_capture(tmp_path / "a.jpg") is None
    assert read_capture(tmp_path / "missing.jpg") is None
    assert read_capture(tmp_path) is None
