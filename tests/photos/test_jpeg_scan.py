import base64
import random

import pytest
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos import read_photo
from siamese_nima.photos.jpeg_scan import damage_in_scans


@pytest.fixture(scope="module")
def noisy(scene):
    """A photo with detail everywhere, so that its coded pixels are long."""
    return Image.blend(
        scene.resize((800, 600)), Image.effect_noise((800, 600), 90).convert("RGB"), 0.4
    )


def overwritten(contents, start, patch):
    return contents[:start] + patch + contents[start + len(patch) :]


VARIANTS = [
    {},
    {"progressive": True},
    {"optimize": True},
    {"subsampling": 0},
    {"restart_marker_blocks": 5},
    {"comment": b"\xff\xda\xff\x01 in a segment"},
]


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_nothing_is_seen_in_sound_files(noisy, encoded, options, mode):
    assert damage_in_scans(encoded(noisy.convert(mode), "JPEG", **options)) is None


@pytest.mark.parametrize("colour", ["white", "black", (128, 128, 128), (200, 40, 90)])
def test_flat_areas_are_not_holes(encoded, colour):
    for options in VARIANTS:
        contents = encoded(Image.new("RGB", (3000, 2000), colour), "JPEG", **options)
        assert damage_in_scans(contents) is None


@pytest.mark.parametrize("options", VARIANTS)
def test_noise_over_the_coded_pixels_is_seen(noisy, encoded, options):
    contents = encoded(noisy, "JPEG", quality=90, **options)
    noise = random.Random(0).randbytes(4096)
    for start in (len(contents) // 4, len(contents) // 2):
        assert "breaks off at byte" in damage_in_scans(overwritten(contents, start, noise))


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"restart_marker_blocks": 5}])
def test_a_hole_is_seen_with_its_place_and_length(noisy, encoded, options):
    contents = encoded(noisy, "JPEG", quality=90, **options)
    start = len(contents) // 2
    damaged = overwritten(contents, start, bytes(4096))
    with pytest.raises(PhotoError) as caught:
        read_photo(damaged, name="card.jpg")
    found = damage_in_scans(damaged)
    assert str(caught.value) == f"card.jpg: {found}."
    length, place = [int(word) for word in found.split() if word.isdigit()]
    assert start - 2 <= place <= start
    assert 4096 <= length <= 4100


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
def test_zeros_to_the_end_are_seen_whatever_they_mean(noisy, encoded, options):
    flat = noisy.copy()
    flat.paste("white", (0, 100, 800, 600))
    for picture in (noisy, flat):
        contents = encoded(picture, "JPEG", **options)
        kept = len(contents) * 2 // 3
        copied = contents[:kept] + bytes(max(4096, len(contents) - kept))
        assert damage_in_scans(copied).startswith("damaged: a hole of ")
    padded = encoded(flat, "JPEG", **options) + bytes(9999)
    assert damage_in_scans(padded) is None


@pytest.mark.parametrize(
    "contents", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda", b"\xff\xd8" + b"\xff" * 9]
)
def test_what_ends_early_is_left_to_the_decoder(contents):
    assert damage_in_scans(contents) is None


# 16 x 16 pixels, red to the right and green downwards, by cjpeg of libjpeg-turbo.
ARITHMETIC_IN_SCANS = base64.b64decode(
    b"/9j/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYVpQ"
    b"YEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09P"
    b"T09PT09PT0//ygARCAAQABADASIAAhEBAxEB/8wABgAQARD/2gAMAwEAAhADEAAAAf7wwCCg/8wABBAF/9oACAEB"
    b"AAEFAh6otu1J/8wABBEF/9oACAEDAQE/ARVr/8wABBEF/9oACAECAQE/AQ//zAAEEAX/2gAIAQEABj8CwP/MAAQQ"
    b"Bf/aAAgBAQABPyHTSVMY/9oADAMBAAIAAwAAABBQ/8wABBEF/9oACAEDAQE/ENUe/8wABBEF/9oACAECAQE/EPD/"
    b"zAAEEAX/2gAIAQEAAT8Q11P+CP/Z"
)


def test_arithmetic_coding_in_several_scans_is_sound():
    assert ARITHMETIC_IN_SCANS.count(b"\xff\xcc") > 2
    assert damage_in_scans(ARITHMETIC_IN_SCANS) is None
    red, green, _ = read_photo(ARITHMETIC_IN_SCANS).getpixel((14, 2))
    assert red > 200
    assert green < 60


@pytest.mark.parametrize(
    ("marker", "depth", "kind"),
    [(0xC1, 12, "12 bits a channel"), (0xF7, 8, "JPEG-LS")],
)
def test_kinds_of_jpeg_that_nobody_here_reads_are_named(noisy, encoded, marker, depth, kind):
    contents = encoded(noisy, "JPEG", comment=b"\xff\xc0 in a segment")
    at = contents.index(b"\xff\xc0\0\x11\x08")
    changed = contents[:at] + bytes([0xFF, marker, 0, 17, depth]) + contents[at + 5 :]
    with pytest.raises(PhotoError, match=rf"^a\.jpg: JPEG .*{kind}.* is not supported"):
        read_photo(changed, name="a.jpg")
