"""JPEG XL, decoded by libjxl (pylibjxl), with what that leaves unsaid: which colours it gives."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace

from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos import boxes, colour
from siamese_nima.photos.loading import check_size

_CODESTREAM = b"\xff\x0a"
_GREY, _XYB = 1, 2
_CUSTOM = 2
_D65 = (0.3127, 0.3290)
_WHITES = {1: _D65, 10: (1 / 3, 1 / 3), 11: (0.314, 0.351)}
_PRIMARIES = {1: 1, 9: 9, 11: 12}  # by their number in ITU-T H.273
_SRGB_CURVE, _LINEAR = 13, 8
_ALPHA, _SPOT, _CFA = 0, 2, 5
# U32 of ISO/IEC 18181-1: for each of its four cases the number of bits and what is added to them.
_SIZE = ((9, 1), (13, 1), (18, 1), (30, 1))
_ENUM = ((0, 0), (0, 1), (4, 2), (6, 18))
_FLOAT_BITS = ((0, 32), (0, 16), (0, 24), (6, 1))
_INTEGER_BITS = ((0, 8), (0, 10), (0, 12), (6, 1))
_PREVIEW = ((6, 1), (8, 65), (10, 321), (12, 1345))
_PREVIEW_EIGHTHS = ((0, 16), (0, 32), (5, 1), (9, 33))
_COORDINATE = ((19, 0), (19, 524288), (20, 1048576), (21, 2097152))


@dataclass(frozen=True, slots=True)
class Head:
    """What the numbers of the pixels that libjxl gives mean.

    Attributes:
        by_profile: The file's ICC profile says it.
        primaries: Chromaticities of red, green, blue and white where it does not.
        transfer: Curve by ITU-T H.273.
        gamma: Exponent that encoded light, instead of a curve.
        premultiplied: Whether colours were multiplied by their opacity.
    """

    by_profile: bool = False
    primaries: colour.Primaries = colour.SRGB_PRIMARIES
    transfer: int = _SRGB_CURVE
    gamma: float | None = None
    premultiplied: bool = False

    def profile(self, embedded: bytes) -> bytes | None:
        """An ICC profile of these colours; None for sRGB."""
        if self.by_profile:
            return embedded or None
        return colour.described_profile(self.primaries, self.transfer, self.gamma)


def read_jpeg_xl(contents: bytes, label: str, max_pixels: int) -> Image.Image:
    """The first picture, upright, with its ICC profile.

    libjxl turns it as the picture itself says; what EXIF says of that does not count
    (ISO/IEC 18181-2, annex A).

    Raises:
        PhotoError: pylibjxl is not installed, or the picture is too large or in CMYK.
        Exception: Whatever pylibjxl raises on a damaged file.
    """
    try:
        codec = importlib.import_module("pylibjxl")
    except ImportError as error:
        raise PhotoError(
            f"{label}: JPEG XL needs an optional part: pip install 'siamese-nima[jxl]'"
        ) from error
    announced = codec.probe(contents)
    check_size(announced["width"], announced["height"], label, max_pixels)
    pixels, metadata = codec.decode(contents, metadata=True)
    if announced.get("have_animation"):  # of which that was the last frame
        pixels = codec.decode(contents)
    embedded = metadata.get("icc_profile", b"")
    if embedded[16:20] == b"CMYK":
        raise PhotoError(f"{label}: JPEG XL in CMYK is not supported. Save it as JPEG or TIFF.")
    head = head_of(contents)
    if head.premultiplied and pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = colour.straight(pixels)
    image = Image.fromarray(pixels)
    profile = head.profile(embedded)
    image.info = {"icc_profile": profile} if profile else {}
    return image


def head_of(contents: bytes) -> Head:
    """What the head of a JPEG XL file says; its profile counts where that cannot be followed.

    A picture that is coded in libjxl's own colours and has an ICC profile is given as linear sRGB,
    which the profile does not describe; of colours that are named by numbers none is given.

    Source: ISO/IEC 18181-1, annex D.
    """
    try:
        return _read_head(_Bits(_codestream(contents)))
    except (IndexError, ValueError):
        return Head(by_profile=True)


def _codestream(contents: bytes) -> bytes:
    """As much of the coded picture as holds its head."""
    if contents.startswith(_CODESTREAM):
        return contents[:4096]
    for kind, content in boxes.boxes(contents):
        if kind in (b"jxlc", b"jxlp"):
            return content[4 if kind == b"jxlp" else 0 :][:4096]
    raise ValueError("no codestream")


class _Bits:
    """Numbers of a bit stream, least significant bit first."""

    def __init__(self, contents: bytes) -> None:
        self._number = int.from_bytes(contents, "little")
        self._left = 8 * len(contents)

    def take(self, count: int) -> int:
        """An unsigned number of `count` bits."""
        self._left -= count
        if self._left < 0:
            raise IndexError("the head of the file ends early")
        value = self._number & ((1 << count) - 1)
        self._number >>= count
        return value

    def flag(self) -> bool:
        """One bit."""
        return bool(self.take(1))

    def choice(self, cases: tuple[tuple[int, int], ...]) -> int:
        """A number in one of four lengths."""
        bits, offset = cases[self.take(2)]
        return self.take(bits) + offset

    def point(self) -> tuple[float, float]:
        """A chromaticity."""
        x, y = (self.choice(_COORDINATE) for _ in range(2))
        return _signed(x) / 1e6, _signed(y) / 1e6


def _signed(number: int) -> int:
    return -(number + 1) // 2 if number & 1 else number // 2


def _skip_size(bits: _Bits) -> None:
    small = bits.flag()
    for axis in range(2):
        if axis and bits.take(3):  # a usual ratio of the sides
            return
        bits.take(5) if small else bits.choice(_SIZE)


def _skip_preview(bits: _Bits) -> None:
    eighths = bits.flag()
    cases = _PREVIEW_EIGHTHS if eighths else _PREVIEW
    bits.choice(cases)
    if not bits.take(3):
        bits.choice(cases)


def _skip_animation(bits: _Bits) -> None:
    bits.choice(((0, 100), (0, 1000), (10, 1), (30, 1)))
    bits.choice(((0, 1), (0, 1001), (8, 1), (10, 1)))
    bits.choice(((0, 0), (3, 0), (16, 0), (32, 0)))
    bits.flag()


def _skip_depth(bits: _Bits) -> None:
    if bits.flag():
        bits.choice(_FLOAT_BITS)
        bits.take(4)
    else:
        bits.choice(_INTEGER_BITS)


def _is_premultiplied(bits: _Bits) -> bool:
    """Read what is said of one extra channel."""
    if bits.flag():
        return False
    kind = bits.choice(_ENUM)
    _skip_depth(bits)
    bits.choice(((0, 0), (0, 3), (0, 4), (3, 1)))
    bits.take(8 * bits.choice(((0, 0), (4, 0), (5, 16), (10, 48))))
    if kind == _SPOT:
        bits.take(4 * 16)
    if kind == _CFA:
        bits.choice(((0, 1), (2, 0), (4, 3), (8, 19)))
    return kind == _ALPHA and bits.flag()


def _read_head(bits: _Bits) -> Head:
    bits.take(16)
    _skip_size(bits)
    if bits.flag():
        return Head()
    if bits.flag():
        bits.take(3)
        for skip in (_skip_size, _skip_preview, _skip_animation):
            if bits.flag():
                skip(bits)
    _skip_depth(bits)
    bits.flag()
    extra = bits.choice(((0, 0), (0, 1), (4, 2), (12, 1)))
    premultiplied = sum(_is_premultiplied(bits) for _ in range(extra)) > 0
    head = Head(premultiplied=premultiplied)
    own_colours = bits.flag()
    if bits.flag():
        return head
    by_profile, space = bits.flag(), bits.choice(_ENUM)
    if by_profile:
        return replace(head, transfer=_LINEAR) if own_colours else replace(head, by_profile=True)
    return head if space == _XYB else _with_named_colours(head, bits, grey=space == _GREY)


def _with_named_colours(head: Head, bits: _Bits, *, grey: bool) -> Head:
    number = bits.choice(_ENUM)
    white = bits.point() if number == _CUSTOM else _WHITES.get(number, _D65)
    corners = colour.SRGB_PRIMARIES[:3]
    if not grey:
        number = bits.choice(_ENUM)
        if number == _CUSTOM:
            corners = tuple(bits.point() for _ in range(3))
        else:
            corners = colour.primaries_of(_PRIMARIES.get(number, 1))[:3]
    gamma = bits.take(24) / 1e7 if bits.flag() else None
    transfer = _SRGB_CURVE if gamma is not None else bits.choice(_ENUM)
    return replace(head, primaries=(*corners, white), transfer=transfer, gamma=gamma)
