import io

import numpy as np
import pytest
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo

pillow_heif = pytest.importorskip("pillow_heif")
pillow_heif.register_heif_opener()

STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
def test_heic_comes_out_upright(scene, encoded, difference, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = STORED[orientation]
    stored = scene if turn is None else scene.transpose(turn)
    photo = read_photo(encoded(stored, "HEIF", quality=95, exif=exif.tobytes()))
    assert photo.size == scene.size
    assert difference(photo, scene) < 2.5


def test_ten_bits_alpha_and_a_profile_are_read(scene, encoded, difference):
    wide = np.asarray(scene, dtype=np.uint16) * 257
    ten_bits = pillow_heif.from_bytes("RGB;16", scene.size, wide.tobytes())
    file = io.BytesIO()
    ten_bits.save(file, quality=95)
    assert difference(read_photo(file.getvalue()), scene) < 2.5
    clear = scene.copy()
    clear.putalpha(0)
    photo = read_photo(encoded(clear, "HEIF", quality=-1))
    assert photo.getextrema() == ((255, 255),) * 3


def test_the_primary_picture_is_the_photo(scene, difference):
    other = scene.transpose(Image.Transpose.ROTATE_180)
    file = io.BytesIO()
    heif = pillow_heif.HeifFile()
    heif.add_from_pillow(other)
    heif.add_from_pillow(scene)
    heif.save(file, primary_index=1, quality=95)
    assert difference(read_photo(file.getvalue()), scene) < 2.5


def test_large_heic_is_shrunk_like_other_formats(scene, encoded, difference):
    contents = encoded(scene.resize((960, 640)), "HEIF", quality=95)
    reduced = read_photo(contents, min_short_side_px=80)
    assert reduced.size == (120, 80)
    assert difference(reduced, scene) < 2.5


def test_the_pixel_limit_counts_before_decoding(scene, encoded):
    with pytest.raises(PhotoError, match="120 x 80 = 9600 pixels, more than the limit of 9599"):
        read_photo(encoded(scene, "HEIF"), max_pixels=9599)


def test_cut_off_or_overwritten_heic_is_an_error_or_a_photo(scene, encoded):
    contents = encoded(scene, "HEIF", quality=95)
    for length in [*range(1, len(contents), 97), len(contents) - 1]:
        with pytest.raises(PhotoError, match=r"^cut\.heic: "):
            read_photo(contents[:length], name="cut.heic")
    for start in range(0, len(contents) - 16, 61):
        damaged = contents[:start] + b"\xa5" * 16 + contents[start + 16 :]
        try:
            assert read_photo(damaged, name="x.heic", max_pixels=10**6).mode == "RGB"
        except PhotoError as error:
            assert str(error).startswith("x.heic: ")  # noqa: PT017
