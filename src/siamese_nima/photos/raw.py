"""Camera raw files: the preview that the camera made, or else the sensor's pixels, developed."""

import importlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import zip_longest
from typing import Any

from PIL import ExifTags, Image, JpegImagePlugin

from siamese_nima.errors import PhotoError
from siamese_nima.photos.loading import check_size, load

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

_BOX_FILE = b"ftypcrx "
_FUJIFILM = b"FUJIFILMCCD-RAW"
# Offset and length of the preview, of the metadata and of the sensor's picture, big-endian.
_FUJIFILM_PARTS = struct.Struct(">6I")
_FUJIFILM_PARTS_AT = 84

# Bytes of one value by TIFF type: BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, ...
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_INTEGERS = {3: "H", 4: "I", 13: "I"}
# Offsets and byte counts of strips, and of tiles.
_PIXELS = ((273, 279), (324, 325))
_SUB_DIRECTORIES = 330
# Cameras put offsets of other files, or of the memory they were made in, into their own blocks.
_MAKERS_OWN = {37500, 50740}
_MAX_DIRECTORIES = 32


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


def ends_early(contents: bytes) -> bool:
    """Whether camera raw refers to bytes after its end: TIFF-like kinds, Canon CR3, Fujifilm RAF.

    Other files, and structures that cannot be followed, are left to their reader.
    """
    if contents.startswith(_BOX_FILE, 4):
        return _boxes_end_early(contents)
    if contents.startswith(_FUJIFILM):
        return _fujifilm_ends_early(contents)
    return _tiff_ends_early(contents)


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


def _tiff_ends_early(contents: bytes) -> bool:
    order = {b"II": "<", b"MM": ">"}.get(contents[:2])
    if order is None or contents[2:4] not in (b"*\0", b"\0*"):
        return False
    waiting = [_Reader(contents, order).first_directory()]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        start = waiting.pop()
        if start == 0 or start in seen:
            continue
        seen.add(start)
        try:
            directory = dict(_Reader(contents, order).entries(start))
            waiting += directory.get(_SUB_DIRECTORIES, _Values()).numbers
            waiting += directory[0].numbers
        except struct.error:
            return True
        if any(values.end > len(contents) for values in directory.values()):
            return True
        for offsets, counts in _PIXELS:
            starts = directory.get(offsets, _Values()).numbers
            lengths = directory.get(counts, _Values()).numbers
            ends = (at + length for at, length in zip_longest(starts, lengths, fillvalue=0))
            if any(end > len(contents) for end in ends):
                return True
    return False


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of one tag: where they end, and the integers among them."""

    end: int = 0
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Reader:
    contents: bytes
    order: str

    def first_directory(self) -> int:
        return self._integers("I", 1, 4)[0] if len(self.contents) >= 8 else 0

    def entries(self, start: int) -> Iterator[tuple[int, _Values]]:
        """Tags of a directory; tag 0 stands for the place of the next directory."""
        (count,) = self._integers("H", 1, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = self._integers("H", 2, place)
            (length,) = self._integers("I", 1, place + 4)
            size = length * _VALUE_BYTES.get(kind, 1)
            at = place + 8 if size <= 4 else self._integers("I", 1, place + 8)[0]
            if tag in _MAKERS_OWN:
                continue
            numbers: tuple[int, ...] = ()
            if kind in _INTEGERS and at + size <= len(self.contents):
                numbers = self._integers(_INTEGERS[kind], length, at)
            yield tag, _Values(at + size, numbers)
        yield 0, _Values(0, self._integers("I", 1, start + 2 + 12 * count))

    def _integers(self, code: str, count: int, at: int) -> tuple[int, ...]:
        return struct.unpack_from(f"{self.order}{count}{code}", self.contents, at)
