"""JPEG XL: which colours libjxl gives, and how they lie."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from icc_profiles import ADOBE_RGB
from siamese_nima.photos import read_photo
from siamese_nima.photos.colour import coded_profile
from siamese_nima.photos.jpeg_xl import head_of

SRGB, LINEAR, PQ = 13, 8, 16


def bits(*numbers):
    """The start of a codestream, 8 x 8 pixels: (value, count of bits), least significant first."""
    digits = [value >> place & 1 for value, count in numbers for place in range(count)]
    digits = [1, *[0] * 5, 1, 0, 0, *digits]
    packed = np.packbits(np.array(digits, np.uint8), bitorder="little").tobytes()
    return b"\xff\x0a" + packed + bytes(40)


def head(*, opacity=None, own_colours=False, colours=((1, 1),), orientation=None):
    """Not the usual head: depth of 8 bits, at most one extra channel."""
    more = [(1, 1), (orientation - 1, 3), (0, 3)] if orientation else [(0, 1)]
    channels = [(0, 2)]
    if opacity is not None:
        channels = [(1, 2), (0, 1), (0, 2), (0, 3), (0, 2), (0, 2), (opacity, 1)]
    return bits((0, 1), *more, (0, 3), (1, 1), *channels, (own_colours, 1), *colours)


def enumerated(number):
    return [(number, 2)] if number < 2 else [(2, 2), (number - 2, 4)]


def named(*, space=0, white=1, primaries=1, transfer=SRGB, gamma=None):
    curve = [(1, 1), (gamma, 24)] if gamma else [(0, 1), *enumerated(transfer)]
    return [(0, 1), (0, 1), *enumerated(space), *enumerated(white), *enumerated(primaries), *curve]


@pytest.mark.parametrize("orientation", [None, 6])
def test_what_the_head_says_of_colours(orientation):
    at = {"orientation": orientation}
    assert head_of(bits((1, 1))).profile(b"") is None
    assert head_of(head(**at)).profile(b"profile") is None
    profile = ((0, 1), (1, 1), (0, 2))
    assert head_of(head(colours=profile, **at)).profile(b"profile") == b"profile"
    linear = head_of(head(colours=profile, own_colours=True, **at))
    assert linear.profile(b"profile") == coded_profile(1, LINEAR)
    assert head_of(head(colours=named(), **at)).profile(b"profile") is None
    bt2100 = head_of(head(colours=named(primaries=9, transfer=PQ), **at))
    assert bt2100.profile(b"") == coded_profile(9, PQ)
    p3 = head_of(head(colours=named(primaries=11), **at))
    assert p3.profile(b"") == coded_profile(12, SRGB)
    assert head_of(head(colours=named(gamma=4_545_500), **at)).gamma == pytest.approx(0.45455)


@pytest.mark.parametrize("cut", [2, 3, 4])
def test_a_head_that_ends_early_leaves_the_profile(cut):
    assert head_of(head(colours=named())[:cut]).by_profile
    assert head_of(b"\0\0\0\x0cJXL \r\n\x87\n").by_profile


def test_linear_light_and_premultiplied_opacity(monkeypatch, encoded, scene, difference):
    straight = scene.resize((8, 8)).copy()
    light = (np.asarray(straight) / 255) ** 2.2
    straight.putalpha(200)
    pixels = np.full((8, 8, 4), 200, np.uint8)
    pixels[..., :3] = (light * 200).round()
    codec = SimpleNamespace(
        probe=lambda _: {"width": 8, "height": 8},
        decode=lambda *_, **__: (pixels.copy(), {"icc_profile": ADOBE_RGB}),
    )
    monkeypatch.setitem(sys.modules, "pylibjxl", codec)
    contents = head(opacity=1, own_colours=True, colours=((0, 1), (1, 1), (0, 2)))
    assert head_of(contents).premultiplied
    assert not head_of(head(opacity=0)).premultiplied
    assert difference(read_photo(contents), read_photo(encoded(straight, "PNG"))) < 2


def test_the_first_frame_of_an_animation_is_taken(monkeypatch):
    first, last = np.full((8, 8, 3), 10, np.uint8), np.full((8, 8, 3), 200, np.uint8)
    codec = SimpleNamespace(
        probe=lambda _: {"width": 8, "height": 8, "have_animation": True},
        decode=lambda _, metadata=False: (last, {}) if metadata else first,
    )
    monkeypatch.setitem(sys.modules, "pylibjxl", codec)
    assert np.asarray(read_photo(bits((1, 1)))).max() == 10


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_jpeg_made_jpeg_xl_lies_as_the_jpeg_does(scene, encoded, difference, orientation):
    pylibjxl = pytest.importorskip("pylibjxl")
    exif = Image.Exif()
    exif[274] = orientation
    jpeg = encoded(scene, "JPEG", quality=95, exif=exif)
    photo = read_photo(pylibjxl.jpeg_to_jxl(jpeg))
    assert difference(photo, read_photo(jpeg)) < 2
