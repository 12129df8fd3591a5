"""Pixels of any Pillow mode as 8-bit sRGB on white."""

import struct
from functools import lru_cache
from io import BytesIO
from pathlib import PurePath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms

from siamese_nima.errors import PhotoError

Primaries: TypeAlias = tuple[tuple[float, float], ...]

# Chromaticities of red, green, blue and white, by their number in ITU-T H.273.
_D65 = (0.3127, 0.3290)
SRGB_PRIMARIES: Primaries = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_PRIMARIES = {
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),  # NTSC 1953
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),  # PAL
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),  # NTSC
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),  # BT.2020
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),  # DCI-P3
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),  # Display P3
}
_ADOBE_PRIMARIES = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)
_ADOBE_GAMMA = 2.19921875
_OTHER_CURVES = {
    4,
    5,
    8,
    16,
    17,
    18,
}  # than those of screens: gamma 2.2 and 2.8, light, PQ, DCI, HLG
_REFERENCE_WHITE_NITS = 203  # ITU-R BT.2408: where a photo's white stands in PQ, and 75 % in HLG
_HLG_PEAK_NITS, _HLG_SYSTEM_GAMMA = 1000, 1.2
_CURVE_POINTS = 4096
_SRGB_SPACE, _ADOBE_SPACE, _UNCALIBRATED = 1, 2, 65535  # values of EXIF ColorSpace
_NEARLY = 25
_LEAST_VOLUME = 1e5  # of 255 ** 3, by the colours that a profile's primaries span
_SCREEN_GAMMA_NEARLY, _PRIMARIES_NEARLY, _LEAST_TRIANGLE = 0.02, 0.01, 0.01
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D50_XYZ = np.array([0.96422, 1.0, 0.82521])

_SRGB = ImageCms.createProfile("sRGB")
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC = 258, 262
_WHITE_IS_ZERO = 0


def to_srgb(image: Image.Image, profile: bytes | None, label: str) -> Image.Image:
    """The picture in mode RGB, sRGB colours, transparency over white; itself if it is so already.

    The ICC profile decides what the numbers mean (relative colorimetric, with black point
    compensation). Without one, or with one that is damaged or belongs to another kind of pixels,
    numbers are taken as sRGB, as browsers do; CMYK then becomes RGB by the plain formula
    (1 - c)(1 - k).

    Raises:
        PhotoError: Floating-point or 32-bit integer pixels, for which no white is defined.
    """
    if image.mode[0] in "IF":
        image = _eight_bit(image, label)
    alpha = None
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        image = image.convert("LA" if grey else "RGBA")
        alpha = image.getchannel("A")
        image = image.convert("L" if grey else "RGB")
    if image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    srgb = _through_profile(image, profile)
    if alpha is not None and alpha.getextrema() != (255, 255):
        srgb = Image.composite(srgb, Image.new("RGB", srgb.size, "white"), alpha)
    return srgb


