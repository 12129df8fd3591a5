"""Camera raw files: the preview that the camera made, or else the sensor's pixels, developed."""

import importlib
import struct
from io import BytesIO
from typing import Any

from PIL import Image, JpegImagePlugin

from siamese_nima.errors import MissingExtraError, PhotoError
from siamese_nima.photos import tiff
from siamese_nima.photos.colour import adobe_rgb_profile, is_adobe_rgb
from siamese_nima.photos.loading import Stored, check_size, load
from siamese_nima.photos.metadata import COLOUR_SPACE, INTEROP_INDEX, metadata_of

# A preview of nearly the sensor's size is the photo in full: cameras crop a few border pixels.
_FULL_SIZE_SHARE = 0.9
# LibRaw's codes for how the sensor's picture is to be turned.
_TURNS = {
    3: Image.Transpose.ROTATE_180,
    5: Image.Transpose.ROTATE_90,
    6: Image.Transpose.ROTATE_270,
}
_QUARTER_TURNS = {5, 6}
_SRGB_CURVE = (2.4, 12.92)
_PREVIEW_SPACE, _PREVIEW_IN_ADOBE_RGB = 50970, 3

_BOX_FILE = b"ftypcrx "
_FUJIFILM = b"FUJIFILMCCD-RAW"
_PANASONIC = b"IIU\0"
# Offset and length of the preview, of the metadata and of the sensor's picture, big-endian.
_FUJIFILM_PARTS = struct.Struct(">6I")
_FUJIFILM_PARTS_AT = 84
# Panasonic's own tags: size of the sensor, how its numbers are packed, where they begin.
_PANASONIC_WIDTH, _PANASONIC_HEIGHT, _PANASONIC_PACKING, _PANASONIC_DATA = 2, 3, 0x2D, 0x118
_PANASONIC_PIXELS_IN_16_BYTES = {4: 14, 5: 14, 6: 14, 7: 14}
# Of a sensor whose last rows are all alike the file lacks the end: no two are, to the last count.
_EMPTY_SHARE = 1 / 64


class NotCameraRawError(PhotoError):
    """LibRaw does not know the file."""


def decode_raw(
    contents: bytes, label: str, *, min_short_side_px: int | None, max_pixels: int
) -> Stored:
    """The photo in a camera raw file, upright or with the EXIF orientation that makes it so.

    The embedded preview is taken if its short side is long enough, since it is what the camera, or
    the program that wrote the file, made of the photo. Otherwise the sensor's pixels are developed
    with the camera's white balance, at half size if that is enough.

    Args:
        contents: The whole file.
        label: Starts every error message.
        min_short_side_px: What the short side must have; None, or more than the sensor has, asks
            for the whole photo.
        max_pixels: Larger photos are refused before anything is decoded.

    Raises:
        PhotoError: rawpy is not installed, the file is cut off, the photo is larger than
            `max_pixels`, or LibRaw cannot read it.
        Exception: Whatever Pillow raises on a damaged preview.
    """
    rawpy = _rawpy(label)
    if ends_early(contents):
        raise PhotoError(f"{label}: truncated, the file ends before the picture does.")
    try:
        with rawpy.imread(BytesIO(contents)) as raw:
            width, height = raw.sizes.width, raw.sizes.height
            check_size(width, height, label, max_pixels)
            short_side = min(width, height)
            needed = round(_FULL_SIZE_SHARE * short_side)
            if min_short_side_px is not None:
                needed = min(needed, min_short_side_px)
            preview = _preview(rawpy, raw)
            if preview is not None and min(preview.size) >= needed:
                found = load(
                    preview, label, min_short_side_px=min_short_side_px, max_pixels=max_pixels
                )
                turned = _turned_already(preview, raw)
                return Stored(
                    found.pixels,
                    1 if turned else found.orientation,
                    found.profile or _preview_profile(contents, label),
                )
            if _is_empty(raw):
                raise PhotoError(f"{label}: the sensor's picture is empty.")
            if _lacks_its_end(raw):
                raise PhotoError(f"{label}: truncated, the sensor's picture breaks off.")
            developed = raw.postprocess(
                half_size=short_side // 2 >= needed,
                use_camera_wb=True,
                gamma=_SRGB_CURVE,
            )
            return Stored(Image.fromarray(developed))
    except rawpy.LibRawFileUnsupportedError as error:
        raise NotCameraRawError(_complaint(error, label)) from error
    except rawpy.LibRawError as error:
        raise PhotoError(_complaint(error, label)) from error


def _complaint(error: Exception, label: str) -> str:
    reason = error.args[0] if error.args else type(error).__name__
    reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
    return f"{label}: camera raw that LibRaw cannot read ({reason})."


