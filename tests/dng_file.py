"""A camera raw file small enough to write by hand: Adobe DNG 1.4, uncompressed, RGGB."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL import Image

BYTE, ASCII, SHORT, LONG, RATIONAL, SRATIONAL = 1, 2, 3, 4, 5, 10
_PACKED = {BYTE: "B", SHORT: "H", LONG: "I", RATIONAL: "II", SRATIONAL: "ii"}
_HEADER_BYTES = 8
_SRGB_TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def dng(
    scene: Image.Image, *, orientation: int = 1, preview: bytes | Image.Image | None = None
) -> bytes:
    """A raw file whose sensor saw `scene` (as stored, before `orientation` turns it).

    Args:
        scene: RGB with even sides; each pixel becomes one sensor pixel, behind a filter of one
            colour.
        orientation: The TIFF tag, of the whole file.
        preview: Embedded picture: an encoded JPEG, or a picture to embed uncompressed.
    """
    sensor = _sensor(scene).astype("<u2").tobytes()
    cfa: list[tuple[int, int, Any]] = [
        *_picture_tags(scene.size, bits=[16], compression=1, photometric=32803),
        *((273, LONG, [_HEADER_BYTES]), (279, LONG, [len(sensor)]), (254, LONG, [0])),
        *((33421, SHORT, [2, 2]), (33422, BYTE, [0, 1, 1, 2])),  # CFA pattern RGGB
        *((50714, LONG, [0]), (50717, LONG, [65535])),  # black and white level
    ]
    matrix = np.linalg.inv(np.array(_SRGB_TO_XYZ)).ravel()
    camera: list[tuple[int, int, Any]] = [
        *((271, ASCII, b"Maker\0"), (272, ASCII, b"Camera\0"), (50708, ASCII, b"Maker Camera\0")),
        *((274, SHORT, [orientation]), (50706, BYTE, [1, 4, 0, 0])),  # DNG version
        (50721, SRATIONAL, [(round(value * 10000), 10000) for value in matrix]),  # XYZ to camera
        (50728, RATIONAL, [(1, 1)] * 3),  # as-shot neutral
        (50778, SHORT, [21]),  # for daylight, D65
    ]
    if preview is None:
        start = _HEADER_BYTES + len(sensor)
        return b"II*\0" + struct.pack("<I", start) + sensor + _directory(camera + cfa, start)
    pixels = preview if isinstance(preview, bytes) else preview.tobytes()
    size = Image.open(io.BytesIO(preview)).size if isinstance(preview, bytes) else preview.size
    pixels += bytes(len(pixels) % 2)
    start = _HEADER_BYTES + len(sensor) + len(pixels)
    sensor_directory = _directory(cfa, start)
    jpeg = isinstance(preview, bytes)
    main = [
        *camera,
        *_picture_tags(
            size, bits=[8] * 3, compression=7 if jpeg else 1, photometric=6 if jpeg else 2
        ),
        *((273, LONG, [_HEADER_BYTES + len(sensor)]), (279, LONG, [len(pixels)])),
        *((254, LONG, [1]), (330, LONG, [start])),
    ]
    start += len(sensor_directory)
    head = b"II*\0" + struct.pack("<I", start)
    return head + sensor + pixels + sensor_directory + _directory(main, start)


def _sensor(scene: Image.Image) -> np.ndarray:
    encoded = np.asarray(scene.convert("RGB"), dtype=np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    mosaic = linear[..., 1].copy()
    mosaic[0::2, 0::2] = linear[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = linear[1::2, 1::2, 2]
    return (mosaic * 65535).round()


def _picture_tags(
    size: tuple[int, int], *, bits: list[int], compression: int, photometric: int
) -> list[tuple[int, int, Any]]:
    width, height = size
    return [
        *((256, LONG, [width]), (257, LONG, [height]), (278, LONG, [height])),
        *((258, SHORT, bits), (259, SHORT, [compression]), (262, SHORT, [photometric])),
        (277, SHORT, [len(bits)]),
    ]


def _directory(tags: list[tuple[int, int, Any]], start: int) -> bytes:
    """A TIFF directory that will stand at byte `start`, with the values that it points to."""
    entries, values = struct.pack("<H", len(tags)), b""
    values_start = start + 2 + 12 * len(tags) + 4
    for tag, kind, value in sorted(tags):
        if kind == ASCII:
            packed = value
        elif kind in (RATIONAL, SRATIONAL):
            packed = b"".join(struct.pack("<" + _PACKED[kind], *pair) for pair in value)
        else:
            packed = struct.pack(f"<{len(value)}{_PACKED[kind]}", *value)
        entries += struct.pack("<HHI", tag, kind, len(value))
        if len(packed) > 4:
            entries += struct.pack("<I", values_start + len(values))
            values += packed + bytes(len(packed) % 2)
        else:
            entries += packed.ljust(4, b"\0")
    return entries + bytes(4) + values
