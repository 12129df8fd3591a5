"""Camera raw files: the preview that the camera made, or else the sensor's pixels, developed."""

import importlib
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image, JpegImagePlugin

from siamese_nima.errors import PhotoError
from siamese_nima.photos.loading import check_size, load
from siamese_nima.photos.raw_extent import ends_early

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


def decode_raw(
    contents: bytes, label: str, *, min_short_side_px: int | None, max_pixels: int
) -> Image.Image:
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
                return load(
                    preview, label, min_short_side_px=min_short_side_px, max_pixels=max_pixels
                )
            return Image.fromarray(
                raw.postprocess(
                    half_size=short_side // 2 >= needed,
                    use_camera_wb=True,
                    gamma=_SRGB_CURVE,
                )
            )
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else type(error).__name__
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        raise PhotoError(f"{label}: camera raw that LibRaw cannot read ({reason}).") from error


def _rawpy(label: str) -> Any:
    try:
        return importlib.import_module("rawpy")
    except ImportError as error:
        raise PhotoError(
            f"{label}: camera raw needs an optional part: pip install 'siamese-nima[raw]'"
        ) from error


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
    preview = JpegImagePlugin.JpegImageFile(BytesIO(thumbnail.data))
    if _turned_already(preview, raw):
        preview.getexif().pop(ExifTags.Base.Orientation, None)
    return preview


def _turned_already(preview: Image.Image, raw: Any) -> bool:
    """Whether a preview stands upright although the sensor's picture lies on its side."""
    lying, preview_lying = raw.sizes.width - raw.sizes.height, preview.width - preview.height
    return raw.sizes.flip in _QUARTER_TURNS and lying * preview_lying < 0