def straight(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours that were multiplied by their alpha, divided by it again."""
    alpha = levels[..., -1:].astype(np.uint16)
    divided = levels[..., :-1].astype(np.uint32) * 255 // np.maximum(alpha, 1)
    return np.concatenate([np.minimum(divided, 255).astype(np.uint8), levels[..., -1:]], axis=-1)


@lru_cache(maxsize=64)
def averages_like_srgb(profile: bytes | None, mode: str) -> bool:
    """Whether the mean of some pixels is the same colour before and after conversion to sRGB.

    So it is, nearly, where a middle grey has nearly the number that it has in sRGB: in the working
    spaces of cameras and programs, not in linear light or HDR.

    Args:
        profile: ICC profile; None for sRGB.
        mode: "L" or "RGB".
    """
    if profile is None:
        return True
    grey = to_srgb(Image.new(mode, (1, 1), (128,) * len(mode)), profile, "")
    return int(np.abs(np.asarray(grey, dtype=np.int16) - 128).max()) <= _NEARLY


def _eight_bit(image: Image.Image, label: str) -> Image.Image:
    """Grey with more than 8 bits, scaled so that its white becomes 255.

    Pillow's own conversion clips at 255 instead.
    """
    tags: Any = getattr(image, "tag_v2", {})
    white = 65535
    if image.mode.startswith("I;16"):
        # 12-bit TIFF is unpacked into 16 bits as it stands.
        white = 2 ** min(16, tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0]) - 1
    elif image.mode != "I" or image.format not in ("PNG", "PPM"):
        kind = "floating-point" if image.mode.startswith("F") else "32-bit integer"
        raise PhotoError(
            f"{label}: {kind} pixels (mode {image.mode}) do not say which number is white."
            " Save it with 8 or 16 bits."
        )
    wide = np.asarray(image)
    levels = ((np.arange(white + 1) * 255 + white // 2) // white).astype(np.uint8)
    if tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        levels = 255 - levels
    grey = np.empty(wide.shape, np.uint8)
    # Row by row: numpy makes 8-byte indices of all that it looks up at once.
    for row, wide_row in zip(grey, wide, strict=True):
        row[:] = np.take(levels, wide_row, mode="clip")
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return Image.fromarray(grey)
    opaque = np.where(wide == transparent, 0, 255).astype(np.uint8)
    return Image.merge("LA", (Image.fromarray(grey), Image.fromarray(opaque)))


def _through_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    """L, RGB, CMYK or LAB pixels as sRGB."""
    transform = None
    if image.mode == "LAB":
        transform = _transform(None, "LAB")
    elif profile:
        if image.mode == "RGB" and profile[16:20] == b"GRAY" and _is_grey(image):
            image = image.getchannel("R")
        transform = _transform(profile, image.mode)
        if transform is None and image.mode == "L":
            # Some programs save grey with the RGB profile of their working space.
            image = image.convert("RGB")
            transform = _transform(profile, "RGB")
    if transform is None:
        # convert() would copy what is RGB already, for a large photo hundreds of megabytes.
        return image if image.mode == "RGB" else image.convert("RGB")
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # None is only for in-place use
    return converted


def _is_grey(image: Image.Image) -> bool:
    """Whether all channels are equal: grey that a reader unfolded to RGB."""
    red, green, blue = image.split()
    same = ImageChops.difference(red, green), ImageChops.difference(red, blue)
    return all(difference.getextrema() == (0, 0) for difference in same)


@lru_cache(maxsize=64)
def coded_profile(primaries: int, transfer: int) -> bytes | None:
    """An ICC profile of colours that a file names by numbers; None for those taken as sRGB.

    HDR pictures (PQ and HLG) are clipped at the reference white of ITU-R BT.2408, 203 nits, so that
    what is no brighter looks as it does in an SDR copy.

    Args:
        primaries: Colour primaries by ITU-T H.273, section 8.1.
        transfer: Transfer characteristics by ITU-T H.273, section 8.2.
    """
    return described_profile(primaries_of(primaries), transfer)


def primaries_of(number: int) -> Primaries:
    """Chromaticities of red, green, blue and white by their number in ITU-T H.273; else sRGB's."""
    return _PRIMARIES.get(number, SRGB_PRIMARIES)


@lru_cache(maxsize=64)
def described_profile(
    primaries: Primaries, transfer: int, gamma: float | None = None
) -> bytes | None:
    """An ICC profile of colours that a file describes; None for those taken as sRGB.

    Args:
        primaries: Chromaticities of red, green, blue and white.
        transfer: Transfer characteristics by ITU-T H.273, section 8.2.
        gamma: The exponent that encoded light, where a file names that instead of a curve.
    """
    if gamma is not None:
        if not 0.1 <= gamma <= 2:
            return None
        return _matrix_profile(primaries, np.linspace(0, 1, _CURVE_POINTS) ** (1 / gamma))
    if primaries == SRGB_PRIMARIES and transfer not in _OTHER_CURVES:
        return None
    return _matrix_profile(primaries, _light(transfer))


@lru_cache(maxsize=1)
def adobe_rgb_profile() -> bytes:
    """An ICC profile of Adobe RGB (1998), for cameras that only name it."""
    signal = np.linspace(0, 1, _CURVE_POINTS)
    return _matrix_profile(_ADOBE_PRIMARIES, signal**_ADOBE_GAMMA)


def is_adobe_rgb(space: object, index: object, label: str) -> bool:
    """Whether a camera says so by the rules for its file system: tag R03, or a name with "_".

    Args:
        space: ColorSpace of EXIF; None where it is missing.
        index: InteroperabilityIndex of EXIF; None where it is missing.
        label: The name of the photo.

    Source: JEITA CP-3461B (DCF 2.0), optional colour space.
    """
    if space == _SRGB_SPACE:
        return False
    named = PurePath(label).name.startswith("_") and index is None
    optional = str(index).startswith("R03") or space == _ADOBE_SPACE
    return optional or (space == _UNCALIBRATED and named)


@lru_cache(maxsize=16)
def gamma_profile(gamma: float, primaries: Primaries | None = None) -> bytes | None:
    """An ICC profile of pictures that name the exponent which encoded light; None for sRGB.

    Args:
        gamma: As PNG has it, 1 / 2.2 for most screens, 1 for linear light.
        primaries: Chromaticities of red, green, blue and white; impossible ones do not count.
    """
    if primaries is None or not _are_possible(primaries) or _are_of_srgb(primaries):
        primaries = SRGB_PRIMARIES
    of_a_screen = abs(gamma - 1 / 2.2) < _SCREEN_GAMMA_NEARLY
    if not 0.1 <= gamma <= 2 or (of_a_screen and primaries == SRGB_PRIMARIES):
        return None
    return described_profile(primaries, 0, gamma)


def _are_of_srgb(primaries: Primaries) -> bool:
    return bool(np.abs(np.subtract(primaries, SRGB_PRIMARIES)).max() < _PRIMARIES_NEARLY)


def _are_possible(primaries: Primaries) -> bool:
    """Whether three primaries span some colours and the white is among these."""
    points = np.array([(x, y, 1 - x - y) for x, y in primaries]).T
    if points[1].min() <= 0 or abs(np.linalg.det(points[:, :3])) < _LEAST_TRIANGLE:
        return False
    return bool(np.linalg.solve(points[:, :3], points[:, 3]).min() > 0)


def _light(transfer: int) -> NDArray[np.float64]:
    """Light of the signals 0..1, shape (4096,), 1 for a photo's white."""
    signal = np.linspace(0, 1, _CURVE_POINTS)
    match transfer:
        case 4:
            return signal**2.2
        case 5:
            return signal**2.8
        case 8:
            return signal
        case 17:  # SMPTE ST 428-1
            return np.minimum(signal**2.6 * 52.37 / 48, 1)
        case 16:  # SMPTE ST 2084
            power = signal ** (1 / 78.84375)
            ratio = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
            return np.minimum(10000 / _REFERENCE_WHITE_NITS * ratio ** (1 / 0.1593017578125), 1)
        case 18:  # ITU-R BT.2100, of each channel by itself
            a, b, c = 0.17883277, 0.28466892, 0.55991073
            scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
            nits = _HLG_PEAK_NITS * scene**_HLG_SYSTEM_GAMMA
            return np.minimum(nits / _REFERENCE_WHITE_NITS, 1)
    # Video curves are shown as sRGB is.
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _matrix_profile(primaries: Primaries, light: NDArray[np.float64]) -> bytes:
    """A display profile of three primaries and one curve, as ICC.1:2001-04 has it."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    red_green_blue, white = columns[:, :3], columns[:, 3]
    to_xyz = red_green_blue * np.linalg.solve(red_green_blue, white)
    gains = (_BRADFORD @ _D50_XYZ) / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ to_xyz
    steps = np.round(light * 65535).astype(">u2").tobytes()
    curve = b"curv" + bytes(4) + struct.pack(">I", len(light)) + steps
    tags = {b"wtpt": _xyz(_D50_XYZ), b"cprt": b"text" + bytes(4) + b"none\0\0\0\0"}
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", 1) + bytes(80)
    for letter, column in zip((b"r", b"g", b"b"), adapted.T, strict=True):
        tags[letter + b"XYZ"] = _xyz(column)
    shared = (b"rTRC", b"gTRC", b"bTRC")
    start = 128 + 4 + 12 * (len(tags) + len(shared))
    table, body = struct.pack(">I", len(tags) + len(shared)), b""
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    for name in shared:
        table += name + struct.pack(">II", start + len(body), len(curve))
    size = struct.pack(">I", start + len(body) + len(curve))
    head = size + bytes(4) + b"\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += b"".join(_fixed(value) for value in _D50_XYZ)
    return head.ljust(128, b"\0") + table + body + curve


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(_fixed(value) for value in values)


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


@lru_cache(maxsize=64)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from `mode` pixels to sRGB; None if there is nothing to do or nothing to go by."""
    try:
        source: Any = (
            ImageCms.createProfile("LAB")
            if profile is None
            else ImageCms.ImageCmsProfile(BytesIO(profile))
        )
        transform = ImageCms.buildTransform(
            source,
            _SRGB,
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
    unusable = _changes_nothing(transform, mode) or _loses_colours(transform, mode)
    return None if unusable else transform


def _loses_colours(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a profile cannot be meant: what is red, green and blue becomes less than three."""
    if mode != "RGB":
        return False
    stored = np.array([[[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    shown = np.asarray(
        ImageCms.applyTransform(Image.fromarray(stored), transform), dtype=np.float64
    )
    black, *primaries = shown[0]
    return abs(float(np.linalg.det(np.array(primaries) - black))) < _LEAST_VOLUME


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether no colour moves by more than one step, as with the many spellings of sRGB itself."""
    if mode not in ("L", "RGB"):
        return False
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    red, green, blue = np.meshgrid(levels, levels, levels, indexing="ij")
    cube = np.stack([red, green, blue], axis=-1).reshape(len(levels), -1, 3)
    sample = Image.fromarray(cube) if mode == "RGB" else Image.fromarray(levels[None])
    before = np.asarray(sample.convert("RGB"), dtype=np.int16)
    after = np.asarray(ImageCms.applyTransform(sample, transform), dtype=np.int16)
    return int(np.abs(after - before).max()) <= 1
