"""What Pillow refuses of bitmaps: odd bit fields in BMP, runs over the end of a row in TGA."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.errors import PhotoError
from siamese_nima.photos.loading import check_size, open_as

# Start of the pixels, size of the head, width, height, bits of a pixel, compression.
_BMP = struct.Struct("<10xIIii2xHI")
_MASKS_AT, _WITH_MASKS, _WITH_MASK_OF_OPACITY = 54, 40, 56
_BIT_FIELDS = (3, 6)
# Length of the name, whether there is a palette, kind; length and bits of the palette; width,
# height and bits of the picture.
_TGA = struct.Struct("<BBB2xHB4xHHB")
_TGA_HEAD = 18
_IN_RUNS = {9: 1, 10: 2, 11: 3}


def read_bmp(contents: bytes, label: str, max_pixels: int) -> Image.Image:
    """The picture, by Pillow where that knows how its colours are packed.

    Raises:
        PhotoError: Larger than `max_pixels`, or cut off.
        Exception: Whatever Pillow raises on a damaged file.
    """
    long_enough = len(contents) >= _MASKS_AT + 16
    start, head, width, height, bits, compression = _BMP.unpack_from(contents.ljust(_MASKS_AT))
    in_fields = head >= _WITH_MASKS and compression in _BIT_FIELDS and bits in (16, 32)
    # Of 16 bits Pillow leaves the opacity out.
    opacity_left_out = in_fields and bits == 16 and head >= _WITH_MASK_OF_OPACITY
    if not (long_enough and opacity_left_out and any(contents[_MASKS_AT + 12 : _MASKS_AT + 16])):
        try:
            return open_as("BMP", BytesIO(contents), label)
        except OSError:
            if not (long_enough and in_fields):
                raise
    rows = abs(height)
    check_size(width, rows, label, max_pixels)
    row_bytes = (width * bits + 31) // 32 * 4
    body = contents[start : start + row_bytes * rows]
    if len(body) < row_bytes * rows:
        raise PhotoError(f"{label}: truncated, the file ends before the picture does.")
    values = np.frombuffer(body, f"<u{bits // 8}").reshape(rows, -1)[:, :width]
    red, green, blue, opacity = struct.unpack_from("<4I", contents, _MASKS_AT)
    channels = [_channel(values, mask) for mask in (red, green, blue)]
    if head >= _WITH_MASK_OF_OPACITY and (values & opacity).any():  # else it is not used
        channels.append(_channel(values, opacity))
    levels = np.stack(channels, axis=-1)
    return Image.fromarray(np.ascontiguousarray(levels if height < 0 else levels[::-1]))


def _channel(values: NDArray[np.unsignedinteger], mask: int) -> NDArray[np.uint8]:
    """The bits under a mask as 0..255; nothing under none."""
    if mask == 0:
        return np.zeros(values.shape, np.uint8)
    lowest = (mask & -mask).bit_length() - 1
    white = mask >> lowest
    numbers = (values.astype(np.uint64) & np.uint64(mask)) >> np.uint64(lowest)
    return ((numbers * np.uint64(255) + np.uint64(white // 2)) // np.uint64(white)).astype(np.uint8)


def without_runs(contents: bytes) -> bytes | None:
    """A TGA file with its runs of equal pixels written out; None if it has none.

    The standard wants runs to end with their rows, and many programs do not keep to that.

    Raises:
        ValueError: Its runs end early, or go on after the picture.
    """
    name, palette, kind, colours, depth, width, height, bits = _TGA.unpack_from(contents)
    if kind not in _IN_RUNS:
        return None
    size = (bits + 7) // 8
    at = _TGA_HEAD + name + (colours * ((depth + 7) // 8) if palette else 0)
    head = contents[:2] + bytes([_IN_RUNS[kind]]) + contents[3:at]
    parts, left = [], width * height
    while left > 0 and at < len(contents):
        count, run = (contents[at] & 127) + 1, contents[at] > 127
        pixels = contents[at + 1 : at + 1 + (size if run else size * count)]
        parts.append(pixels * count if run else pixels)
        at += 1 + len(pixels)
        left -= count
    body = b"".join(parts)
    if left or len(body) != width * height * size:
        raise ValueError("its runs do not make the picture")
    return head + body
