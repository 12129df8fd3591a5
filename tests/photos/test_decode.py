import io
import sys
import warnings
import zlib

import pytest
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo
from siamese_nima.photos.decode import decode


def png_that_claims(width, height):
    """A PNG whose header announces a size, with next to no data."""

    def chunk(kind, body):
        checked = kind + body
        return len(body).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def test_a_photo_over_the_pixel_limit_is_refused_before_it_is_decoded():
    with pytest.raises(PhotoError) as caught:
        read_photo(png_that_claims(60_000, 50_000), name="bomb.png")
    assert str(caught.value) == (
        "bomb.png: 60000 x 50000 = 3000000000 pixels, more than the limit of 300000000."
        " If you trust the file, raise max_pixels."
    )


def test_the_pixel_limit_is_exact(scene, encoded):
    contents = encoded(scene, "PNG")
    assert read_photo(contents, max_pixels=120 * 80).size == (120, 80)
    with pytest.raises(PhotoError, match="120 x 80 = 9600 pixels, more than the limit of 9599"):
        read_photo(contents, max_pixels=120 * 80 - 1)
    with pytest.raises(PhotoError, match="9600 pixels, more than the limit of 9599"):
        read_photo(scene, max_pixels=120 * 80 - 1)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_only_the_limit_given_counts_not_the_one_of_the_process(
    scene, encoded, monkeypatch, image_format
):
    contents = encoded(scene, image_format)
    limit = 5000 if image_format == "WEBP" else 10  # Pillow's WebP reader checks twice the limit
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert read_photo(contents).size == (120, 80)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_large_tiff_is_read_without_a_warning(scene, encoded, monkeypatch):
    contents = encoded(scene, "TIFF")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    assert read_photo(contents).size == (120, 80)


def test_the_first_frame_of_an_animation_is_read(scene, encoded, difference):
    other = scene.transpose(Image.Transpose.ROTATE_180)
    for image_format, options in [
        ("GIF", {}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("MPO", {"quality": 95}),
    ]:
        contents = encoded(scene, image_format, save_all=True, append_images=[other], **options)
        with Image.open(io.BytesIO(contents)) as image:
            assert getattr(image, "n_frames", 1) == 2
        photo = read_photo(contents)
        assert difference(photo, scene) < 8  # GIF has 256 colours
        assert difference(photo, scene) < difference(photo, other) / 4


def test_reduced_decoding_works_for_multi_picture_jpeg(scene, encoded):
    large = scene.resize((1200, 800))
    contents = encoded(large, "MPO", save_all=True, append_images=[large])
    assert read_photo(contents, min_short_side_px=100).size == (150, 100)


def test_the_stream_stays_open(scene, encoded):
    stream = io.BytesIO(encoded(scene, "JPEG"))
    decode(stream, "x", min_short_side_px=None, max_pixels=10**6)
    assert not stream.closed


def heif_header(brand):
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(64)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"mif2"])
def test_heic_names_the_package_that_reads_it(brand, monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(PhotoError) as caught:
        read_photo(heif_header(brand), name="IMG_1.jpg")
    assert str(caught.value) == ("IMG_1.jpg: HEIC/HEIF needs an optional part: pip install pi-heif")


@pytest.mark.parametrize(("tag", "value"), [(254, 1), (50706, b"\x01\x04\0\0")])
def test_a_tiff_that_announces_camera_raw_is_taken_for_it(scene, encoded, monkeypatch, tag, value):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    contents = encoded(scene, "TIFF", tiffinfo={tag: value})
    with pytest.raises(PhotoError, match=r"^photo\.tif: camera raw"):
        read_photo(contents, name="photo.tif")


def test_the_mute_is_lifted_after_an_error():
    before = list(warnings.filters)
    with pytest.raises(PhotoError):
        read_photo(b"nothing")
    assert list(warnings.filters) == before


@pytest.mark.parametrize(
    ("contents", "kind"), [(b"%PDF-1.7 and more", "PDF"), (b"%!PS-Adobe-3.0", "PostScript")]
)
def test_documents_are_refused_by_their_name(contents, kind):
    with pytest.raises(PhotoError) as caught:
        read_photo(contents, name="scan.jpg")
    assert str(caught.value) == (
        f"scan.jpg: a {kind} document, not a photo. Export its pictures as JPEG or PNG."
    )