def _preview_profile(contents: bytes, label: str) -> bytes | None:
    """Adobe RGB, where the camera was set to it and the preview has no profile."""
    try:
        pictures = tiff.directories(contents)
    except tiff.StructureError:
        pictures = []
    spaces = {each.number(_PREVIEW_SPACE) for each in pictures if _PREVIEW_SPACE in each.entries}
    if spaces:  # Adobe DNG 1.2, PreviewColorSpace
        return adobe_rgb_profile() if _PREVIEW_IN_ADOBE_RGB in spaces else None
    tags = metadata_of(contents).tags
    adobe = is_adobe_rgb(tags.get(COLOUR_SPACE), tags.get(INTEROP_INDEX), label)
    return adobe_rgb_profile() if adobe else None


def _is_empty(raw: Any) -> bool:
    """Whether the sensor counted nothing: LibRaw fills up what it could not decode."""
    sensor = raw.raw_image_visible
    return sensor is not None and not sensor.any()


def _lacks_its_end(raw: Any) -> bool:
    """Whether the sensor's last rows repeat: LibRaw fills up what it could not decode.

    It does so with zeros, or, where pixels are coded as differences, with the last one. Light that
    is too bright for the sensor repeats, too.
    """
    sensor = raw.raw_image_visible
    if sensor is None:
        return False
    last = sensor[-max(4, round(len(sensor) * _EMPTY_SHARE)) :]
    repeats = bool((last[2:] == last[:-2]).all())  # filters of one colour stand two rows apart
    return repeats and not bool((last >= raw.white_level).all())


def _rawpy(label: str) -> Any:
    try:
        return importlib.import_module("rawpy")
    except ImportError as error:
        raise PhotoError(str(MissingExtraError.of(f"{label}: camera raw", "raw"))) from error


def _preview(rawpy: Any, raw: Any) -> Image.Image | None:
    """The largest embedded picture, not decoded yet if it is a JPEG."""
    try:
        thumbnail = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    flip = raw.sizes.flip
    if thumbnail.format is rawpy.ThumbFormat.BITMAP:
        preview = Image.fromarray(thumbnail.data)
        turn = None if _turned_already(preview, raw) else _TURNS.get(flip)
        return preview if turn is None else preview.transpose(turn)
    # LibRaw gives a preview that has no EXIF block one with the orientation of the raw file.
    return JpegImagePlugin.JpegImageFile(BytesIO(thumbnail.data))


def _turned_already(preview: Image.Image, raw: Any) -> bool:
    """Whether a preview stands upright although the sensor's picture lies on its side."""
    lying, preview_lying = raw.sizes.width - raw.sizes.height, preview.width - preview.height
    return raw.sizes.flip in _QUARTER_TURNS and lying * preview_lying < 0


def ends_early(contents: bytes) -> bool:
    """Whether camera raw refers to bytes after its end: TIFF-like kinds, Canon CR3, Fujifilm RAF.

    Other files, and structures that cannot be followed, are left to their reader.
    """
    if contents.startswith(_BOX_FILE, 4):
        return _boxes_end_early(contents)
    if contents.startswith(_FUJIFILM):
        return _fujifilm_ends_early(contents)
    if contents.startswith(_PANASONIC) and _panasonic_ends_early(contents):
        return True
    return tiff.ends_early(contents)


def _boxes_end_early(contents: bytes) -> bool:
    """Whether a file of boxes (ISO/IEC 14496-12, section 4.2) lacks bytes of one, or its pixels."""
    at, pixels = 0, False
    while at < len(contents):
        if at + 8 > len(contents):
            return True
        size, kind = struct.unpack_from(">I4s", contents, at)
        header = 8
        if size == 1:
            header = 16
            if at + header > len(contents):
                return True
            (size,) = struct.unpack_from(">Q", contents, at + 8)
        pixels |= kind == b"mdat"
        if size == 0:  # to the end of the file, wherever that is
            return not pixels
        if size < header:
            return False
        at += size
    return at > len(contents) or not pixels


def _fujifilm_ends_early(contents: bytes) -> bool:
    if len(contents) < _FUJIFILM_PARTS_AT + _FUJIFILM_PARTS.size:
        return True
    numbers = _FUJIFILM_PARTS.unpack_from(contents, _FUJIFILM_PARTS_AT)
    parts = zip(numbers[::2], numbers[1::2], strict=True)
    return any(at + length > len(contents) for at, length in parts)


def _panasonic_ends_early(contents: bytes) -> bool:
    """Whether an RW2 file, which names the place of its pixels but not their length, is cut off."""
    try:
        first = next(iter(tiff.directories(contents)), None)
    except tiff.StructureError:
        return True
    if first is None or first.number(_PANASONIC_DATA) == 0:
        return False
    per_block = _PANASONIC_PIXELS_IN_16_BYTES.get(first.number(_PANASONIC_PACKING))
    if per_block is None:
        return first.number(_PANASONIC_DATA) >= len(contents)
    pixels = first.number(_PANASONIC_WIDTH) * first.number(_PANASONIC_HEIGHT)
    return first.number(_PANASONIC_DATA) + pixels // per_block * 16 > len(contents)
