"""Pixels of any Pillow mode as 8-bit sRGB on white."""

from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from siamese_nima.errors import PhotoError

_SRGB = ImageCms.createProfile("sRGB")
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC = 258, 262
_WHITE_IS_ZERO = 0


def to_srgb(image: Image.Image, label: str) -> Image.Image:
    """The picture in mode RGB, sRGB colours, transparency over white; itself if it is so already.

    The embedded ICC profile decides what the numbers mean (relative colorimetric, with black point
    compensation). Without one, or with one that is damaged or belongs to another kind of pixels,
    numbers are taken as sRGB, as browsers do; CMYK then becomes RGB by the plain formula
    (1 - c)(1 - k).

    Raises:
        PhotoError: Floating-point or 32-bit integer pixels, for which no white is defined.
    """
    profile = image.info.get("icc_profile")
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
    return None if _changes_nothing(transform, mode) else transform


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
